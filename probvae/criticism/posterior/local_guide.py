"""The best local guide: the encoder's outputs for a datum, free to move uphill."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from probvae.evidence import Batch
from probvae.fitted.queries import posterior_programs
from probvae.objectives.terms import terms
from probvae.typing import Params, RngKey, Shape


class Plan(NamedTuple):
    """How to climb, and on how many draws to score."""

    num_steps: int
    rate: float
    num_draws: int
    num_particles: int


class Scores(NamedTuple):
    """Of draws z_k, ``(particles,)``, in nats: log p(x|z_k) - KL, and log p(x, z_k) - log q(z_k|x)."""

    elbo: jax.Array
    log_weight: jax.Array


class Programs(NamedTuple):
    """The model of one datum, and its guide as a function of the encoder's outputs."""

    model: Callable
    guide: Callable
    start: jax.Array  # the encoder's own outputs
    batch: Batch  # the datum, as a batch of one


def with_local_encoder(vae: Any) -> Any:
    """Return the VAE whose encoder's weights are its outputs, for one datum."""
    return replace(vae, encoder=FixedOutputs()).eval()


def programs(vae: Any, local: Any, values: Params, datum: Batch) -> Programs:
    """Return the programs of one datum; the model keeps the fitted encoder where its prior uses it."""
    batch = jax.tree.map(lambda a: a[None], datum)

    def guide(outputs: jax.Array) -> Callable:
        return posterior_programs(local.guide, {**values, "encoder$params": {"outputs": outputs}})

    start = posterior_programs(vae.encoded, values)(*batch)[0]
    return Programs(posterior_programs(vae.model, values), guide, start, batch)


@dataclass(frozen=True)
class FixedOutputs:
    """A net whose weights are its output, whatever it is told: an encoder for one datum."""

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _FixedOutputsModule(out_shape)


class _FixedOutputsModule(nnx.Module):
    def __init__(self, out_shape: Shape) -> None:
        self.outputs = nnx.Param(jnp.zeros(out_shape))

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(self.outputs[...], (x.shape[0], *self.outputs.shape))


def optimize_outputs(rng_key: RngKey, at: Programs, plan: Plan) -> jax.Array:
    """Return the outputs after Adam's steps uphill on fresh draws, the rate falling to 0."""
    schedule = optax.cosine_decay_schedule(plan.rate, plan.num_steps)
    optimizer = optax.chain(optax.zero_nans(), optax.adam(schedule))

    def loss(outputs: jax.Array, key: RngKey) -> jax.Array:
        return -scores(at, outputs, jax.random.split(key, plan.num_draws), plan.num_draws).elbo.mean()

    def step(state: tuple, key: RngKey) -> tuple[tuple, None]:
        outputs, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(outputs, key), moments)
        return (optax.apply_updates(outputs, updates), moments), None

    keys = jax.random.split(rng_key, plan.num_steps)
    return jax.lax.scan(step, (at.start, optimizer.init(at.start)), keys)[0][0]


def scores(at: Programs, outputs: jax.Array, keys: jax.Array, at_a_time: int) -> Scores:
    """Score one datum under the guide of these outputs, once for each key."""

    def particle(key: RngKey) -> Scores:
        read = terms(key, {}, at.model, at.guide(outputs), *at.batch)
        return Scores((read.log_likelihood - read.total_kl)[0], read.log_weight[0])

    if len(keys) <= at_a_time:
        return jax.vmap(particle)(keys)
    return jax.lax.map(particle, keys, batch_size=at_a_time)
