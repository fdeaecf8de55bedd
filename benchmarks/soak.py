"""A soak: training, evaluation and diagnosis in one process, over and over; memory and handles seen.

Every round declares a VAE, its objective and its optimizer anew, as one does in a notebook, trains
with checkpoints, saves, reads, evaluates, samples, diagnoses and draws. `--shared` makes the optimizer
once. After the first rounds, which compile, the anonymous memory (RssAnon) should stay where it is, and
so should the numbers of open files, threads and mappings. Two VAEs take turns.
"""

import gc
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import harness
import jax
import matplotlib as mpl
import optax

from probvae import (
    VAE,
    Checkpoints,
    Fitted,
    diagnose,
    fit,
    likelihoods,
    load,
    nets,
    objectives,
    plots,
    priors,
)
from probvae.criticism import Budget
from probvae.data import Data
from probvae.data import load as load_data

SMALL = Budget(100, 50, 5, 8, 10, 50)
GROWTH = 1.0  # MiB a minute, by which memory may rise after the first third
SHARED = optax.adam(1e-3)


class Seen(NamedTuple):
    """What a process held after a round."""

    minutes: float
    rss_anon: float  # MiB
    handles: int
    threads: int
    mappings: int
    arrays: int


def seen(begun: float) -> Seen:
    """Look at this process."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return Seen(
        (time.perf_counter() - begun) / 60,
        int(status["RssAnon"].split()[0]) / 1024,
        len(os.listdir("/proc/self/fd")),
        int(status["Threads"]),
        Path("/proc/self/maps").read_text().count("\n"),
        len(jax.live_arrays()),
    )


def declared(number: int) -> VAE:
    """Return a VAE, made anew: one of two."""
    return VAE(
        event_shape=(8, 8),
        latent_dim=4,
        prior=priors.VampPrior(components=10) if number % 2 else priors.StandardNormal(),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP((32,)),
        decoder=nets.MLP((32,)),
    )


def trained(data: Data, number: int, folder: Path, *, shared: bool) -> Fitted:
    """Train for a round, and come back with what was read from the file."""
    vae = declared(number)
    found = fit(
        vae,
        data.train,
        validation=data.valid,
        observation=data.observation,
        objective=objectives.ELBO(),
        optimizer=SHARED if shared else optax.adam(1e-3),
        epochs=5,
        batch_size=100,
        checkpoints=Checkpoints(folder / f"{number}", seconds=0.0),
        rng_key=jax.random.key(number),
        progress=False,
    )
    found.save(folder / f"{number}.safetensors")
    return load(folder / f"{number}.safetensors", vae)


def one_round(data: Data, number: int, folder: Path, *, shared: bool) -> None:
    """Train, evaluate, sample, diagnose, draw."""
    fitted, key = trained(data, number, folder, shared=shared), jax.random.key(number)
    fitted.elbo(data.test, rng_key=key, progress=False)
    fitted.log_prob(data.test[:50], rng_key=key, num_particles=50, progress=False)
    fitted.sample(16, rng_key=key)
    fitted.reconstruct(data.test[:16])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few draws are not enough, and ArviZ says so
        diagnose(fitted, data.test, train=data.train, rng_key=key, budget=SMALL)
    plots.curves(fitted.history).savefig(folder / f"{number}.png")


def summary(rounds: list[Seen]) -> tuple[str, float]:
    """Return the table of some rounds, and the growth of memory in MiB a minute after a third."""
    later = [each for each in rounds if each.minutes > rounds[-1].minutes / 3]
    times, sizes = [each.minutes for each in later], [each.rss_anon for each in later]
    growth = statistics.linear_regression(times, sizes).slope
    head = ["minute", "round", "RssAnon MiB", "open handles", "threads", "mappings", "live arrays"]
    picked = sorted({0, 1, 2, 3, *range(0, len(rounds), max(1, len(rounds) // 12)), len(rounds) - 1})
    rows = []
    for at in (at for at in picked if at < len(rounds)):
        one = rounds[at]
        rows.append([f"{one.minutes:.1f}", str(at + 1), f"{one.rss_anon:.0f}", *map(str, one[2:])])
    return harness.table(head, rows), growth


def report(rounds: list[Seen], what: str) -> tuple[str, bool]:
    """Return the table with its sentences, and whether the soak was passed."""
    table, growth = summary(rounds)
    third = next(each for each in rounds if each.minutes > rounds[-1].minutes / 3)
    left = rounds[-1].handles - third.handles
    held = growth <= GROWTH and left <= 0
    words = (
        f"- {what}; {len(rounds)} rounds in {rounds[-1].minutes:.1f} minutes\n"
        f"- memory after the first third rose by {growth:.2f} MiB a minute (at most {GROWTH:g}); "
        f"handles more at the end than then: {left}: {'held' if held else '**missed**'}"
    )
    return f"{table}\n\n{words}", held


def run() -> None:
    """Soak, and print what was seen."""
    parser = harness.options(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=1_000_000, help="at most so many")
    parser.add_argument("--shared", action="store_true", help="one optimizer for all rounds")
    asked = parser.parse_args()
    mpl.use("agg")
    data, begun, rounds = load_data("digits", binarize="static"), time.perf_counter(), []
    while time.perf_counter() - begun < 60 * asked.minutes and len(rounds) < asked.rounds:
        with tempfile.TemporaryDirectory() as folder:
            one_round(data, len(rounds), Path(folder), shared=asked.shared)
        rounds.append(seen(begun))
        print(len(rounds), *(f"{value:.1f}" for value in rounds[-1]), file=sys.stderr, flush=True)
    body, held = report(rounds, "one optimizer" if asked.shared else "an optimizer for each round")
    harness.publish("soak", body, write=asked.write)
    sys.exit(not held)


if __name__ == "__main__":
    run()
