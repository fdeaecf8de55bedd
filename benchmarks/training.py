"""Time of training: ``probvae.fit`` beside JAX, NumPyro, PyTorch, pythae and Pyro, on the same work.

The work: 60,000 binary 28x28 images in uint8 (MNIST thresholded at 127 where $PROBVAE_DATA has it,
otherwise blobs), 784-400-(20+20) encoder, 20-400-784 decoder, softplus, Bernoulli, batch 128, Adam
1e-3, float32, one particle. Each contender runs in its own process, once a round. Compilation is the
first epoch less a steady one: it includes the start, and for ``fit`` its checks. The peak is that of
the whole process, imports and the images included. Two floors: FLOP of a step's eleven matrix products
over the machine's rate of large ones, and the bytes that Adam must move over its bandwidth.
"""

import gzip
import os
import statistics
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np
from contenders.sizes import BATCH, HIDDEN, LATENT, PIXELS

FLOOR, OURS = "pure JAX", "probvae.fit"
COMPILED = "torch compiled, fused Adam"
GATES = {"ratio": 1.05, "peak": 500.0, "compile": 2.0, "compilations": 1}


def images(n: int) -> np.ndarray:
    """Return binary images ``(n, 28, 28)``, uint8."""
    path = Path(os.environ.get("PROBVAE_DATA", "data")) / "mnist" / "train-images-idx3-ubyte.gz"
    if not path.exists():
        return blobs(n)
    with gzip.open(path) as file:
        pixels = np.frombuffer(file.read(16 + 784 * n), np.uint8, offset=16)
    return (pixels > 127).astype(np.uint8).reshape(-1, 28, 28)


def blobs(n: int) -> np.ndarray:
    """Return images of one disc each, at a random place and of a random size."""
    random = np.random.default_rng(0)
    centre, radius = random.uniform(6, 22, (2, n, 1)), random.uniform(2, 8, (n, 1, 1))
    grid = np.arange(28)
    down, right = ((grid - c) ** 2 for c in centre)
    return (down[:, :, None] + right[:, None, :] < radius**2).astype(np.uint8)


def contenders(path: Path, epochs: int, batch: int, torch_python: str) -> dict:
    """Return what to run by name; those of PyTorch only where it is installed."""

    def runs(python: str, script: str, *told: str) -> object:
        return lambda: harness.run(python, script, path, epochs, batch, *told)

    found = {FLOOR: runs(sys.executable, "pure_jax"), OURS: runs(sys.executable, "ours")}
    found["NumPyro, as its example"] = runs(sys.executable, "numpyro_example")
    if harness.has(torch_python, "torch"):
        found["torch eager, fused Adam"] = runs(torch_python, "torch_step", "eager")
        found[COMPILED] = runs(torch_python, "torch_step", "compiled")
    if harness.has(torch_python, "pythae"):
        found["pythae BaseTrainer"] = runs(torch_python, "pythae_trainer")
    if harness.has(torch_python, "pyro"):
        found["Pyro, as its example"] = runs(torch_python, "pyro_example")
    return found


def floors(n: int, batch: int) -> str:
    """Return what an epoch takes at least, by the machine's rates: a sentence."""
    machine, steps = harness.run(sys.executable, "machine"), n // batch
    first, others = PIXELS * HIDDEN, HIDDEN * 2 * LATENT + LATENT * HIDDEN + HIDDEN * PIXELS
    flop = 2 * batch * (2 * first + 3 * others)  # no gradient reaches the data
    moved = 4 * 7 * (first + others)  # weights, moments and gradient read; weights and moments written
    by_flop, by_bytes = steps * flop / machine["rate"], steps * moved / machine["bandwidth"]
    return (
        f"- floor of an epoch: {by_flop:.2f} s by FLOP ({flop / 1e9:.2f} GFLOP a step, {steps} steps, "
        f"{machine['rate'] / 1e9:.0f} GFLOP/s), {by_bytes:.2f} s by bytes "
        f"({moved / 1e6:.0f} MB a step, {machine['bandwidth'] / 1e9:.0f} GB/s)"
    )


def summary(found: dict[str, list[dict]]) -> dict[str, dict]:
    """Return the numbers of every contender: medians over rounds."""
    return {
        name: {
            **harness.times(runs, found[FLOOR]),
            "compile": _first(runs, "seconds"),
            "compile cpu": _first(runs, "cpu"),
            "peak": statistics.median(r["peak"] for r in runs),
            "compilations": runs[0]["compilations"],
            "elbo": statistics.median(r["nats"] for r in runs),
        }
        for name, runs in found.items()
    }


def _first(runs: list[dict], clock: str) -> float:
    """Return how much longer the first epoch takes than a steady one."""
    return statistics.median(r[clock][0] - harness.steady(r, clock) for r in runs)


def report(numbers: dict[str, dict]) -> str:
    """Return the table, and a sentence for every gate."""
    head = ["contender", "s per epoch", "ratio", "ratio of CPU time", "compile s"]
    head += ["compile CPU s", "peak MiB", "compilations", "ELBO"]
    rows = [
        [
            name,
            f"{n['seconds']:.2f}",
            f"{n['ratio']:.2f}",
            f"{n['cpu ratio']:.2f}",
            f"{n['compile']:.1f}" if n["compilations"] else "-",
            f"{n['compile cpu']:.1f}" if n["compilations"] else "-",
            f"{n['peak']:.0f}",
            str(n["compilations"] or "-"),
            f"{n['elbo']:.2f}",
        ]
        for name, n in numbers.items()
    ]
    return "\n".join([harness.table(head, rows), "", *_gates(numbers)])


def _gates(numbers: dict[str, dict]) -> list[str]:
    ours = numbers[OURS]
    told = [
        f"- {name} {ours[name]:.4g}, gate {limit:g}: {'held' if ours[name] <= limit else '**missed**'}"
        for name, limit in GATES.items()
    ]
    against = {
        name: " times ours, ".join(f"{n[what] / ours[what]:.2f}" for what in ("ratio", "cpu ratio"))
        for name, n in numbers.items()
        if name not in (FLOOR, OURS)
    }
    return [*told, *(f"- {name}: {words} in CPU time" for name, words in against.items())]


def main() -> None:
    parser = harness.options(__doc__, rounds=3, epochs=5, batch=BATCH)
    parser.add_argument("--quick", action="store_true", help="2,000 images, one round, two epochs")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter with torch")
    parser.add_argument("--cores", type=int, help="all contenders on the first N cores only")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="beside pure JAX and probvae.fit")
    told = parser.parse_args()
    if told.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: told.cores])
    n, rounds, epochs = (2_000, 1, 2) if told.quick else (60_000, told.rounds, told.epochs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, images(n))
        runs = contenders(path, epochs, told.batch, told.torch_python)
        if told.only is not None:
            runs = {name: run for name, run in runs.items() if name in (FLOOR, OURS, *told.only)}
        body = report(summary(harness.interleaved(runs, rounds))) + "\n" + floors(n, told.batch)
    name = f"training on {told.cores} core" if told.cores else "training"
    harness.publish(name + f", batch {told.batch}" * (told.batch != BATCH), body, write=told.write)


if __name__ == "__main__":
    main()
