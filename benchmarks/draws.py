"""How fast an autoregressive p(x|z) is drawn from: all entries until none changes, and one by one.

Both give the same images from the same noise, which is looked at. How many passes of the masked net the
first takes depends on how far pixels follow each other, so that the nets are trained, for some steps.
"""

import time
from collections.abc import Callable

import harness
import jax
import jax.numpy as jnp
from numpyro import handlers

from probvae import VAE, fit, likelihoods, nets
from probvae.data import list_datasets, load
from probvae.distributions import Autoregressive

NETS = {
    "MaskedConv((16, 16))": nets.MaskedConv((16, 16)),
    "gated MaskedConv": nets.MaskedConv((16, 16, 16), gated=True),
    "MADE((500,))": nets.MADE((500,)),
}
HEAD = ["masked net", "images per second", "one by one", "times as fast", "passes", "train ELBO, nats"]


@jax.jit
def one_by_one(p: Autoregressive, rng_key: jax.Array) -> jax.Array:
    """Draw entry i in pass i."""
    shape = p.features.shape[:-1]

    def entry(i: jax.Array, x: jax.Array) -> jax.Array:
        drawn = p.conditional(x.reshape(shape), p.features).sample(rng_key).reshape(x.shape)
        return x.at[:, i].set(drawn[:, i].astype(x.dtype))

    size = p.features[0, ..., 0].size
    x = jax.lax.fori_loop(0, size, entry, jnp.zeros((shape[0], size)))
    return x.reshape(shape)


@jax.jit
def drawn(p: Autoregressive, rng_key: jax.Array) -> jax.Array:
    """Draw as the package does."""
    return p.sample(rng_key)


def passes(p: Autoregressive, rng_key: jax.Array) -> int:
    """Count the passes until no entry changes."""
    again = jax.jit(lambda x: p.conditional(x, p.features).sample(rng_key).astype(x.dtype))
    x, count, same = jnp.zeros(p.features.shape[:-1]), 0, False
    while not same:
        new = again(x)
        x, count, same = new, count + 1, bool((new == x).all())
    return count


def timed(draw: Callable, p: Autoregressive, rng_key: jax.Array) -> tuple[jax.Array, float]:
    """Return draws and the seconds that they take, once the program is compiled."""
    draw(p, rng_key).block_until_ready()
    start = time.perf_counter()
    return draw(p, rng_key).block_until_ready(), time.perf_counter() - start


def row(name: str, data: object, images: int, steps: int) -> list[str]:
    """Train with a net, draw both ways, compare."""
    likelihood = likelihoods.Autoregressive(NETS[name])
    vae = VAE(event_shape=data.event_shape, latent_dim=10, likelihood=likelihood)
    x = data.train[: steps * 100]
    fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=1, batch_size=100, progress=False)
    z = jax.random.normal(jax.random.key(1), (images, 10))
    with handlers.substitute(data=fitted.values):
        p = vae.eval().p_x(z)
    key = jax.random.key(2)
    (ours, fast), (theirs, slow) = timed(drawn, p, key), timed(one_by_one, p, key)
    if not bool((ours == theirs).all()):
        raise SystemExit(f"{name}: the two draws differ")
    cells = [f"{images / fast:.1f}", f"{images / slow:.2f}", f"{slow / fast:.1f}"]
    elbo = fitted.history.train["elbo"][-1]
    return [name, *cells, f"{passes(p, key)} of {p.features[0, ..., 0].size}", f"{elbo:.1f}"]


def main() -> None:
    asked = harness.options(__doc__, images=64, steps=300).parse_args()
    data = load("binarized-mnist" if list_datasets()["binarized-mnist"].available else "digits")
    rows = [row(name, data, asked.images, asked.steps) for name in NETS]
    where = f"{asked.images} images of {data.name} at once, after {asked.steps} steps of 100"
    harness.publish("draws", f"{harness.table(HEAD, rows)}\n\n{where}.", write=asked.write)


if __name__ == "__main__":
    main()
