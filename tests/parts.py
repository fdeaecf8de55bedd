"""Parts that only the tests need: hierarchies, a discrete pair, a guide that looks at the model."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flax import nnx

from probvae import nets
from probvae.distributions import BernoulliLogits
from probvae.interfaces import (
    AbstractDistributionGuide,
    AbstractDistributionPrior,
    AbstractProgramGuide,
    AbstractProgramPrior,
)
from probvae.likelihoods import Bernoulli


def normal(site, outputs):
    return numpyro.sample(
        site, dist.Normal(outputs[..., 0], 0.1 + jax.nn.softplus(outputs[..., 1])).to_event(1)
    )


@dataclass(frozen=True)
class TwoLevelPrior(AbstractProgramPrior):
    """z2 ~ N(0, I), z1 | z2 ~ N(f(z2)); the decoder is given z1."""

    def sample(self, scope):
        n = scope.latent_dim
        net = nets.register("prior$z1", nets.Linear(), (n,), (n, 2), training=scope.training)
        z2 = numpyro.sample("z2", dist.Normal(jnp.zeros(n), 1.0).to_event(1))
        return normal("z1", net(z2))


@dataclass(frozen=True)
class TwoLevelGuide(AbstractProgramGuide):
    """q(z2 | x) q(z1 | x, z2) from the top down, or q(z1 | x) q(z2 | z1) from the bottom up."""

    top_down: bool = True

    def output_shape(self, latent_dim):
        return (latent_dim, 2)

    def sample(self, outputs, scope):
        n = scope.latent_dim
        net = nets.register("guide$next", nets.Linear(), (n,), (n, 2), training=scope.training)
        first, second = ("z2", "z1") if self.top_down else ("z1", "z2")
        normal(second, net(normal(first, outputs)) + outputs)


@dataclass(frozen=True)
class BernoulliPrior(AbstractDistributionPrior):
    def distribution(self, scope):
        return dist.Bernoulli(probs=jnp.full(scope.latent_dim, 0.5)).to_event(1)


@dataclass(frozen=True)
class BernoulliGuide(AbstractDistributionGuide):
    def output_shape(self, latent_dim):
        return (latent_dim,)

    def distribution(self, outputs, scope):
        return BernoulliLogits(outputs).to_event(1)


@dataclass(frozen=True)
class OneStepGuide(AbstractProgramGuide):
    """The encoder's mean, moved one gradient step of log p(x, z) uphill."""

    uses_log_joint = True
    rate: float = 0.1

    def output_shape(self, latent_dim):
        return (latent_dim, 2)

    def sample(self, outputs, scope):
        start = jax.lax.stop_gradient(outputs[..., 0])
        slope = jax.grad(lambda z: scope.log_joint(z).sum())(start)
        moved = outputs.at[..., 0].add(self.rate * jax.lax.stop_gradient(slope))
        normal("z", moved)


@dataclass(frozen=True)
class ScaledPrior(AbstractProgramPrior):
    """A prior that counts itself twice by a handler: what a plate should say."""

    def sample(self, scope):
        with numpyro.handlers.scale(scale=2.0):
            return numpyro.sample("z", dist.Normal(jnp.zeros(scope.latent_dim), 1.0).to_event(1))


class BatchNormNet(nnx.Module):
    """A user's own NNX class with running state and dropout: a recipe as it stands."""

    def __init__(self, in_shape, out_shape, *, rngs):
        n, m = (jnp.ones(shape).size for shape in (in_shape, out_shape))
        self.out_shape = out_shape
        self.norm = nnx.BatchNorm(n, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.linear = nnx.Linear(n, m, rngs=rngs)

    def __call__(self, x):
        h = self.dropout(self.norm(x.reshape(len(x), -1)))
        return self.linear(h).reshape(len(x), *self.out_shape)


class WrongShapeNet(nnx.Module):
    def __init__(self, in_shape, out_shape, *, rngs):
        self.linear = nnx.Linear(in_shape[0], 5, rngs=rngs)

    def __call__(self, x):
        return self.linear(x)


@dataclass(frozen=True)
class NoDensity(Bernoulli):
    is_density = False


@dataclass(frozen=True)
class NoFactors(Bernoulli):
    factorises = False
