"""Sample quality: closed forms of each measure, and of samples of a model that is right or wrong."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from scipy import linalg, stats
from sklearn.datasets import load_digits

from probvae import Batch, Fitted, History, likelihoods
from probvae.criticism import (
    classifier_features,
    frechet_distance,
    neighbourhoods,
    sample_quality,
    two_sample_test,
)
from probvae.criticism.samples.features import principal_components
from probvae.criticism.samples.two_sample import linear_classifier

KEY = jax.random.key(0)
W, MU, VARIANCE = oracle.optimum(oracle.dataset())
ROOT = np.linalg.cholesky(W @ W.T + VARIANCE * np.eye(10))


def normal(n, seed=0, columns=1, loc=0.0):
    return loc + np.random.default_rng(seed).normal(size=(n, columns))


def shaped(n, seed, loc, root):
    """Points of exactly these moments."""
    z = normal(n, seed, len(loc))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(z.T))).T)
    return loc + z @ root.T


@functools.lru_cache
def pca():
    values = jax.tree.map(lambda a: jnp.asarray(a, float), oracle.params(W, MU, VARIANCE))
    return Fitted(oracle.vae(), values, History({}, {}, {}))


def test_frechet_distance_of_normal_distributions_is_its_closed_form():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(3, 3)), random.normal(size=(3, 3))
    points = shaped(50, 1, np.zeros(3), a), shaped(70, 2, np.array([1.0, -2.0, 0.5]), b)
    cross = linalg.sqrtm(a @ a.T @ b @ b.T).real
    exact = 5.25 + np.trace(a @ a.T + b @ b.T - 2 * cross)
    assert frechet_distance(*points) == pytest.approx(exact)
    assert frechet_distance(*points[::-1]) == pytest.approx(exact)
    one = frechet_distance(
        2 * shaped(40, 3, np.zeros(1), np.eye(1)), 5 + shaped(40, 4, np.zeros(1), np.eye(1))
    )
    assert one == pytest.approx(25 + (2 - 1) ** 2)
    assert frechet_distance(points[0], points[0]) == pytest.approx(0, abs=1e-9)


def test_neighbourhoods_of_the_same_and_of_disjoint_points():
    x = normal(200, columns=4)
    same = neighbourhoods(x, x)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    apart = neighbourhoods(x, x + 100)
    assert apart[:4] == (0, 0, 0, 0)


def test_neighbourhoods_by_hand():
    """k = 1: radii 1, 1, 2 of data 0, 1, 3; 0.5, 0.5, 7 of samples 2.5, 3, 10."""
    found = neighbourhoods(np.array([[0.0], [1], [3]]), np.array([[2.5], [3], [10]]), num_neighbours=1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1 / 3)  # 3 alone: 10 - 7 is 3, too
    assert found.density == pytest.approx(2 / 3)
    assert found.coverage == pytest.approx(1 / 3)


def test_missing_modes_lower_recall_and_spread_lowers_precision():
    data = normal(600, 0, 2) + 20 * (np.arange(600) % 2)[:, None]
    one_mode = neighbourhoods(data, normal(600, 1, 2))
    assert one_mode.precision > 0.9
    assert one_mode.recall == pytest.approx(0.5, abs=0.05)
    assert one_mode.coverage == pytest.approx(0.5, abs=0.05)
    wide = neighbourhoods(normal(600, 0, 2), 10 * normal(600, 1, 2))
    assert wide.precision < 0.2
    assert wide.recall > 0.9


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_of_one_distribution_have_their_expectations(k):
    """Free of the distribution: coverage 1 - (n - 1) ... (n - k) / ((n + m - 1) ... (n + m - k))."""
    found = [
        neighbourhoods(normal(80, 2 * s, 3), normal(120, 2 * s + 1, 3), num_neighbours=k)
        for s in range(60)
    ]
    for name, exact in (("density", 1.0), ("coverage", found[0].expected_coverage)):
        values = np.array([getattr(one, name) for one in found])
        assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(60)
    assert found[0].expected_coverage == pytest.approx(
        1 - np.prod((80 - np.arange(1, k + 1)) / (200 - np.arange(1, k + 1)))
    )


@pytest.mark.parametrize("mu", [0.0, 0.5, 2.0])
def test_accuracy_of_the_linear_test_is_phi_of_half_the_shift(mu):
    a, b = normal(8000, 0), normal(8000, 1, loc=mu)
    found = two_sample_test(a, b, rng_key=KEY, classifier=linear_classifier())
    exact = stats.norm.cdf(mu / 2)
    assert found.num_test == 8000
    assert abs(found.accuracy - exact) < 4 * np.sqrt(0.25 / 8000)
    assert found.standard_error == pytest.approx(np.sqrt(exact * (1 - exact) / 8000), rel=0.05)
    assert found.deviations == pytest.approx((found.accuracy - 0.5) / np.sqrt(1 / 32000))


def test_neighbours_see_a_scale_that_the_linear_test_does_not():
    """N(0, 1) against N(0, 3^2): the best accuracy is Phi(3 t) - Phi(t) + 1/2, t^2 = 2 log 3 / 8."""
    a, b = normal(4000, 0), 3 * normal(4000, 1)
    t = np.sqrt(2 * np.log(3) / 8)
    best = 0.5 + stats.norm.cdf(3 * t) - stats.norm.cdf(t)
    neighbours = two_sample_test(a, b, rng_key=KEY)
    assert best - 0.05 < neighbours.accuracy < best + 4 * neighbours.standard_error
    linear = two_sample_test(a, b, rng_key=KEY, classifier=linear_classifier())
    assert abs(linear.accuracy - 0.5) < 0.05


def test_accuracy_on_one_distribution_is_a_guess():
    """Of samples of unequal size, too: the larger is cut."""
    found = [
        two_sample_test(normal(300, 2 * s), normal(90, 2 * s + 1), rng_key=jax.random.fold_in(KEY, s))
        for s in range(50)
    ]
    assert {one.num_test for one in found} == {90}
    deviations = np.array([one.deviations for one in found])
    assert abs(deviations.mean()) < 4 / np.sqrt(50)
    assert deviations.std() == pytest.approx(1, abs=0.4)


def test_samples_of_the_right_model_pass_and_of_another_do_not():
    x = MU + normal(400, 1, 10) @ ROOT.T
    right = sample_quality(pca(), x, rng_key=KEY)
    assert right.num_features == 10
    assert right.frechet < right.frechet_permuted.max() * 1.5
    assert abs(right.linear.deviations) < 4
    assert abs(right.neighbours.deviations) < 4
    assert right.neighbourhoods.coverage == pytest.approx(
        right.neighbourhoods.expected_coverage, abs=0.05
    )
    moved = sample_quality(pca(), x + np.eye(10)[0] * 4, rng_key=KEY)
    assert moved.frechet > 2 * moved.frechet_permuted.max()
    assert moved.frechet == pytest.approx(16, rel=0.4)
    assert moved.linear.deviations > 5


def test_features_of_the_user_decide():
    x = MU + normal(100, 1, 10) @ ROOT.T
    seen = []

    def features(x):
        seen.append(x.shape)
        return x[:, :2]

    found = sample_quality(pca(), x, rng_key=KEY, features=features, num_permutations=3)
    assert seen == [(100, 10), (100, 10)]
    assert (found.num_features, found.num_data, found.frechet_permuted.shape) == (2, 100, (3,))


def test_principal_components_hold_the_variance():
    x = normal(500, 0, 4) * [1, 5, 3, 0.1]
    found = principal_components(x.reshape(500, 2, 2), 2)(x.reshape(500, 2, 2))
    np.testing.assert_allclose(
        np.cov(found.T, bias=True),
        np.diag(np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1][:2]),
        atol=1e-9,
    )
    assert principal_components(x, 9)(x).shape == (500, 4)


def test_classifier_features_of_digits_tell_them_apart():
    digits = load_digits()
    x, labels = digits.images / 16, digits.target
    features = classifier_features(x[:1200], labels[:1200], rng_key=KEY, hidden=(32,))
    assert features.accuracy > 0.85
    held_out = features(x[1200:])
    assert held_out.shape == (597, 32)
    assert held_out.min() == 0
    nearest = [np.argmin(np.linalg.norm(features(x[:1200]) - one, axis=1)) for one in held_out[:100]]
    assert (labels[nearest] == labels[1200:1300]).mean() > 0.85


ERRORS = [
    (lambda: frechet_distance(normal(5, 0, 5), normal(9, 0, 5)), "at least 6 rows of each"),
    (lambda: frechet_distance(normal(9, 0, 2), normal(9, 0, 3)), r"same features of both.*\(9, 2\) and \(9, 3\)"),
    (lambda: frechet_distance(normal(9)[:, 0], normal(9)), r"a expects features \(n, k\)"),
    (lambda: frechet_distance(np.nan * normal(9), normal(9)), "a expects finite numbers; got some that are NaN"),
    (lambda: neighbourhoods(normal(5), normal(9)), "at least 6 rows of each"),
    (lambda: neighbourhoods(normal(9), normal(9), num_neighbours=0), "num_neighbours expects"),
    (lambda: two_sample_test(normal(19), normal(99), rng_key=KEY), "at least 20 rows"),
    (lambda: sample_quality(pca(), normal(30, 0, 9), rng_key=KEY), r"x has shape \(30, 9\)"),
    (lambda: sample_quality(pca(), Batch(normal(30, 0, 10), None, np.ones((30, 10))), rng_key=KEY), "got data with a mask"),
    (lambda: sample_quality(pca(), normal(30, 0, 10), rng_key=KEY, features=lambda x: x[:3]), "3 rows for 30 data"),
    (lambda: sample_quality(pca(), normal(30, 0, 10), rng_key=KEY, features=np.ravel), "features of the data expects"),
    (lambda: classifier_features(normal(30), np.zeros(30), rng_key=KEY), "at least two classes"),
    (lambda: classifier_features(normal(30), np.zeros(29), rng_key=KEY), r"one for each datum, \(30,\)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_density_has_no_samples():
    vae = oracle.vae(likelihood=likelihoods.PerceptualDistance(lambda x: x))
    with pytest.raises(ValueError, match="PerceptualDistance has none"):
        sample_quality(Fitted(vae, {}, History({}, {}, {})), normal(30, 0, 10), rng_key=KEY)
