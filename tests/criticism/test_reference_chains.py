"""The guide against NUTS, on posteriors that have closed forms or quadrature."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_inference_gap import FACTOR, KINDS, SHIFT, small
from test_rotated_oracle import (
    MU,
    X,
    encoder,
    exact_full_rank,
    fitted,
    posterior,
    raw_scale,
    rotated,
)

from probvae import VAE, Batch, Fitted, History, guides, likelihoods, nets, priors
from probvae.criticism import reference_chains
from probvae.criticism.posterior import nuts

pytest.importorskip("arviz_stats", reason="arviz-stats is not installed: pip install 'probvae[arviz]'")

KEY = jax.random.key(7)
DATA = X[:4]
SEEN = np.arange(10) % 2 == 0


def moved():
    """A full-rank encoder off the exact one by SHIFT and FACTOR deviations, its correlations forgotten."""
    to_code, covariance = posterior()
    s = np.sqrt(np.diag(covariance))
    kernel = np.concatenate([to_code, np.zeros((10, 6))], axis=1)
    bias = np.concatenate([SHIFT * s - MU @ to_code, raw_scale(FACTOR * s), np.zeros(3)])
    return encoder(kernel, bias)


@lru_cache
def measured(values):
    return reference_chains(fitted(guides.FullRank(), values()), DATA, rng_key=KEY)


def correlations():
    covariance = posterior()[1]
    s = np.sqrt(np.diag(covariance))
    return covariance / np.outer(s, s)


def test_an_exact_guide_agrees_with_its_chains():
    found = measured(exact_full_rank)
    assert found.converged.all()
    assert (found.ess > 800).all()
    assert found.divergences.tolist() == [0] * 4
    assert (np.abs(found.shift) < 4 * found.shift_standard_error).all()
    assert (np.abs(found.scale_ratio - 1) < 4 * found.scale_ratio_standard_error).all()
    assert found.shift_standard_error.max() < 0.05
    assert found.scale_ratio_standard_error.max() < 0.05
    np.testing.assert_allclose(found.correlation_difference, 0, atol=0.12)
    np.testing.assert_allclose(found.skewness_difference, 0, atol=0.4)


def test_chains_are_the_closed_form_posterior():
    to_code, covariance = posterior()
    found, s = measured(exact_full_rank), np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.mean, (DATA - MU) @ to_code, atol=0.12 * s.max())
    np.testing.assert_allclose(found.standard_deviation, np.tile(s, (4, 1)), rtol=0.12)


def test_the_tree_has_the_chains_beside_the_guide_as_arviz_takes_them():
    stats = pytest.importorskip("arviz_stats")
    found = measured(exact_full_rank)
    tree = found.to_datatree()
    assert tree["posterior"]["z"].dims == ("chain", "draw", "datum", "latent")
    np.testing.assert_array_equal(tree["posterior"]["z"].mean(("chain", "draw")), found.mean)
    spread = tree["posterior"]["z_guide"].std(("chain", "draw"), ddof=1) / found.standard_deviation
    np.testing.assert_allclose(spread, found.scale_ratio, rtol=1e-6)
    np.testing.assert_allclose(stats.rhat(tree)["z"], found.r_hat)
    table = stats.summary(tree)
    assert {"r_hat", "ess_bulk"} <= set(table.columns)
    assert len(table) == 2 * 4 * 3


def test_a_moved_and_narrowed_guide_shows_by_how_much():
    found = measured(moved)
    assert (np.abs(found.shift - SHIFT) < 4 * found.shift_standard_error).all()
    assert (np.abs(found.scale_ratio - FACTOR) < 4 * found.scale_ratio_standard_error).all()
    off = ~np.eye(3, dtype=bool)
    expected = np.broadcast_to(-correlations(), (4, 3, 3))
    np.testing.assert_allclose(found.correlation_difference[:, off], expected[:, off], atol=0.12)
    assert np.abs(expected[:, off]).max() > 0.3


@pytest.mark.slow
def test_what_is_missing_tells_the_chains_nothing():
    """p(z | x_seen) by the rows of W that are seen, and a guide that ignores the mask is far off."""
    weights, _, variance = rotated()
    w, seen = weights[SEEN], (DATA - MU)[:, SEEN]
    precision = w.T @ w / variance + np.eye(3)
    mean = np.linalg.solve(precision, w.T @ seen.T / variance).T
    s = np.sqrt(np.diag(np.linalg.inv(precision)))
    given = Batch(DATA, mask=np.tile(SEEN, (4, 1)))
    at = fitted(guides.FullRank(), exact_full_rank())
    found = reference_chains(at, given, rng_key=KEY, num_samples=500)
    assert (np.abs(found.mean - mean) / s).max() < 0.2
    np.testing.assert_allclose(found.standard_deviation, np.tile(s, (4, 1)), rtol=0.15)


@pytest.mark.slow
def test_a_skewed_posterior_has_the_moments_of_quadrature():
    w, b = np.array([3.0, 2.0, 4.0]), np.array([0.5, -1.0, 0.0])
    vae = VAE(
        event_shape=(3,), latent_dim=1, encoder=nets.Linear(), decoder=nets.Linear(),
        likelihood=likelihoods.Bernoulli(),
    )  # fmt: skip
    layer = {"kernel": jnp.asarray(w[None], jnp.float32), "bias": jnp.asarray(b, jnp.float32)}
    still = {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}
    values = {"encoder$params": {"layers": {0: still}}, "decoder$params": {"layers": {0: layer}}}
    at = Fitted(vae, values, History({}, {}, {}))
    found = reference_chains(at, np.ones((1, 3), np.float32), rng_key=KEY, num_samples=4000)
    z = np.linspace(-8, 8, 4001)
    p = np.exp(-0.5 * z**2) * np.prod(1 / (1 + np.exp(-np.outer(z, w) - b)), axis=1)
    p /= p.sum()
    mean = p @ z
    s = np.sqrt(p @ (z - mean) ** 2)
    skewness = p @ ((z - mean) / s) ** 3
    assert skewness > 0.3
    assert found.mean[0, 0] == pytest.approx(mean, abs=0.06 * s)
    assert found.standard_deviation[0, 0] == pytest.approx(s, rel=0.05)
    assert found.skewness_difference[0, 0] == pytest.approx(-skewness, abs=0.15)
    assert found.shift[0, 0] == pytest.approx(-mean / s, abs=0.07)
    assert found.scale_ratio[0, 0] == pytest.approx(1 / s, rel=0.06)


def test_chains_that_did_not_mix_are_flagged():
    """Two chains apart, one unit that stands still, and one that is well, of another datum."""
    rng = np.random.default_rng(0)
    chains = rng.normal(size=(3, 2, 200, 2))
    chains[0, 0, :, 1] += 3
    chains[1, :, :, 0] = np.arange(2)[:, None]
    found = nuts._compare_draws(chains, rng.normal(size=(3, 400, 2)), np.zeros(3))
    assert found.converged.tolist() == [False, False, True]
    assert found.r_hat[0, 1] > 1.5
    assert found.r_hat[0, 0] < 1.01


SMALL = {"event_shape": (4,), "latent_dim": 2}
REFUSED = {
    "a discrete code": (
        {"prior": priors.Categorical(), "posterior": guides.Categorical()}, {}, "Sum over the states instead"
    ),
    "a sphere": (
        {"prior": priors.UniformSphere(), "posterior": guides.PowerSpherical()}, {}, "UniformSphere draws codes on a sphere"
    ),
    "a point": ({"posterior": guides.PointMass()}, {}, "PointMass has none"),
    "one chain": ({}, {"num_chains": 1}, "at least 2, because R-hat"),
    "three draws": ({}, {"num_samples": 3}, "at least 4"),
    "no warm-up": ({}, {"num_warmup": 0}, "num_warmup expects a positive integer"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused(case):
    parts, options, words = REFUSED[case]
    at = Fitted(VAE(**SMALL, **parts), {}, History({}, {}, {}))
    with pytest.raises(ValueError, match=words):
        reference_chains(at, np.zeros((3, 4), np.float32), rng_key=KEY, **options)


@pytest.mark.slow
def test_a_hierarchys_sites_are_joined_by_name():
    at = small(**KINDS["program guide"])
    x = np.asarray(jax.random.bernoulli(jax.random.key(2), 0.4, (2, 4)), np.float32)
    found = reference_chains(at, x, rng_key=KEY, num_warmup=200, num_samples=300)
    assert found.shift.shape == (2, 4)
    assert np.isfinite(found.shift).all()
