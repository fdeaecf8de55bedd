"""Guides whose draws do not follow their density: refused by name, and no others."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from test_row_cuts import vae_of, values_of
from test_threads import KEY, X, fitted_to

from probvae import guides, priors
from probvae.evidence import Batch
from probvae.fitted import Fitted, History
from probvae.fitted.guide_density_check import check_guide_draws
from probvae.interfaces import AbstractDistributionGuide, AbstractProgramGuide


class AtMode(dist.Normal):
    """A normal density whose draws are all its mode."""

    def sample(self, key, sample_shape=()):
        return jnp.broadcast_to(self.loc, sample_shape + self.batch_shape)

    rsample = sample


class SometimesAtMode(dist.Normal):
    """The same, but only for rows whose mode is positive."""

    def sample(self, key, sample_shape=()):
        return jnp.where(self.loc > 0, self.loc, super().sample(key, sample_shape))


@dataclass(frozen=True)
class Own(AbstractDistributionGuide):
    """A user's guide, of a family with a mean and a scale."""

    family: type = dist.Normal
    scale: float = 0.5
    loc: float = 0.0
    is_density = True

    def output_shape(self, latent_dim):
        return (latent_dim,)

    def distribution(self, outputs, scope):
        return self.family(self.loc + outputs, self.scale).to_event(1)


@dataclass(frozen=True)
class OwnProgram(AbstractProgramGuide):
    def output_shape(self, latent_dim):
        return (latent_dim,)

    def sample(self, outputs, scope):
        numpyro.sample("z", AtMode(outputs, 0.5).to_event(1))


@dataclass(frozen=True)
class Point(AbstractDistributionGuide):
    transformed: bool = False

    def output_shape(self, latent_dim):
        return (latent_dim,)

    def distribution(self, outputs, scope):
        if self.transformed:
            shift = dist.transforms.AffineTransform(0.0, 2.0)
            return dist.TransformedDistribution(dist.Delta(outputs), shift).to_event(1)
        return dist.Delta(outputs, event_dim=1)


@dataclass(frozen=True)
class KnownPoint(Point):
    is_density = False


STUCK = [Own(AtMode), Own(SometimesAtMode), OwnProgram(), Own(AtMode, loc=1e3)]


@pytest.mark.parametrize("guide", STUCK, ids=["all rows", "some rows", "program", "far out"])
def test_equal_particles_of_a_wide_density_are_refused(guide):
    vae = vae_of(guide)
    with pytest.raises(ValueError, match=r"equal particles: 4 draws of \"z\" for row \d+ .*PointMass"):
        check_guide_draws(vae, values_of(vae), Batch(X))


@pytest.mark.parametrize("query", ["fit", "elbo", "log_prob", "impute"])
def test_fit_and_every_bound_ask(query):
    vae = vae_of(Own(AtMode))
    fitted = Fitted(vae, values_of(vae), History({}, {}, {}))
    calls = {
        "fit": lambda: fitted_to(vae),
        "elbo": lambda: fitted.elbo(X, rng_key=KEY),
        "log_prob": lambda: fitted.log_prob(X, rng_key=KEY, num_particles=5),
        "impute": lambda: fitted.impute(X, X > 0, rng_key=KEY, num_particles=5),
    }
    with pytest.raises(ValueError, match="equal particles"):
        calls[query]()


@dataclass(frozen=True)
class OwnBits(guides.Bernoulli):
    """A user's discrete guide: its draws are often equal."""


@dataclass(frozen=True)
class OwnPoint(guides.PointMass):
    """A user's plain autoencoder."""


FINE = {
    "wide": (Own(), priors.StandardNormal()),
    "as narrow as float32 can tell": (Own(scale=5e-5, loc=1e3), priors.StandardNormal()),
    "zero to rounding": (Own(scale=1e-12, loc=1.0), priors.StandardNormal()),
    "discrete": (OwnBits(), priors.Bernoulli()),
    "no density": (OwnPoint(), priors.StandardNormal()),
}


@pytest.mark.parametrize("name", FINE)
def test_other_guides_pass(name):
    vae = vae_of(*FINE[name])
    check_guide_draws(vae, values_of(vae), Batch(X))


@pytest.mark.parametrize("guide", [Point(), Point(transformed=True)], ids=["plain", "transformed"])
def test_a_delta_guide_is_sent_to_point_mass(guide):
    with pytest.raises(ValueError, match=r"posterior Point puts all mass.*guides.PointMass\(\)"):
        vae_of(guide)


def test_a_delta_guide_that_says_so_is_taken():
    """The advice of the error."""
    vae_of(KnownPoint())
    vae_of(guides.PointMass())


def test_a_fit_of_a_users_own_guide_is_that_of_the_same_guide_of_the_package():
    fitted = fitted_to(vae_of(Own()))
    assert np.isfinite(fitted.elbo(X, rng_key=KEY).mean)
    assert isinstance(jax.tree.leaves(fitted.values)[0], jax.Array)
