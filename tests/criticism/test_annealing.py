"""Annealed importance sampling against log p(x) in closed form and by quadrature, from both sides."""

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import oracle
import pytest
import test_rotated_oracle as rotated
from numpyro import handlers

from probvae import VAE, Batch, Fitted, History, guides, nets, priors
from probvae.criticism import annealed_log_prob, bracket
from probvae.criticism.posterior import annealing, hmc
from probvae.interfaces import AbstractDistributionGuide, AbstractDistributionPrior

KEY = jax.random.key(1)
X = rotated.X[:24].astype(np.float32)
TRUTH = oracle.log_prob(rotated.X[:24], *rotated.rotated())
STEPS = 100  # temperatures at which both sides are within 0.2 nat here, by either start
STARTS = {"prior": annealing.anneal_from_prior, "guide": annealing.anneal_from_guide}


@lru_cache
def fitted():
    return rotated.fitted(guides.MeanField(), rotated.best_mean_field())


@lru_cache
def bracketed(start, num_temperatures):
    return bracket(
        fitted(), rng_key=KEY, num_data=24, num_temperatures=num_temperatures, start=STARTS[start],
        num_leapfrog=6,
    )  # fmt: skip


@lru_cache
def measured(start):
    options = {"num_temperatures": STEPS, "num_leapfrog": 6, "start": STARTS[start]}
    return annealed_log_prob(fitted(), X, rng_key=KEY, **options)


def truth_of(found):
    return oracle.log_prob(np.asarray(found.x, float), *rotated.rotated())


def assert_mean_is_one(weights):
    """Within 4 standard errors, over data."""
    assert abs(weights.mean() - 1) < 4 * weights.std(ddof=1) / np.sqrt(len(weights))


@pytest.mark.parametrize("start", STARTS)
def test_mean_weight_is_the_density(start):
    found = measured(start)
    error = found.value - TRUTH
    assert_mean_is_one(np.exp(error))
    assert (error < 4 * found.standard_error).all()
    assert abs(found.mean - TRUTH.mean()) < 0.1
    assert error.std() == pytest.approx(found.standard_error.mean(), rel=0.4)
    assert (found.num_particles, found.num_temperatures) == (16, STEPS)


@pytest.mark.parametrize("start", STARTS)
def test_log_prob_is_bracketed(start):
    found = bracketed(start, STEPS)
    truth = truth_of(found)
    assert_mean_is_one(np.exp(found.lower.value - truth))
    assert_mean_is_one(np.exp(truth - found.upper.value))
    assert (found.lower.value - truth < 4 * found.lower.standard_error).all()
    assert (truth - found.upper.value < 4 * found.upper.standard_error).all()
    assert abs(found.gap.mean()) < (0.2 if start == "prior" else 0.1)
    assert np.median(np.abs(found.gap)) < 0.3


def test_few_temperatures_leave_a_gap_on_both_sides():
    found = bracketed("prior", 4)
    truth = truth_of(found)
    assert found.lower.mean < truth.mean() - 0.2
    assert found.upper.mean > truth.mean() + 0.2
    assert found.gap.mean() > 1.0


def test_steps_are_adapted_to_each_datum():
    """Acceptance comes near its target, in codes whose scales differ by the posterior's."""
    for run in bracketed("prior", STEPS)[1:]:
        np.testing.assert_allclose(run.acceptance, hmc.TARGET, atol=0.06)


@pytest.mark.slow
def test_one_program_serves_tuning_and_both_directions():
    hmc.move_along_path.clear_cache()
    bracket(fitted(), rng_key=KEY, num_data=3, num_particles=2, num_temperatures=5)
    assert hmc.move_along_path._cache_size() == 1


def test_one_temperature_is_importance_sampling():
    """From the exact posterior the weights have no spread, whatever the path."""
    guide, values = rotated.EXACT["FullRank"]
    at = rotated.fitted(guide, values())
    found = annealed_log_prob(
        at, X[:5], rng_key=KEY, num_temperatures=1, num_particles=2, start=annealing.anneal_from_guide
    )
    np.testing.assert_allclose(found.value, TRUTH[:5], atol=1e-3)
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-3)


@pytest.mark.slow
def test_a_datum_is_the_same_alone_and_in_company():
    """Up to rounding, which grows with the temperatures as a proposal is taken here and not there."""
    options = {"rng_key": KEY, "num_temperatures": 10, "num_particles": 4}
    alone, company = (annealed_log_prob(fitted(), x, **options) for x in (X[:1], X[:3]))
    np.testing.assert_allclose(alone.value, company.value[:1], atol=1e-3)


MODES, WEIGHTS, SPREAD, NOISE = np.array([[2.0, -1.0], [-2.0, 1.0]]), np.array([0.5, 1.0]), 0.6, 0.3


def two_modes():
    """A mixture of two normals, of which x = 0.5 z_1 + z_2 + e cannot tell one; the guide holds one."""
    vae = oracle.vae(1, 2, prior=priors.GaussianMixture(2))
    values = oracle.params(WEIGHTS[None], np.zeros(1), NOISE)
    layer = values["encoder$params"]["layers"][0]
    raw = rotated.raw_scale(np.array([0.5, 0.5]))
    layer["kernel"], layer["bias"] = np.zeros((1, 4)), np.stack([MODES[0], raw], 1).ravel()
    values |= {
        "prior$logits": np.zeros(2),
        "prior$loc": MODES,
        "prior$scale": np.full((2, 2), SPREAD),
    }
    return Fitted(vae, jax.tree.map(jnp.float32, values), History({}, {}, {}))


def by_quadrature(x):
    """log of the integral of p(z) p(x|z) over a grid of the plane."""
    axis = np.linspace(-6, 6, 801)
    z = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    square = ((z[:, None] - MODES) ** 2).sum(-1)
    prior = np.exp(-0.5 * square / SPREAD**2).mean(1) / (2 * math.pi * SPREAD**2)
    likelihood = np.exp(-0.5 * (x - z @ WEIGHTS) ** 2 / NOISE) / math.sqrt(2 * math.pi * NOISE)
    return np.log((likelihood * prior).sum(1) * (axis[1] - axis[0]) ** 2)


def test_a_mode_that_the_guide_misses():
    """Importance weighting cannot see it, and stays log 2 short; annealing from the prior is right."""
    at, x = two_modes(), np.linspace(-1.5, 1.5, 16, dtype=np.float32)[:, None]
    truth = by_quadrature(x.astype(float))
    found = annealed_log_prob(at, x, rng_key=KEY, num_temperatures=60, num_leapfrog=6)
    assert_mean_is_one(np.exp(found.value - truth))
    assert (found.value - truth < 4 * found.standard_error).all()
    assert abs((found.value - truth).mean()) < 0.1
    weighted = at.log_prob(x, rng_key=KEY, num_particles=1000).value
    assert (weighted - truth).mean() == pytest.approx(-math.log(2), abs=0.1)


@dataclass(frozen=True)
class LogNormal(AbstractDistributionPrior):
    """A prior on the positive numbers."""

    def distribution(self, scope):
        return dist.LogNormal(jnp.zeros(scope.latent_dim), 0.8).to_event(1)


@dataclass(frozen=True)
class LogNormalGuide(AbstractDistributionGuide):
    def output_shape(self, latent_dim):
        return (latent_dim,)

    def distribution(self, outputs, scope):
        return dist.LogNormal(outputs, 1.0).to_event(1)


@pytest.mark.parametrize("start", STARTS)
def test_a_site_with_bounds(start):
    """The path and its weights live on the logarithm of the code, with its Jacobian on both ends."""
    vae = oracle.vae(1, 1, prior=LogNormal(), posterior=LogNormalGuide())
    values = oracle.params(np.array([[1.0]]), np.zeros(1), 0.3)
    values["encoder$params"] = {"layers": {0: {"kernel": np.zeros((1, 1)), "bias": np.zeros(1)}}}
    at = Fitted(vae, jax.tree.map(jnp.float32, values), History({}, {}, {}))
    x = np.linspace(-1, 4, 20, dtype=np.float32)[:, None]
    z = np.linspace(1e-4, 60, 200_001)
    prior = np.exp(-0.5 * (np.log(z) / 0.8) ** 2) / (z * 0.8 * math.sqrt(2 * math.pi))
    likelihood = np.exp(-0.5 * (x - z) ** 2 / 0.3) / math.sqrt(2 * math.pi * 0.3)
    truth = np.log((prior * likelihood).sum(1) * (z[1] - z[0]))
    options = {"num_temperatures": 60, "num_leapfrog": 6, "start": STARTS[start], "rng_key": KEY}
    found = annealed_log_prob(at, x, **options)
    assert_mean_is_one(np.exp(found.value - truth))
    assert abs((found.value - truth).mean()) < 0.15
    both = bracket(at, num_data=20, **options)
    assert abs(both.gap.mean()) < 0.2


@pytest.mark.slow
def test_a_hierarchy():
    """z2 ~ N(0, I), z1 = A z2 + s e, x = W z1 + mu + sigma e: a normal in closed form."""
    rng = np.random.default_rng(0)
    vae = oracle.vae(
        3, 2, prior=priors.TwoLevel(net=nets.Linear()), posterior=guides.TwoLevelTopDown(nets.Linear())
    )
    values = jax.tree.map(np.array, started(vae, np.zeros((2, 3), np.float32)))
    weights, mu, slope = rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=(2, 2))
    ours = oracle.params(weights, mu, 0.4)
    values |= {name: ours[name] for name in ("decoder$params", "likelihood$log_scale")}
    raw = np.tile(rotated.raw_scale(0.5), 2)
    layer = {
        "kernel": np.stack([slope, 0 * slope], 2).reshape(2, 4),
        "bias": np.stack([0 * raw, raw], 1),
    }
    values["prior$z1$params"] = {"layers": {0: layer | {"bias": layer["bias"].ravel()}}}
    at = Fitted(vae, jax.tree.map(jnp.float32, values), History({}, {}, {}))
    found = bracket(at, rng_key=KEY, num_data=24, num_temperatures=80, num_leapfrog=6)
    whole = weights @ np.linalg.cholesky(slope.T @ slope + 0.25 * np.eye(2))
    truth = oracle.log_prob(np.asarray(found.x, float), whole, mu, 0.4)
    assert_mean_is_one(np.exp(found.lower.value - truth))
    assert_mean_is_one(np.exp(truth - found.upper.value))
    assert abs(found.gap.mean()) < 0.1


def started(vae, *data):
    """Values by site, as the programs draw them."""

    def values():
        found = {}
        for program in (vae.guide, vae.model):
            trace = handlers.trace(handlers.seed(program, jax.random.key(0))).get_trace(*data)
            found |= {name: site["value"] for name, site in trace.items() if site["type"] == "param"}
        return found

    return jax.jit(values)()


@pytest.mark.slow
def test_context_and_mask():
    """Missing entries are integrated out: the bound is that of the entries observed."""
    at = fitted()
    seen = np.ones_like(X[:4], bool)
    seen[:, 3:] = False
    weights, mu, variance = rotated.rotated()
    truth = oracle.log_prob(rotated.X[:4, :3], weights[:3], mu[:3], variance)
    found = annealed_log_prob(
        at, Batch(X[:4], mask=seen), rng_key=KEY, num_temperatures=60, num_particles=64
    )
    np.testing.assert_allclose(found.value, truth, atol=0.2)
    vae = dataclasses.replace(at.vae, context_shape=(1,))
    told = Fitted(vae, started(vae, X[:1], np.zeros((1, 1))), at.history)
    rows = np.array([[0.0], [3.0]], np.float32)
    both = bracket(told, rng_key=KEY, num_data=2, num_temperatures=40, context=rows)
    assert np.isfinite(both.gap).all()
    with pytest.raises(ValueError, match="one row for each of 3"):
        bracket(told, rng_key=KEY, num_data=3, context=rows)


def parts(**changes):
    vae = VAE(event_shape=(3,), latent_dim=2, encoder=nets.Linear(), decoder=nets.Linear(), **changes)
    return Fitted(vae, started(vae, np.zeros((1, 3), np.float32)), History({}, {}, {}))


REFUSED = {
    "discrete": (
        {"prior": priors.Bernoulli(), "posterior": guides.Bernoulli()}, {}, r'"z", which is discrete \(boolean\)'
    ),
    "sphere": (
        {"prior": priors.UniformSphere(), "posterior": guides.PowerSpherical()}, {}, "biject_to"
    ),
    "semi-amortized": (
        {"posterior": guides.SemiAmortized()}, {"start": annealing.anneal_from_guide}, "from_prior"
    ),
    "start": ({}, {"start": lambda vae: lambda *data: None}, r"latent sites \['z'\]; got"),
    "falling": ({}, {"schedule": lambda t: np.linspace(1, 0, t + 1)}, "rise from 0 to 1"),
    "particles": ({}, {"num_particles": 0}, "num_particles"),
    "temperatures": ({}, {"num_temperatures": 0}, "num_temperatures"),
    "point mass": ({"posterior": guides.PointMass()}, {}, "PointMass"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_input(name):
    changes, options, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        annealed_log_prob(parts(**changes), np.zeros((2, 3), np.float32), rng_key=KEY, **options)


def test_wrong_data():
    with pytest.raises(ValueError, match="event_shape"):
        annealed_log_prob(fitted(), X[:, :3], rng_key=KEY)
