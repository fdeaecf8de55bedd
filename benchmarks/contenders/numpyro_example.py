"""The same VAE as NumPyro's example has it: stax nets, ``SVI.update``, Trace_ELBO, batches in a loop.

The images are cast to float32 once, and the order is drawn anew each epoch, as there.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax
import reporting
from jax.example_libraries import stax
from numpyro.infer import SVI, Trace_ELBO
from sizes import HIDDEN, LATENT, LEARNING_RATE, PIXELS

LOC_AND_SCALE = (stax.Dense(LATENT), stax.serial(stax.Dense(LATENT), stax.Exp))
ENCODER = stax.serial(stax.Dense(HIDDEN), stax.Softplus, stax.FanOut(2), stax.parallel(*LOC_AND_SCALE))
DECODER = stax.serial(stax.Dense(HIDDEN), stax.Softplus, stax.Dense(PIXELS))


def model(x: jax.Array) -> None:
    decode = numpyro.module("decoder", DECODER, (len(x), LATENT))
    with numpyro.plate("data", len(x)):
        z = numpyro.sample("z", dist.Normal(0, 1).expand([LATENT]).to_event(1))
        numpyro.sample("x", dist.Bernoulli(logits=decode(z)).to_event(1), obs=x)


def guide(x: jax.Array) -> None:
    encode = numpyro.module("encoder", ENCODER, x.shape)
    loc, scale = encode(x)
    with numpyro.plate("data", len(x)):
        numpyro.sample("z", dist.Normal(loc, scale).to_event(1))


@partial(jax.jit, static_argnames=("svi", "batch"))
def epoch(svi: SVI, state: Any, data: jax.Array, key: jax.Array, batch: int) -> tuple[Any, jax.Array]:
    """Take one epoch of steps; return the state and the mean negative ELBO per datum."""
    steps = len(data) // batch
    rows = jax.random.permutation(key, len(data))[: steps * batch].reshape(steps, batch)

    def step(index: int, at: tuple) -> tuple:
        total, state = at
        state, loss = svi.update(state, data[rows[index]])
        return total + loss, state

    total, state = jax.lax.fori_loop(0, steps, step, (0.0, state))
    return state, total / (steps * batch)


def main() -> None:
    images, epochs, batch = reporting.work()
    compiled = reporting.Compilations()
    clock = reporting.Clock()
    key = jax.random.key(0)
    data = jnp.asarray(images, jnp.float32)
    svi = SVI(model, guide, optax.adam(LEARNING_RATE), Trace_ELBO())
    state = svi.init(key, data[:batch])
    for index in range(epochs):
        state, loss = epoch(svi, state, data, jax.random.fold_in(key, index), batch)
        elbo = -float(loss)
        clock.tick()
    reporting.report(clock, elbo, compiled.of("epoch"))


if __name__ == "__main__":
    main()
