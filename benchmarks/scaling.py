"""How time and memory of a step grow with each size: data, pixels, latents, components, particles.

One size grows, the others stay (``contenders/scaled.py``); each run is a process of its own. Beside
each time stands its floor: FLOP of its matrix products over the rate of such products in that process.
"""

import sys

import harness
import numpy as np

AXES = {
    "N": (1_000, 10_000, 100_000),
    "pixels": (196, 784, 3136),
    "latents": (4, 40, 400),
    "components": (10, 100, 1_000),
    "particles": (2, 10, 50),
    "batch": (20, 100, 500),
}
HEAD = ["size", "value", "ms per step", "floor, ms", "time over floor", "first epoch, s", "peak MiB"]


def rows_of(axis: str, runs: list[dict]) -> list[list[str]]:
    """Return the table's rows of one axis."""
    rows = []
    for value, run in zip(AXES[axis], runs, strict=True):
        ms, floor = 1e3 * run["seconds"], 1e3 * run["flop"] / run["rate"]
        cells = [f"{value:,}", f"{ms:.2f}", f"{floor:.2f}", f"{ms / floor:.1f}"]
        rows.append([axis, *cells, f"{run['compile']:.1f}", f"{run['peak']:.0f}"])
    return rows


def slope(axis: str, runs: list[dict]) -> str:
    """Return how fast time grows between the two largest values, on the scale of logarithms."""
    work = [run["seconds"] * (run["epoch_steps"] if axis == "N" else 1) for run in runs]
    ratio = np.log(work[-1] / work[-2]) / np.log(AXES[axis][-1] / AXES[axis][-2])
    return f"{'an epoch by N' if axis == 'N' else 'a step by ' + axis} {ratio:.2f}"


def main() -> None:
    asked = harness.options(__doc__, epochs=6).parse_args()
    found = {
        axis: [harness.run(sys.executable, "scaled", axis, value, asked.epochs) for value in values]
        for axis, values in AXES.items()
    }
    rates = [run["rate"] / 1e9 for runs in found.values() for run in runs]
    rows = [row for axis, runs in found.items() for row in rows_of(axis, runs)]
    slopes = ", ".join(slope(axis, runs) for axis, runs in found.items())
    body = (
        f"{harness.table(HEAD, rows)}\n\n- matrix products: {np.median(rates):.0f} GFLOP/s "
        f"({min(rates):.0f} to {max(rates):.0f})\n- slope of log time between the two largest: {slopes}"
    )
    harness.publish("scaling", body, write=asked.write)


if __name__ == "__main__":
    main()
