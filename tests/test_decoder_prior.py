"""A fitted decoder inside a user's own program: NUTS over its code has the closed-form posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from test_rotated_oracle import MU, VARIANCE, exact_full_rank, fitted, rotated

from probvae import (
    VAE,
    DecoderPrior,
    Fitted,
    History,
    data,
    guides,
    likelihoods,
    nets,
    priors,
)
from probvae.tracing import trace_structure

SEEN, TAU = np.array([0, 3, 4, 8]), 0.7
Y = MU[SEEN] + np.array([1.5, -0.7, 0.2, 2.0])
EXACT = fitted(guides.FullRank(), exact_full_rank())


def part_of_it(y):
    x = EXACT.as_prior()("field")
    numpyro.sample("y", dist.Normal(x[SEEN], TAU), obs=y)


def drawn(program, *args, num_samples=2000):
    mcmc = MCMC(NUTS(program), num_warmup=500, num_samples=num_samples, progress_bar=False)
    mcmc.run(jax.random.key(0), *args)
    return mcmc.get_samples()


def test_a_partial_and_noisy_observation_gives_the_closed_form_posterior():
    w = rotated()[0][SEEN]
    precision = w.T @ w / TAU**2 + np.eye(3)
    mean = np.linalg.solve(precision, w.T @ (Y - MU[SEEN]) / TAU**2)
    covariance = np.linalg.inv(precision)
    samples = drawn(part_of_it, Y)
    assert list(samples) == ["field/z"]
    z, s = np.asarray(samples["field/z"][:, 0]), np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((z.mean(0) - mean) / s, 0, atol=0.15)
    np.testing.assert_allclose(np.cov(z.T) / np.outer(s, s), covariance / np.outer(s, s), atol=0.15)
    assert np.linalg.norm(mean) > 0.5


@pytest.mark.slow
def test_its_distribution_is_p_of_x_given_z():
    """Observed whole, x gives each of two codes the posterior of the oracle, noise and all."""
    weights, mu, variance = rotated()
    x = mu + np.random.default_rng(1).normal(size=(2, 10))

    def whole():
        numpyro.sample("x", EXACT.as_prior().distribution("two", size=2), obs=jnp.asarray(x))

    z = np.asarray(drawn(whole, num_samples=4000)["two/z"])
    m = weights.T @ weights + variance * np.eye(3)
    s = np.sqrt(VARIANCE * np.diag(np.linalg.inv(m)))
    np.testing.assert_allclose((z.mean(0) - (x - mu) @ weights @ np.linalg.inv(m)) / s, 0, atol=0.15)
    np.testing.assert_allclose(z.std(0) / s, 1, atol=0.1)


def test_no_parameter_is_to_be_seen_or_moved():
    trace = handlers.trace(handlers.seed(part_of_it, 0)).get_trace(Y)
    assert {site["type"] for site in trace.values()} == {"sample", "plate"}
    guide = AutoNormal(part_of_it)
    result = SVI(part_of_it, guide, optax.adam(1e-2), Trace_ELBO()).run(
        jax.random.key(0), 3, Y, progress_bar=False
    )
    assert set(result.params) == {"field/z_auto_loc", "field/z_auto_scale"}


def test_fields_of_one_program_are_apart():
    field = EXACT.as_prior()
    assert isinstance(field, DecoderPrior)

    def program():
        return field("a"), field("b"), field("c", size=4)

    seeded = handlers.seed(program, 1)
    trace = handlers.trace(seeded).get_trace()
    shapes = {name: site["value"].shape for name, site in trace.items() if site["type"] == "sample"}
    assert shapes == {"a/z": (1, 3), "b/z": (1, 3), "c/z": (4, 3)}
    a, b, c = handlers.seed(program, 1)()
    assert (a.shape, c.shape) == ((10,), (4, 10))
    np.testing.assert_allclose(a, EXACT.decode(trace["a/z"]["value"]).mean[0], rtol=1e-5)
    assert float(jnp.abs(a - b).max()) > 0.1


def zero(**parts):
    """A VAE of zero weights."""
    linear = {"encoder": nets.Linear(), "decoder": nets.Linear()}
    vae = VAE(event_shape=(2,), latent_dim=1, **{**linear, **parts})
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), trace_structure(vae).params)
    return Fitted(vae, zeros, History({}, {}, {}))


def test_a_hierarchy_has_its_sites_and_a_context_its_rows():
    two = zero(
        prior=priors.TwoLevel(net=nets.Linear()), posterior=guides.TwoLevelTopDown(nets.Linear())
    )
    trace = handlers.trace(handlers.seed(lambda: two.as_prior()("f"), 0)).get_trace()
    assert {n for n, site in trace.items() if site["type"] == "sample"} == {"f/z1", "f/z2"}
    told = zero(context_shape=(3,)).as_prior()
    assert handlers.seed(lambda: told("f", context=np.ones(3)), 0)().shape == (2,)
    assert handlers.seed(lambda: told("f", size=4, context=np.ones((4, 3))), 0)().shape == (4, 2)
    with pytest.raises(ValueError, match="context expects shape"):
        handlers.seed(lambda: told("f"), 0)()


def test_the_field_is_without_the_noise_of_spread():
    noisy = likelihoods.Spread(likelihoods.Gaussian(), noise=data.GaussianNoise(0.5))
    plain = zero(likelihood=likelihoods.Gaussian())
    at = zero(likelihood=noisy).as_prior()
    p = handlers.seed(lambda: at.distribution("f"), 0)()
    q = handlers.seed(lambda: plain.as_prior().distribution("f"), 0)()
    np.testing.assert_allclose(p.variance, q.variance)


def in_a_plate():
    with numpyro.plate("subjects", 4):
        EXACT.as_prior()("f")


def twice():
    EXACT.as_prior()("f")
    EXACT.as_prior()("f")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (in_a_plate, r"size=\.\.\. instead of a plate"),
        (twice, "Use a different name for each call"),
        (lambda: EXACT.as_prior()(""), "a prefix for the sites"),
        (lambda: EXACT.as_prior()("f", size=0), "size expects a positive integer"),
    ],
)
def test_what_finds_no_room_is_refused(program, words):
    with pytest.raises(ValueError, match=words):
        handlers.trace(handlers.seed(program, 0)).get_trace()
