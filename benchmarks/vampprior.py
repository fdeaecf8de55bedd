"""What a VampPrior costs: an epoch with 500 pseudo-inputs against one with the standard normal.

Gated nets 300-300, 40 latents, batch 100, float32, all components at every step. The ratio of
multiplications counts the products of a step: 500 more rows go through the encoder, and back to the
pseudo-inputs themselves. The elementwise mixture is NumPyro's own; the first step's loss must be the
same to 1e-5.
"""

import sys
import tempfile
from pathlib import Path

import harness
import numpy as np
import training

CONTENDERS = {
    "standard normal": "standard",
    "VampPrior(500)": "vamp",
    "VampPrior(500), elementwise mixture": "naive",
}
BASE, OURS, NAIVE = CONTENDERS
GATE = 3.6


def floor() -> float:
    """Return the ratio of multiplications in a step: forward, to the weights, to the inputs."""
    first, rest = 784 * 600, 300 * 600 + 300 * 80
    decoder = 40 * 600 + 300 * 600 + 300 * 784
    plain = 100 * (2 * first + 3 * rest + 3 * decoder)  # no gradient reaches the data
    return (plain + 500 * 3 * (first + rest) + 100 * 3 * 2 * 500 * 40) / plain


def report(found: dict[str, list[dict]]) -> str:
    """Return the table, and whether the gates are held."""
    told = {"what": "s per epoch", "nats": "first loss, nats per image", "digits": 6}
    shown, numbers = harness.ratios(found, BASE, **told)
    ratio = numbers[OURS]["ratio"]
    off = abs(found[OURS][0]["nats"] / found[NAIVE][0]["nats"] - 1)
    held = "held" if ratio <= GATE else "**missed**"
    return "\n".join(
        [
            shown,
            "",
            f"- ratio {ratio:.2f}, gate {GATE}: {held}; the ratio of multiplications is {floor():.2f}",
            f"- the two first losses differ by {off:.1e} of them, gate 1e-5: "
            f"{'held' if off <= 1e-5 else '**missed**'}",
        ]
    )


def main() -> None:
    told = harness.options(__doc__, rounds=3, epochs=4, images=20_000).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, training.images(told.images))
        runs = {
            name: lambda which=which: harness.run(sys.executable, "gated", path, told.epochs, which)
            for name, which in CONTENDERS.items()
        }
        body = report(harness.interleaved(runs, told.rounds))
    harness.publish("vampprior", body, write=told.write)


if __name__ == "__main__":
    main()
