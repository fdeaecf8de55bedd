"""Data beyond memory: speed beside that of the same data in memory, and time and memory against N.

The work of ``training.py`` on float32 images in a file of ``--rows``, which lies in the page cache by
then: the disk is not measured. Each run is a process of its own; those of two kinds take turns. RssAnon
is sampled through each run. Then streamed epochs of N over three decades, and their plot.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np
import training

GATES = {"speed": 0.8, "size": 4.0}
PIECE = 20_000  # rows written at a time
PLOT = harness.HERE / "streaming.png"


def written(path: Path, rows: int) -> None:
    """Write a file of so many images, float32: draws of the same 60,000 with replacement."""
    images, random = training.images(60_000).astype(np.float32), np.random.default_rng(0)
    file = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 28, 28))
    for at in range(0, rows, PIECE):
        part = file[at : at + PIECE]
        part[:] = images[random.integers(0, len(images), len(part))]
    file.flush()


def run(path: Path, which: str, rows: int, epochs: int) -> dict:
    """Return what one run measured of itself."""
    return harness.run(sys.executable, "streamed", path, epochs, which, rows)


def speeds(found: dict[str, list[dict]], megabytes: float) -> str:
    """Return the table of both kinds, and whether the gates are held."""
    times = {name: harness.times(runs, found["resident"]) for name, runs in found.items()}
    anon = {name: max(each["anon"] for each in runs) for name, runs in found.items()}
    rows = [
        [
            name,
            f"{runs[0]['rows'] / times[name]['seconds']:,.0f}",
            f"{1 / times[name]['ratio']:.2f}",
            f"{times[name]['cpu ratio']:.2f}",
            f"{anon[name]:.0f}",
            f"{statistics.median(each['nats'] for each in runs):.3f}",
        ]
        for name, runs in found.items()
    ]
    head = ["data", "images/s", "speed", "ratio of CPU time", "most RssAnon, MiB", "train ELBO, nats"]
    size, speed = megabytes / anon["streamed"], 1 / times["streamed"]["ratio"]
    gates = [("file over RssAnon", size, GATES["size"]), ("speed", speed, GATES["speed"])]
    lines = [
        f"- {name} {value:.2f}, gate {gate:g}: {'held' if value >= gate else '**missed**'}"
        for name, value, gate in gates
    ]
    return "\n".join([harness.table(head, rows), "", f"- the file: {megabytes:.0f} MiB", *lines])


def growth(found: list[dict]) -> str:
    """Return the table of time and memory against N, and the slope of their logarithms."""
    n = np.array([each["rows"] for each in found])
    seconds = np.array([harness.steady(each) for each in found])
    anon = np.array([each["anon"] for each in found])
    rows = [
        [f"{each:,}", f"{s:.3f}", f"{1e6 * s / each:.1f}", f"{mib:.0f}"]
        for each, s, mib in zip(n, seconds, anon, strict=True)
    ]
    slope = np.polyfit(np.log(n), np.log(seconds), 1)[0]
    _draw(n, seconds, anon)
    table = harness.table(["N", "s per epoch", "us per image", "most RssAnon, MiB"], rows)
    return (
        f"{table}\n\n- slope of log time against log N: {slope:.2f}\n\n![time and memory]({PLOT.name})"
    )


def _draw(n: np.ndarray, seconds: np.ndarray, anon: np.ndarray) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.loglog(n, seconds, "o-", label="streamed")
    left.loglog(n, seconds[-1] * n / n[-1], "--", color="grey", label="linear in N")
    left.set(xlabel="N", ylabel="seconds per epoch")
    left.legend()
    right.semilogx(n, anon, "o-", label="most RssAnon")
    right.semilogx(n, n * 3136 / 2**20, "--", color="grey", label="the data")
    right.set(xlabel="N", ylabel="MiB", ylim=(0, 2 * anon.max()))
    right.legend()
    figure.savefig(PLOT, dpi=100)


def main() -> None:
    told = harness.options(__doc__, rows=640_000, rounds=3, epochs=2).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        written(path, told.rows)
        kinds = {
            which: lambda which=which: run(path, which, told.rows, told.epochs)
            for which in ("resident", "streamed")
        }
        found = harness.interleaved(kinds, told.rounds)
        first = speeds(found, told.rows * 3136 / 2**20)
        print(first, file=sys.stderr, flush=True)
        decades = [told.rows // 1000, told.rows // 100, told.rows // 10, told.rows]
        grown = [run(path, "streamed", n, 12 if n * 50 < told.rows else 4) for n in decades[:-1]]
        grown.append(run(path, "streamed", told.rows, told.epochs))
        body = f"{first}\n\n{growth(grown)}"
    harness.publish("streaming", body, write=told.write)


if __name__ == "__main__":
    main()
