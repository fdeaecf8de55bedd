"""What a recovery costs where all is finite: SkipBatch and HalveRate beside a fit without one.

One process, in turns; the CPU time of a whole fit of several epochs, compiled before. Binary images of
28x28, 784-400-(20+20) encoder, 20-400-784 decoder, batch 128, Adam.
"""

import statistics
import sys
import time

import harness
import jax
import optax
from training import images

from probvae import VAE, HalveRate, SkipBatch, fit, likelihoods, nets

CONTENDERS = {"no recovery": None, "SkipBatch()": SkipBatch(), "HalveRate()": HalveRate()}
GATE = 1.05


def timed(vae: VAE, x: object, recovery: object, epochs: int) -> float:
    """Return the CPU seconds of a fit."""
    start = time.process_time()
    told = {"batch_size": 128, "progress": False, "rng_key": jax.random.key(0)}
    fit(vae, x, optimizer=optax.adam(1e-3), epochs=epochs, recovery=recovery, **told)
    return time.process_time() - start


def report(seconds: dict[str, list[float]]) -> tuple[str, bool]:
    """Return the table of ratios within a round, and whether all are held."""
    base, rows, held = seconds["no recovery"], [], True
    for name, found in seconds.items():
        ratios = [one / other for one, other in zip(found, base, strict=True)]
        ratio, each = statistics.median(ratios), ", ".join(f"{r:.2f}" for r in ratios)
        held = held and ratio <= GATE
        rows.append([name, f"{statistics.median(found):.2f}", f"{ratio:.3f}", each])
    table = harness.table(["recovery", "CPU s of a fit", "ratio", "in each round"], rows)
    return f"{table}\n\n- gate {GATE}: {'held' if held else '**missed**'}", held


def run() -> None:
    """Measure in turns, and print the table."""
    asked = harness.options(__doc__, rounds=7, epochs=3, images=6000).parse_args()
    net = nets.MLP((400,))
    vae = VAE(
        event_shape=(28, 28),
        latent_dim=20,
        likelihood=likelihoods.Bernoulli(),
        encoder=net,
        decoder=net,
    )
    x, seconds = images(asked.images), {name: [] for name in CONTENDERS}
    for number in range(asked.rounds + 1):
        for name in list(CONTENDERS)[:: 1 if number % 2 else -1]:
            took = timed(vae, x, CONTENDERS[name], asked.epochs)
            if number:  # the first round compiles
                seconds[name].append(took)
    body, held = report(seconds)
    harness.publish("guard", body, write=asked.write)
    sys.exit(not held)


if __name__ == "__main__":
    run()
