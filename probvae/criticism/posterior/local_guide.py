"""The best local guide of a datum: the encoder's outputs as free parameters, moved uphill by Adam."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from probvae.evidence import Batch
from probvae.fitted.queries import posterior_programs
from probvae.objectives.terms import terms
from probvae.typing import Params, Program, RngKey, Shape
from probvae.vae import VAE


class Plan(NamedTuple):
    """The settings of the optimization, and the number of draws for the scores."""

    num_steps: int
    rate: float
    num_draws: int
    num_particles: int


class Scores(NamedTuple):
    """Scores of draws z_k, ``(particles,)``, in nats.

    ``elbo`` is log p(x|z_k) - KL. ``log_weight`` is log p(x, z_k) - log q(z_k|x).
    """

    elbo: jax.Array
    log_weight: jax.Array


class LocalPrograms(NamedTuple):
    """The model of one datum, and its guide as a function of the encoder's outputs."""

    model: Program
    guide: Callable[[jax.Array], Program]
    start: jax.Array  # the encoder's own outputs
    batch: Batch  # the datum, as a batch of one


def with_local_encoder(vae: VAE) -> VAE:
    """Return the VAE whose encoder's weights are its outputs, for one datum."""
    return replace(vae, encoder=FixedOutputs()).eval()


def local_programs(vae: VAE, local: VAE, values: Params, datum: Batch) -> LocalPrograms:
    """Return the programs of one datum. A prior that uses the fitted encoder keeps it."""
    batch = jax.tree.map(lambda a: a[None], datum)

    def guide(outputs: jax.Array) -> Program:
        return posterior_programs(local.guide, {**values, "encoder$params": {"outputs": outputs}})

    start = posterior_programs(vae.run_encoder, values)(*batch)[0]
    return LocalPrograms(posterior_programs(vae.model, values), guide, start, batch)


@dataclass(frozen=True)
class FixedOutputs:
    """A net whose weights are its output, for every input: an encoder for one datum."""

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _FixedOutputsModule(out_shape)


class _FixedOutputsModule(nnx.Module):
    def __init__(self, out_shape: Shape) -> None:
        self.outputs = nnx.Param(jnp.zeros(out_shape))

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(self.outputs[...], (x.shape[0], *self.outputs.shape))


def optimize_outputs(rng_key: RngKey, programs: LocalPrograms, plan: Plan) -> jax.Array:
    """Return the outputs after Adam's steps on fresh draws. The rate falls to 0 as a cosine."""
    schedule = optax.cosine_decay_schedule(plan.rate, plan.num_steps)
    optimizer = optax.chain(optax.zero_nans(), optax.adam(schedule))

    def loss(outputs: jax.Array, key: RngKey) -> jax.Array:
        keys = jax.random.split(key, plan.num_draws)
        return -score_draws(programs, outputs, keys, plan.num_draws).elbo.mean()

    def step(state: tuple, key: RngKey) -> tuple[tuple, None]:
        outputs, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(outputs, key), moments)
        return (optax.apply_updates(outputs, updates), moments), None

    keys = jax.random.split(rng_key, plan.num_steps)
    return jax.lax.scan(step, (programs.start, optimizer.init(programs.start)), keys)[0][0]


def score_draws(
    programs: LocalPrograms, outputs: jax.Array, keys: jax.Array, batch_size: int
) -> Scores:
    """Score one datum under the guide of these outputs, with one draw for each key."""

    def score_draw(key: RngKey) -> Scores:
        draw = terms(key, {}, programs.model, programs.guide(outputs), *programs.batch)
        return Scores((draw.log_likelihood - draw.total_kl)[0], draw.log_weight[0])

    if len(keys) <= batch_size:
        return jax.vmap(score_draw)(keys)
    return jax.lax.map(score_draw, keys, batch_size=batch_size)
