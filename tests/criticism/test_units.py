"""What each unit says of the data: against the closed forms of the linear-Gaussian oracle."""

import jax
import numpy as np
import oracle
import pytest
import registry
from compiled import random_values
from pairs import joined, rows

from probvae import Fitted, History, criticism, guides
from probvae.criticism import active_units

X = oracle.dataset(200).astype(np.float32)
WEIGHTS, MU, VARIANCE = oracle.optimum(oracle.dataset(200))
DEAD = WEIGHTS * [1, 1, 0]
NONE = History({}, {}, {})
KEY = jax.random.key(3)


def fitted(weights=WEIGHTS, scale=1.0):
    return Fitted(oracle.vae(), oracle.params(weights, MU, VARIANCE, scale), NONE)


def means_and_variances(weights):
    m = weights.T @ weights + VARIANCE * np.eye(3)
    return (X - MU) @ np.linalg.solve(m, weights.T).T, VARIANCE * np.diag(np.linalg.inv(m))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_kl_and_activity_are_the_closed_forms(scale):
    mean, variance = means_and_variances(WEIGHTS)
    variance = scale**2 * variance
    found = active_units(fitted(scale=scale), X, rng_key=KEY)
    kl = 0.5 * (mean**2 + variance - 1 - np.log(variance))
    np.testing.assert_allclose(found.kl["z"], kl, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(found.variance["z"], mean.var(0, ddof=1), rtol=0.02)
    assert found.active_mask()["z"].all()
    assert not found.collapsed_mask()["z"].any()


def test_a_dead_unit_is_neither_active_nor_anything_but_collapsed():
    found = active_units(fitted(DEAD), X, rng_key=KEY)
    assert found.active_mask()["z"].tolist() == [True, True, False]
    assert found.collapsed_mask()["z"].tolist() == [False, False, True]
    np.testing.assert_allclose(found.kl["z"][:, 2], 0, atol=1e-5)
    assert abs(found.variance["z"][2]) < 0.004  # 0, where draws of z itself would say 1 / samples


def test_activity_of_few_data_has_the_divisor_n_minus_1():
    """Of 4 data, the divisor n would make the variance of the posterior means a quarter smaller."""
    mean, _ = means_and_variances(WEIGHTS)
    few = active_units(fitted(scale=1e-2), X[:4], rng_key=KEY, num_samples=10)
    np.testing.assert_allclose(few.variance["z"], mean[:4].var(0, ddof=1), rtol=0.02)


def test_the_noise_of_a_dead_unit_is_what_is_said():
    """sd 2 sigma^2 / (num_samples sqrt n), over keys; sigma is 1 where the code says nothing."""
    told = Fitted(oracle.vae(), oracle.params(0 * DEAD, MU, VARIANCE, 1.0), NONE)
    keys = jax.random.split(KEY, 60)
    each = [active_units(told, X, rng_key=key, num_samples=10) for key in keys]
    found = np.concatenate([one.variance["z"] for one in each])
    assert found.std() == pytest.approx(2 / (10 * np.sqrt(len(X))), rel=0.2)
    np.testing.assert_allclose([one.noise["z"] for one in each], 2 / (10 * np.sqrt(len(X))), rtol=0.4)
    passed = next(one for one in each if (one.variance["z"] > 0.01).any())
    with pytest.warns(
        UserWarning, match=r"[123] of the active units may be dead.*Use more num_samples"
    ):
        passed.active_mask()


def test_collapse_counts_the_data():
    """A unit that is told of one datum in fifty is collapsed at delta = 0.05, not at 0.01."""
    kl = np.zeros((50, 1))
    kl[0] = 1.0
    found = criticism.ActiveUnits({"z": kl}, {"z": np.zeros(1)})
    assert not found.collapsed_mask(delta=0.01)["z"][0]
    assert found.collapsed_mask(delta=0.05)["z"][0]


@pytest.mark.parametrize("guide", ["TwoLevelTopDown", "Bernoulli", "FullRank"])
def test_every_kind_of_guide_has_units(guide):
    vae = joined(registry.first_prior(guide), registry.GUIDES[guide]())
    x = rows(vae.likelihood)
    found = active_units(Fitted(vae, random_values(vae), NONE), x, rng_key=KEY, num_samples=4)
    assert set(found.kl) == set(found.variance)
    assert all(value.shape == (2,) for value in found.variance.values())
    assert all(len(value) == len(x) and np.isfinite(value).all() for value in found.kl.values())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 2 rows"):
        active_units(fitted(), X[:1], rng_key=KEY)
    with pytest.raises(ValueError, match="at least 2 draws"):
        active_units(fitted(), X, rng_key=KEY, num_samples=1)
    vae = oracle.vae(posterior=guides.PointMass())
    with pytest.raises(ValueError, match="PointMass"):
        active_units(Fitted(vae, {}, NONE), X, rng_key=KEY)
