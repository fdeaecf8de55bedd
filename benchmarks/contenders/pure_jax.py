"""The floor: the same VAE trained by hand-written JAX, without NumPyro, NNX and optax.

One epoch is one ``lax.scan``; the state is donated; the uint8 images are an argument, gathered and
cast in the step; the KL is in closed form; Adam is spelled out.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import reporting
from sizes import HIDDEN, LATENT, LEARNING_RATE, PIXELS

LOG_BOUND = 10.0  # of the log standard deviation, as in guides.MeanField


class State(NamedTuple):
    """Weights, Adam's two moments, and the number of steps taken."""

    params: Any
    mean: Any
    square: Any
    step: jax.Array


def start(key: jax.Array) -> State:
    sizes = {
        "encode": (PIXELS, HIDDEN),
        "code": (HIDDEN, 2 * LATENT),
        "decode": (LATENT, HIDDEN),
        "logits": (HIDDEN, PIXELS),
    }
    lecun = jax.nn.initializers.lecun_normal()
    keys = jax.random.split(key, len(sizes))
    params = {
        name: (lecun(k, (n, m)), jnp.zeros(m))
        for k, (name, (n, m)) in zip(keys, sizes.items(), strict=True)
    }
    zeros = jax.tree.map(jnp.zeros_like, params)
    return State(params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), int))


def affine(layer: tuple, x: jax.Array) -> jax.Array:
    return x @ layer[0] + layer[1]


def encode(params: dict, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    hidden = jax.nn.softplus(affine(params["encode"], x))
    """Return the mean and the log standard deviation of q(z|x)."""
    loc, raw = jnp.split(affine(params["code"], hidden), 2, axis=-1)
    return loc, LOG_BOUND * jnp.tanh(raw / (2 * LOG_BOUND))


def decode(params: dict, z: jax.Array) -> jax.Array:
    return affine(params["logits"], jax.nn.softplus(affine(params["decode"], z)))


def log_likelihood(logits: jax.Array, x: jax.Array) -> jax.Array:
    return (x * logits - jax.nn.softplus(logits)).sum(-1)


def negative_elbo(params: dict, key: jax.Array, x: jax.Array) -> jax.Array:
    loc, log_scale = encode(params, x)
    scale = jnp.exp(log_scale)
    z = loc + scale * jax.random.normal(key, loc.shape)
    kl = (0.5 * (loc**2 + scale**2 - 1.0) - log_scale).sum(-1)
    return (kl - log_likelihood(decode(params, z), x)).sum()


def adam(state: State, grad: Any) -> State:
    step = state.step + 1
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mean, grad)
    square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, state.square, grad)
    rate, shrink = LEARNING_RATE / (1 - 0.9**step), 1 / (1 - 0.999**step)
    params = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(shrink * v) + 1e-8), state.params, mean, square
    )
    return State(params, mean, square, step)


@partial(jax.jit, donate_argnames=("state",), static_argnames=("batch",))
def epoch(state: State, data: jax.Array, key: jax.Array, batch: int) -> tuple[State, jax.Array]:
    """Take one epoch of steps; return the state and every step's negative ELBO per datum."""
    steps = len(data) // batch
    order_key, noise_key = jax.random.split(key)
    rows = jax.random.permutation(order_key, len(data))[: steps * batch].reshape(steps, batch)

    def step(state: State, at: tuple) -> tuple[State, jax.Array]:
        key, row = at
        x = data[row].astype(jnp.float32)
        loss, grad = jax.value_and_grad(negative_elbo)(state.params, key, x)
        return adam(state, grad), loss / batch

    return jax.lax.scan(step, state, (jax.random.split(noise_key, steps), rows))


def main() -> None:
    images, epochs, batch = reporting.work()
    compiled = reporting.Compilations()
    clock = reporting.Clock()
    key = jax.random.key(0)
    state, data = jax.jit(start)(key), jax.device_put(images)
    for index in range(epochs):
        state, losses = epoch(state, data, jax.random.fold_in(key, index), batch)
        elbo = -float(jax.device_get(losses).mean())
        clock.tick()
    reporting.report(clock, elbo, compiled.of("epoch"))


if __name__ == "__main__":
    main()
