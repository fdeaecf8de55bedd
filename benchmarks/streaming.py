"""Streamed training beside resident, interleaved: images per second, and the anonymous memory.

The data are a file of 784 bytes an image (written for this, and deleted); the VAE is that of
``training.py``. A streamed round takes shuffled rows of the whole file, chunk by chunk, as ``fit``
does; a resident round takes as many steps of a block that is on the device. Each chunk is a call of
the same compiled steps. Not measured: the shuffle itself, and the check before training.

    python benchmarks/streaming.py --gib 2 --rounds 4
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import optax

from probvae import VAE, likelihoods, nets
from probvae.data import Cast, Streamed
from probvae.evidence import Batch
from probvae.objectives import ELBO
from probvae.training import loop
from probvae.training.streaming import StreamedFeed

BATCH, STEPS = 128, 300
PEAK = [0.0]


def anonymous() -> float:
    """Return the process's anonymous memory in MiB, and keep the largest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    now = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024
    PEAK[0] = max(PEAK[0], now)
    return now


def written(path: Path, n: int) -> None:
    """Write n binary images."""
    random = np.random.default_rng(0)
    block = (random.random((2**14, 784)) < 0.2).astype(np.uint8)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 784))
    for start in range(0, n, len(block)):
        array[start : start + len(block)] = block[: n - start]


def rounds(path: Path, count: int) -> tuple[list[float], list[float]]:
    """Return images per second of each round, streamed and resident."""
    net = nets.MLP((400,))
    vae = VAE(
        event_shape=(784,),
        latent_dim=20,
        encoder=net,
        decoder=net,
        likelihood=likelihoods.Bernoulli(),
    )
    run = loop.Run(vae, ELBO(), optax.adam(1e-3), Cast(), BATCH)
    data = Streamed(np.load(path, mmap_mode="r"), chunk_bytes=100 * BATCH * 784)
    feed, key = StreamedFeed(Batch(data), None, vae.likelihood.fill), jax.random.key(0)
    state = loop.start(run, key, feed.first(BATCH), {})
    held = jax.device_put(feed.first(STEPS * BATCH))
    resident = lambda s: loop.epoch(run, s, {}, held, None, key, 0)[0]  # noqa: E731

    def streamed(state: object, rows: np.ndarray) -> object:
        for first, _, batches in feed._chunks(feed.train, rows):
            state, seen = loop.some_steps(run, state, batches, key, (0, first), feed.n, guarded=False)
            jax.block_until_ready(seen)
            anonymous()
        return state

    all_rows = np.asarray(loop.rows_of_steps(key, 0, feed.n, BATCH))
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(count + 1):
        rows = all_rows[number * STEPS : (number + 1) * STEPS]
        for times, train in zip(found, (lambda s: streamed(s, rows), resident), strict=True):  # noqa: B023
            begun = time.perf_counter()
            state = jax.block_until_ready(train(state))
            times.append(STEPS * BATCH / (time.perf_counter() - begun))
            anonymous()
    return found[0][1:], found[1][1:]  # the first compiles


def main() -> None:
    """Write the file, measure, and say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        written(path, int(arguments.gib * 2**30 / 784))
        anonymous()
        streamed, resident = rounds(path, arguments.rounds)
        size = path.stat().st_size / 2**20
    ratios = [a / b for a, b in zip(streamed, resident, strict=True)]
    print(f"file {size:,.0f} MiB, anonymous memory at most {PEAK[0]:,.0f} MiB: {size / PEAK[0]:.1f}x")
    print(f"streamed {statistics.median(streamed):,.0f} images/s, resident", end=" ")
    print(f"{statistics.median(resident):,.0f}; ratio {statistics.median(ratios):.2f}", end=" ")
    print(f"({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)")


if __name__ == "__main__":
    main()
