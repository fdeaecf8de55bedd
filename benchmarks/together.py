"""Time of a sweep in one program, beside one after the other, and beside as many calls of ``fit``.

The work of ``training.py`` on fewer images, from so many keys. The contenders run in this process and
take turns. Their first call compiles, and is told apart; after it, ratios are medians over rounds of
the ratio to ``fit`` within a round. The time is that of ``--epochs`` epochs of all, with the start.
The last column is how far any loss of any step is from that of ``fit`` with the same key, relatively.

    python benchmarks/together.py [--members 1 8 64] [--epochs 5] [--images 60000] [--rounds 3]
"""

import os
import statistics
import time
from collections.abc import Callable

import harness
import jax
import numpy as np
import optax
import training
from contenders.sizes import BATCH, HIDDEN, LATENT, LEARNING_RATE

from probvae import VAE, Fitted, fit, nets, sweep
from probvae.training import loop
from probvae.training.sweeps import vmapped

ADAM = optax.adam(LEARNING_RATE)  # one object: one program
BASE = "fit, one by one"
HEAD = [
    "VAEs",
    "how",
    "first call, s",
    "programs",
    "s",
    "ratio",
    "CPU s",
    "ratio of CPU time",
    "losses",
]


def contenders(vae: VAE, images: object, members: int, epochs: int) -> dict[str, Callable]:
    """Return what trains so many VAEs, by name."""
    keys = list(jax.random.split(jax.random.key(0), members))
    told = {"validation": images[:BATCH], "epochs": epochs, "batch_size": BATCH, "optimizer": ADAM}
    told["progress"] = False
    return {
        BASE: lambda: [fit(vae, images, rng_key=key, **told) for key in keys],
        "sweep, one by one": lambda: sweep(vae, images, rng_keys=keys, at_once=1, **told).fitted,
        "sweep, side by side": lambda: (
            sweep(vae, images, rng_keys=keys, at_once=members, **told).fitted
        ),
    }


def timed(train: Callable) -> dict:
    """Return how long it takes, how many programs of an epoch it compiles, and all losses."""
    before, begun, cpu = programs(), time.perf_counter(), time.process_time()
    fitted: list[Fitted] = train()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    losses = np.stack([one.history.steps["loss"] for one in fitted])
    return {"seconds": seconds, "cpu": cpu, "programs": programs() - before, "losses": losses}


def programs() -> int:
    """Return how many programs of an epoch are compiled by now."""
    return loop.run_epoch._cache_size() + vmapped._run_epoch._cache_size()


def rows(found: dict[str, list[dict]], members: int) -> list[list[str]]:
    """Return the table's rows: of each contender, the first call and medians of the others."""
    made = []
    for name, (first, *runs) in found.items():
        cells = [str(members), name, f"{first['seconds']:.1f}", str(first["programs"])]
        for clock in ("seconds", "cpu"):
            pairs = zip(runs, found[BASE][1:], strict=True)
            ratio = statistics.median(run[clock] / base[clock] for run, base in pairs)
            cells += [f"{statistics.median(run[clock] for run in runs):.2f}", f"{ratio:.2f}"]
        base = found[BASE][0]["losses"]
        made.append([*cells, f"{np.abs(first['losses'] / base - 1).max():.1e}"])
    return made


def main() -> None:
    parser = harness.options(__doc__, epochs=5, images=60_000, rounds=3)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 64])
    told = parser.parse_args()
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    vae = VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net)
    images = training.images(told.images).reshape(-1, 28, 28)
    made = []
    for members in told.members:
        jax.clear_caches()
        trained = contenders(vae, images, members, told.epochs)
        each = {name: lambda train=train: timed(train) for name, train in trained.items()}
        made += rows(harness.interleaved(each, told.rounds + 1), members)
    device = f"device: {jax.devices()[0].device_kind}, load {load()} on {os.cpu_count()} cores"
    body = f"{harness.table(HEAD, made)}\n\n- {device}"
    harness.publish("together", body, write=told.write)


def load() -> str:
    """Return the mean number of processes that want to run, over the last minutes."""
    return f"{os.getloadavg()[2]:.1f}"


if __name__ == "__main__":
    main()
