"""Distributions of n rows from programs of a few sizes: those of the program that is not compiled."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform
from registry import GUIDES

from probvae import VAE, guides, likelihoods, nets, priors
from probvae.evidence import Batch
from probvae.fitted import queries
from probvae.interfaces import AbstractDistributionGuide
from probvae.tracing import trace_structure

PRIORS = {"Bernoulli": priors.Bernoulli, "Categorical": priors.Categorical}
PRIORS |= {"RelaxedBernoulli": priors.RelaxedBernoulli, "PowerSpherical": priors.UniformSphere}
PRIORS["RelaxedCategorical"] = priors.RelaxedCategorical
ONE = [name for name, make in GUIDES.items() if isinstance(make(), AbstractDistributionGuide)]
X = np.random.default_rng(0).normal(size=(1500, 3)).astype("float32")


def vae_of(posterior, prior=None, **parts):
    linear = {"encoder": nets.Linear(), "decoder": nets.Linear(), "likelihood": likelihoods.Gaussian()}
    prior = priors.StandardNormal() if prior is None else prior
    return VAE(event_shape=(3,), latent_dim=2, posterior=posterior, prior=prior, **{**linear, **parts})


def values_of(vae):
    """Random numbers for all parameters."""
    rng = np.random.default_rng(1)
    shapes = trace_structure(vae).params
    return jax.tree.map(lambda s: 0.3 * rng.normal(size=s.shape).astype(s.dtype), shapes)


def check_encoding(vae, values, x):
    """The encoding is q(z|x) as NumPyro itself gives it: both are drawn from and scored in one program."""
    q = queries.encode(vae.eval(), values, Batch(x))

    @jax.jit
    def both(values):
        guide = handlers.substitute(handlers.seed(vae.eval().guide, jax.random.key(0)), data=values)
        right = handlers.trace(guide).get_trace(x)["z"]["fn"]
        assert (q.batch_shape, q.event_shape) == (right.batch_shape, right.event_shape)
        z = right.sample(jax.random.key(2), (2,))
        return (q.sample(jax.random.key(2), (2,)), q.log_prob(z)), (z, right.log_prob(z))

    (draws, log_prob), (right_draws, right_log_prob) = both(values)
    np.testing.assert_allclose(draws, right_draws, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_prob, right_log_prob, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ONE)
def test_an_encoding_is_numpyros_own(name):
    """Three rows are cut from a program of four, for each guide that is one distribution."""
    vae = vae_of(GUIDES[name](), PRIORS.get(name, priors.StandardNormal)())
    check_encoding(vae, values_of(vae), X[:3])


@pytest.mark.parametrize("n", [2, 1023, 1500])
def test_blocks_of_rows_are_joined_and_cut(n):
    vae = vae_of(guides.LowRank(rank=1))
    check_encoding(vae, values_of(vae), X[:n])


def test_a_width_that_is_a_number_of_rows_is_not_cut():
    """Four rows, of which three count; the codes have four entries too."""
    vae = VAE(event_shape=(3,), latent_dim=4, posterior=guides.FullRank(), encoder=nets.Linear())
    check_encoding(vae, values_of(vae), X[:3] > 0)


class Forgetful(dist.Normal):
    """A distribution that a compiled program does not return whole: NumPyro knows nothing of ``shift``."""

    def __init__(self, loc, shift, **options):
        super().__init__(loc, 1.0, **options)
        self.shift = shift

    def log_prob(self, value):
        return super().log_prob(value - self.shift)

    def sample(self, key, sample_shape=()):
        return super().sample(key, sample_shape) + self.shift


class Closure(Transform):
    """A shift whose array only a function knows."""

    domain = codomain = constraints.real

    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        return self.function(x)

    def _inverse(self, y):
        return y - self.function(jnp.zeros_like(y))

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        return jnp.zeros_like(x)

    def tree_flatten(self):
        return (), ((), {"function": self.function})


@dataclass(frozen=True)
class Own(AbstractDistributionGuide):
    """A user's guide, with a distribution that is no pytree of its arrays."""

    transformed: bool

    def output_shape(self, latent_dim):
        return (2, latent_dim)

    def distribution(self, outputs, scope):
        loc, shift = outputs[:, 0], outputs[:, 1]
        if not self.transformed:
            return Forgetful(loc, shift).to_event(1)
        moved = dist.TransformedDistribution(dist.Normal(loc, 1.0), Closure(lambda x: x + shift))
        return moved.to_event(1)


@pytest.mark.parametrize("transformed", [False, True])
def test_an_encoding_that_no_program_returns_runs_in_python(transformed):
    vae = vae_of(Own(transformed))
    values = values_of(vae)
    for n in (2, 3):
        check_encoding(vae, values, X[:n])
