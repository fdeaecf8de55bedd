"""What the comforts of training cost in a step, and how long import and the first step take.

The work of ``training.py``, with 1,000 validation images. Comforts at their defaults: early stopping,
checkpoints, recovery, JSON lines, progress. The first step is one epoch of one batch, from the call of
``fit`` to its first callback: checks, start and compilation. Every number is of a process of its own.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import numpy as np
import training

CONTENDERS = {
    "no comforts": "none",
    "all at their defaults": "all",
    "and a moving average": "average",
}
BASE, OURS, _ = CONTENDERS
GATES = {"ratio of CPU time": 1.05, "import s": 2.5, "first step s": 5.0}


def imported() -> dict[str, float]:
    """Return wall and CPU seconds of a process that imports the package, its bytecode written."""
    told = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", "import probvae"]
    subprocess.run(command, check=True, env=told)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=told)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": wall, "cpu": sum(after[:2]) - sum(before[:2])}


def first_step(folder: str) -> dict[str, float]:
    """Return wall and CPU seconds of the first step, all comforts on."""
    path = Path(folder) / "few.npy"
    np.save(path, training.images(128))
    found = harness.run(sys.executable, "comforted", path, 1, "all")
    return {"wall": found["seconds"][0], "cpu": found["cpu"][0]}


def start(name: str, found: list[dict[str, float]]) -> str:
    """Return the medians of wall and CPU seconds, and whether the gate is held."""
    wall, cpu = (statistics.median(f[clock] for f in found) for clock in ("wall", "cpu"))
    held = "held" if wall <= GATES[name] else "**missed**"
    line = f"- {name.removesuffix(' s')}: {wall:.2f} s, gate {GATES[name]:g}: {held}"
    return f"{line} ({cpu:.2f} s of CPU time)"


def report(found: dict, imports: list, firsts: list) -> str:
    """Return the table, and whether the gates are held."""
    told = {"what": "s per epoch", "nats": "train ELBO, nats", "digits": 2}
    shown, numbers = harness.ratios(found, BASE, **told)
    ratio, gate = numbers[OURS]["cpu ratio"], GATES["ratio of CPU time"]
    held = "held" if ratio <= gate else "**missed**"
    gates = [f"- ratio of CPU time {ratio:.3f}, gate {gate:g}: {held}"]
    gates += [start("import s", imports), start("first step s", firsts)]
    return "\n".join([shown, "", *gates])


def main() -> None:
    told = harness.options(__doc__, rounds=3, epochs=5, images=60_000).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, training.images(told.images))
        runs = {
            name: lambda which=which: harness.run(sys.executable, "comforted", path, told.epochs, which)
            for name, which in CONTENDERS.items()
        }
        found = harness.interleaved(runs, told.rounds)
        pairs = [(imported(), first_step(folder)) for _ in range(told.rounds)]
        body = report(found, *(list(each) for each in zip(*pairs, strict=True)))
    harness.publish("comforts", body, write=told.write)


if __name__ == "__main__":
    main()
