"""What a machine does at most: FLOP a second of large matrix products, bytes a second of a copy."""

import json
import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp


def rate(n: int = 1500) -> float:
    """Return FLOP a second of products of n x n matrices in single precision."""
    a, product = jnp.ones((n, n)), jax.jit(jnp.matmul)
    return 2 * n**3 / _least(lambda: product(a, a))


def bandwidth(megabytes: int = 256) -> float:
    """Return bytes a second, read and written, of adding one to a large array."""
    a, plus = jnp.ones(megabytes * 2**18), jax.jit(lambda a: a + 1)
    return 2 * a.nbytes / _least(lambda: plus(a))


def _least(call: Callable, times: int = 5) -> float:
    jax.block_until_ready(call())
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    print(json.dumps({"rate": rate(), "bandwidth": bandwidth()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
