"""The importance-weighted bound by hand, standard normal prior, on the stored weights.

``evidence_jax.py IMAGES REPEATS STORE PRIOR PARTICLES naive|chunked``: ``naive`` calls a compiled
function per image, which encodes it and decodes all particles at once; ``chunked`` encodes all
images, then scans over chunks of decoder rows with a running logsumexp, in one program.
"""

import math
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import reporting
from jax.scipy.special import logsumexp
from pure_jax import decode, encode, log_likelihood
from sizes import LATENT

ROWS = 2_500


def weights(store: str) -> dict:
    with np.load(f"{store}.npz") as held:
        names = {name[:-1] for name in held.files}
        return {n: (jnp.asarray(held[f"{n}0"]), jnp.asarray(held[f"{n}1"])) for n in names}


def log_weights(params: dict, key: jax.Array, q: tuple, x: jax.Array, count: int) -> jax.Array:
    """Log p(x, z) - log q(z | x) for draws z = loc + scale e: the normals' constants cancel."""
    loc, log_scale = q
    noise = jax.random.normal(key, (count, LATENT))
    z = loc + jnp.exp(log_scale) * noise
    ratio = 0.5 * (noise**2 - z**2).sum(-1) + log_scale.sum()
    return log_likelihood(decode(params, z), x) + ratio


@partial(jax.jit, static_argnames=("particles",))
def one(params: dict, key: jax.Array, x: jax.Array, particles: int) -> jax.Array:
    q = (a[0] for a in encode(params, x[None]))
    return logsumexp(log_weights(params, key, q, x, particles)) - math.log(particles)


def naive(params: dict, images: jax.Array, key: jax.Array, particles: int) -> float:
    keys = jax.random.split(key, len(images))
    return float(np.mean([one(params, k, x, particles) for k, x in zip(keys, images, strict=True)]))


@partial(jax.jit, static_argnames=("particles",))
def chunked(params: dict, images: jax.Array, key: jax.Array, particles: int) -> jax.Array:
    chunk = min(particles, ROWS)
    chunks = particles // chunk

    def datum(told: tuple) -> jax.Array:
        key, loc, log_scale, x = told

        def step(total: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
            log_w = log_weights(params, key, (loc, log_scale), x, chunk)
            return jnp.logaddexp(total, logsumexp(log_w)), None

        return jax.lax.scan(step, -jnp.inf, jax.random.split(key, chunks))[0]

    keys = jax.random.split(key, len(images))
    total = jax.lax.map(datum, (keys, *encode(params, images), images))
    return (total - math.log(chunks * chunk)).mean()


def main() -> None:
    images, repeats = reporting.arguments()
    store, _, particles, contender = sys.argv[3:]
    params, images = weights(store), jnp.asarray(images, jnp.float32)
    score = {"naive": naive, "chunked": chunked}[contender]
    compiled, clock = reporting.Compilations(), reporting.Clock()
    for key in jax.random.split(jax.random.key(0), repeats):
        nats = float(score(params, images, key, int(particles)))
        clock.tick()
    reporting.report(clock, nats, compiled.of("chunked") + compiled.of("one"))


if __name__ == "__main__":
    main()
