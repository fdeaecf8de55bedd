"""Parts that only the tests need: a guide that looks at the model, odd nets and likelihoods."""

import math
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flax import linen, nnx

from probvae import nets
from probvae.interfaces import AbstractProgramGuide, AbstractProgramPrior
from probvae.likelihoods import Bernoulli


def normal(site, outputs):
    return numpyro.sample(
        site, dist.Normal(outputs[..., 0], 0.1 + jax.nn.softplus(outputs[..., 1])).to_event(1)
    )


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


class LinenNet(linen.Module):
    """A user's own linen class, made for the shapes; its output is one vector per datum."""

    in_shape: tuple
    out_shape: tuple

    @linen.compact
    def __call__(self, x, train: bool):
        h = linen.BatchNorm(use_running_average=not train)(x.reshape(len(x), -1))
        h = linen.Dropout(0.2, deterministic=not train)(h)
        return linen.Dense(math.prod(self.out_shape))(h)


class EquinoxNet(eqx.Module):
    """A user's own equinox class, called on one datum."""

    layers: list
    dropout: eqx.nn.Dropout

    def __init__(self, in_shape, out_shape, *, key):
        first, last = jax.random.split(key)
        n, m = math.prod(in_shape), math.prod(out_shape)
        self.layers = [eqx.nn.Linear(n, 8, key=first), eqx.nn.Linear(8, m, key=last)]
        self.dropout = eqx.nn.Dropout(0.1)

    def __call__(self, x, *, key):
        h = jax.nn.relu(self.layers[0](x.ravel()))
        return self.layers[1](self.dropout(h, key=key))


BUILT = nets.PretrainedNet(
    nnx.Sequential(lambda x: x.reshape(len(x), -1), nnx.Linear(6, 4, rngs=nnx.Rngs(0)))
)


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
