"""Queries of many numbers of rows: programs that are compiled, memory, and the time of one row.

A service scores tables of 1, 2, 3, ... rows. If each number of rows compiled programs of its own,
memory would grow without end: a compiled program is never freed.

    python benchmarks/queries.py --sizes 1000
"""

import argparse
import time

import jax
import numpy as np

from probvae import VAE, fit, likelihoods, nets

KEY = jax.random.key(1)
FEATURES = 50


def fitted():
    """Return a VAE of ordinary size, hardly trained: the time of a query does not depend on that."""
    net = nets.MLP((256, 256))
    vae = VAE(
        event_shape=(FEATURES,),
        latent_dim=8,
        likelihood=likelihoods.Gaussian(),
        encoder=net,
        decoder=net,
    )
    x = np.random.default_rng(0).normal(size=(1000, FEATURES)).astype("float32")
    return fit(vae, x, rng_key=jax.random.key(0), epochs=1, batch_size=100, progress=False), x


def queries(at):
    """Return the queries of a service, as functions of rows."""
    return {
        "encode": lambda x: np.asarray(at.encode(x).mean),
        "reconstruct": lambda x: np.asarray(at.reconstruct(x)),
        "log_prob": lambda x: at.log_prob(x, rng_key=KEY, num_particles=10).value,
        "sample": lambda x: np.asarray(at.sample(len(x), rng_key=KEY).x),
    }


def resident():
    """Return the memory of this process, in MiB (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def milliseconds(query, repeats=200):
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        query()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def main(sizes):
    """Print a table."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    at, x = fitted()
    shown = sorted({1, max(sizes // 10, 1), max(sizes // 2, 1), sizes})
    print("| query | " + " | ".join(f"{n} sizes" for n in shown) + " | programs | one row, ms |")
    print("| --- |" + " --- |" * (len(shown) + 2))
    for name, query in queries(at).items():
        compiled.clear()
        memory = {}
        for count, n in enumerate(np.random.default_rng(0).permutation(sizes) + 1, 1):
            query(x[:n])
            if count in shown:
                memory[count] = f"{resident():.0f} MiB"
        programs = len(compiled)
        one = milliseconds(lambda query=query: query(x[:1]))
        print(f"| {name} | {' | '.join(memory.values())} | {programs} | {one:.2f} |", flush=True)
    program = jax.jit(lambda x: x @ np.ones((FEATURES, 8), np.float32))
    one = milliseconds(lambda: program(x[:1]).block_until_ready())
    print(f"\na compiled product of one row: {one:.3f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, default=1000, help="how many numbers of rows, up to 1000")
    main(parser.parse_args().sizes)
