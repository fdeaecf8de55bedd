"""Time of ``fitted.log_prob``: the importance-weighted bound with 5000 particles.

The nets of the training benchmark, fitted for two epochs; all contenders score the same weights.
Beside ours: a loop over images, NumPyro's RenyiELBO datum by datum, and a scan over chunks of decoder
rows written by hand in JAX. Each runs in its own process, once a round, and repeats the work; the
first repetition, which compiles, does not count. The bounds must agree within Monte Carlo error.
``--images 1000`` is the longer run: ten times the data, whose peak memory must stay where it was.
"""

import sys
import tempfile
from pathlib import Path

import harness
import numpy as np
import training

FLOOR, OURS = "chunked scan by hand", "fitted.log_prob"
CONTENDERS = {  # name: script, prior, what it runs
    FLOOR: ("evidence_jax", "standard", "chunked"),
    OURS: ("evidence_ours", "standard", "ours"),
    "loop over images by hand": ("evidence_jax", "standard", "naive"),
    "NumPyro RenyiELBO per image": ("evidence_ours", "standard", "renyi"),
    f"{OURS}, VampPrior(50)": ("evidence_ours", "vamp", "ours"),
}
GATE = 1.05


def contenders(folder: Path, particles: int, repeats: int, n: int) -> dict:
    """Fit and store a VAE per prior; return what to run by name."""
    images = training.images(10_000)
    np.save(folder / "train.npy", images[:5_000])
    np.save(folder / "test.npy", images[-n:])
    for prior in ("standard", "vamp"):
        harness.run(sys.executable, "evidence_start", folder / "train.npy", folder / prior, prior)

    def runs(script: str, prior: str, what: str) -> object:
        told = (folder / "test.npy", repeats + 1, folder / prior, prior, particles, what)
        return lambda: harness.run(sys.executable, script, *told)

    return {name: runs(*told) for name, told in CONTENDERS.items()}


def report(found: dict[str, list[dict]]) -> str:
    """Return the table, and a sentence for the gate."""
    shown, numbers = harness.ratios(found, FLOOR, what="seconds", nats="bound, nats", digits=2)
    ratio = numbers[OURS]["ratio"]
    gate = f"- ratio {ratio:.3g}, gate {GATE}: {'held' if ratio <= GATE else '**missed**'}"
    return f"{shown}\n\n{gate}"


def main() -> None:
    parser = harness.options(__doc__, images=100, rounds=3, repeats=3)
    parser.add_argument("--quick", action="store_true", help="5 images, 100 particles, one round")
    told = parser.parse_args()
    n, particles, rounds = (5, 100, 1) if told.quick else (told.images, 5_000, told.rounds)
    with tempfile.TemporaryDirectory() as folder:
        runs = contenders(Path(folder), particles, told.repeats, n)
        body = report(harness.interleaved(runs, rounds))
    harness.publish("log_prob", body, write=told.write)


if __name__ == "__main__":
    main()
