"""Means, quantiles, k-hat and pooled estimates of missing entries."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from scipy import stats
from test_missing import KEY, SEEN, conditional

from probvae import VAE, Batch, fit, likelihoods, nets
from probvae.distributions import find_averages, merge_averages, pareto_tail_shape
from probvae.distributions.categorical import CategoricalLevels
from probvae.fitted import Fitted, History
from probvae.fitted.imputation import weighted_quantiles
from probvae.fitted.pooling import pool_estimates


@pytest.fixture(scope="module")
def wide():
    """The linear-Gaussian VAE, its guide wide enough for rows with missing entries."""
    values = jax.tree.map(jnp.asarray, oracle.params(*oracle.optimum(oracle.dataset()), scale=3.0))
    return Fitted(oracle.vae(), values, History({}, {}, {}))


@pytest.fixture(scope="module")
def imputed(wide):
    x, mask = oracle.dataset()[:6], np.broadcast_to(SEEN, (6, 10))
    options = {"rng_key": KEY, "num_samples": 3, "num_particles": 20_000}
    return wide.impute(np.where(mask, x, 0), mask, quantiles=(0.05, 0.5, 0.95), **options)


def test_mean_and_interval_equal_the_closed_form(imputed):
    low, high = imputed.interval(0.9)
    for row, x in enumerate(oracle.dataset()[:6]):
        mean, covariance = conditional(x)
        deviation = np.sqrt(np.diag(covariance))
        error = deviation / np.sqrt(float(imputed.effective_particles[row]))
        assert (np.abs(imputed.mean[row, ~SEEN] - mean) < 4 * error).all()
        for end, z in ((low, -1.645), (imputed.quantiles[0.5], 0), (high, 1.645)):
            # the error of a quantile is sqrt(p (1 - p)) / density: 2.1 deviations / sqrt(n) in the tail
            assert (np.abs(end[row, ~SEEN] - mean - z * deviation) < 4 * 2.1 * error).all()


def test_observed_entries_keep_their_values(imputed):
    x = oracle.dataset()[:6].astype(np.float32)
    for values in (imputed.mean, *imputed.quantiles.values(), *imputed.x):
        np.testing.assert_array_equal(values[:, SEEN], x[:, SEEN])


def test_the_mean_has_less_error_than_a_mean_of_draws(wide):
    """E[x|z] has no noise of p(x|z): beside draws from the same particles, less by sigma^2."""
    x, mask = np.repeat(oracle.dataset()[:1], 300, 0), np.broadcast_to(SEEN, (300, 10))
    imputed = wide.impute(x, mask, rng_key=KEY, num_samples=50, num_particles=50)
    mean, _ = conditional(x[0])
    by_mean = np.square(imputed.mean[:, ~SEEN] - mean).mean()
    by_draws = np.square(imputed.x.mean(0)[:, ~SEEN] - mean).mean()
    assert by_mean < by_draws


@pytest.mark.filterwarnings("ignore:.*effective particles")
def test_what_is_at_missing_entries_changes_no_bit(wide):
    random = np.random.default_rng(0)
    x, mask = oracle.dataset()[:60], random.random((60, 10)) < 0.7
    fillers = [np.where(mask, x, other) for other in (0.0, 1e3, np.nan)]
    results = []
    for filled in fillers:
        imputed = wide.impute(
            filled, mask, rng_key=KEY, num_samples=2, num_particles=100, quantiles=(0.1,)
        )
        bound = wide.log_prob(Batch(filled, mask=mask), rng_key=KEY, num_particles=20)
        data = Batch(filled, mask=mask)
        trained = fit(oracle.vae(), data, rng_key=KEY, epochs=2, batch_size=30, progress=False)
        results.append(([*imputed[:4]], imputed.quantiles, bound.value, trained.params))
    for other in results[1:]:
        jax.tree.map(np.testing.assert_array_equal, results[0], other)


@pytest.mark.parametrize("size", [100, 226, 2000])
@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
def test_k_hat_is_that_of_arviz(size, spread):
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    log_w = (spread * np.random.default_rng(0).normal(size=(20, size))).astype(np.float32)
    twin = array_stats.psislw(-log_w.astype(np.float64))[1]
    np.testing.assert_allclose(jax.vmap(pareto_tail_shape)(log_w), twin, atol=2e-3)


def test_k_hat_has_its_special_values():
    log_w = np.zeros(200, np.float32)
    assert pareto_tail_shape(jnp.asarray(log_w)) == -np.inf  # equal weights
    assert pareto_tail_shape(jnp.asarray(log_w - 1e3 * np.arange(200))) == np.inf  # one weight
    assert np.isnan(pareto_tail_shape(jnp.full(200, -np.inf)))
    assert np.isnan(pareto_tail_shape(jnp.asarray(log_w[:99])))


def test_weighted_quantiles_are_those_of_numpy():
    random = np.random.default_rng(0)
    w = random.dirichlet(np.full(301, 0.3))
    probabilities = np.array([0.001, 0.05, 0.5, 0.95])
    for x in (random.normal(size=(301, 3)), random.integers(0, 4, (301, 3)) - 2.0):
        want = [
            [np.quantile(column, p, weights=w, method="inverted_cdf") for column in x.T]
            for p in probabilities
        ]
        got = jax.jit(weighted_quantiles)(jnp.asarray(x), jnp.asarray(w), jnp.asarray(probabilities))
        np.testing.assert_array_equal(got, np.asarray(want, np.float32))


def test_the_mode_of_levels_is_that_of_the_weighted_probabilities():
    """Level 1 is never the likeliest of a particle, but it is of the mixture."""
    probs = jnp.array([[0.6, 0.4, 0.0], [0.0, 0.4, 0.6]])[:, None]  # particles, columns, levels
    averages = find_averages(CategoricalLevels(jnp.log(probs + 1e-9)).mask(True))
    assert merge_averages(jax.tree.map(lambda a: a.mean(0), averages), 1).tolist() == [1]


def test_levels_are_imputed_as_levels():
    random = np.random.default_rng(0)
    level = random.integers(0, 3, 300)
    x = np.stack([level + 0.1 * random.normal(size=300), level], 1)
    likelihood = likelihoods.Joint(a=(1, likelihoods.Gaussian()), b=(1, likelihoods.Categorical(3)))
    vae = VAE(event_shape=(2,), latent_dim=1, likelihood=likelihood, encode_mask=True,
              encoder=nets.MLP((16,)), decoder=nets.MLP((16,)))  # fmt: skip
    fitted = fit(vae, x, rng_key=KEY, epochs=2, progress=False)
    mask = np.broadcast_to([True, False], x.shape)
    mean = fitted.impute(x, mask, rng_key=KEY, num_particles=20).mean
    assert set(np.unique(mean[:, 1])) <= {0.0, 1.0, 2.0}
    np.testing.assert_array_equal(mean[:, 0], x[:, 0].astype(np.float32))


def test_an_interval_without_its_quantiles_says_how_to_get_them(imputed):
    with pytest.raises(ValueError, match=r"quantiles 0.25 and 0.75; .*quantiles=\(0.25, 0.75\)"):
        imputed.interval(0.5)
    with pytest.raises(ValueError, match=r"level expects a number in \(0, 1\); got 90"):
        imputed.interval(90)


@pytest.mark.parametrize("wrong", [0.9, "0.9", (0.1, 5), (True,)])
def test_quantiles_that_are_no_probabilities_are_refused(wide, wrong):
    with pytest.raises((TypeError, ValueError), match="quantiles expects a"):
        wide.impute(np.zeros((1, 10)), SEEN[None], rng_key=KEY, quantiles=wrong)


def test_levels_of_quantiles_compile_nothing_new(wide):
    from probvae.fitted import imputation

    options = {"rng_key": KEY, "num_particles": 7}
    x, mask = oracle.dataset()[:8], np.broadcast_to(SEEN, (8, 10))
    wide.impute(x, mask, quantiles=(0.1, 0.9), **options)
    before = imputation._impute._cache_size()
    for rows, quantiles in ((5, (0.2, 0.3)), (7, (0.4, 0.5))):
        wide.impute(x[:rows], mask[:rows], quantiles=quantiles, **options)
    assert imputation._impute._cache_size() == before


# Rubin's rules


def test_pooled_estimates_equal_the_rules_by_hand():
    """M = 3: estimates 1, 2, 3 and variances 0.5, 1, 1.5."""
    pooled = pool_estimates([(1, 0.5), (2, 1.0), (3, 1.5)])
    assert (pooled.estimate, pooled.within, pooled.between) == (2.0, 1.0, 1.0)
    assert pooled.total == pytest.approx(1 + 4 / 3)
    assert pooled.degrees_of_freedom == pytest.approx(2 * (1 + 3 / 4) ** 2)  # 6.125
    missing = (4 / 3 + 2 / (6.125 + 3)) / (4 / 3 + 1)
    assert pooled.missing_information == pytest.approx(missing)
    half = stats.t(6.125).ppf(0.95) * np.sqrt(7 / 3)
    np.testing.assert_allclose(pooled.interval(0.9), (2 - half, 2 + half))
    # Barnard and Rubin: 1 / (1 / 6.125 + 1 / ((21 / 23) 20 (1 - 4 / 7)))
    small = pool_estimates([(1, 0.5), (2, 1.0), (3, 1.5)], 20)
    assert small.degrees_of_freedom == pytest.approx(1 / (1 / 6.125 + 1 / (21 / 23 * 20 * 3 / 7)))


def test_pooling_without_missing_information_is_the_estimate_itself():
    pooled = pool_estimates([(np.ones(2), np.full(2, 0.25))] * 4, 9)
    np.testing.assert_allclose(pooled.standard_error, 0.5)
    np.testing.assert_allclose(pooled.missing_information, 2 / (pooled.degrees_of_freedom + 3))
    np.testing.assert_allclose(pooled.degrees_of_freedom, 10 / 12 * 9)  # those of the observed data
    assert np.isinf(pool_estimates([(1.0, 0.2)] * 2).degrees_of_freedom)
    assert pool_estimates([(1.0, 0.0), (2.0, 0.0)]).missing_information == 1.0


def test_pooled_intervals_of_proper_imputations_cover():
    """A normal mean, half of 20 values missing: 95 % intervals hold the truth in 95 % of 4,000 samples."""
    random = np.random.default_rng(0)
    num_sets, n, seen, m = 4_000, 20, 10, 5
    y = random.normal(size=(num_sets, seen))
    inside = np.zeros(num_sets, bool)
    for i in range(num_sets):
        variance = y[i].var() * seen / random.chisquare(seen - 1, m)  # drawn from their posterior
        loc = y[i].mean() + np.sqrt(variance / seen) * random.normal(size=m)
        new = loc[:, None] + np.sqrt(variance)[:, None] * random.normal(size=(m, n - seen))
        sets = [np.concatenate([y[i], drawn]) for drawn in new]
        pooled = pool_estimates(((x.mean(), x.var(ddof=1) / n) for x in sets), n - 1)
        low, high = pooled.interval(0.95)
        inside[i] = low < 0 < high
    assert abs(inside.mean() - 0.95) < 0.015  # 3.3 standard errors, and the rules are approximate


def test_the_pooled_mean_of_imputed_rows_covers_the_truth(wide):
    """100 samples of 40 rows of the model, column 1 missing in half: its mean lies in the intervals."""
    weights, mu, variance = oracle.optimum(oracle.dataset())
    random = np.random.default_rng(1)
    x = random.normal(size=(4_000, 3)) @ weights.T + mu
    x += np.sqrt(variance) * random.normal(size=x.shape)
    mask = np.ones(x.shape, bool)
    mask[:, 1] = random.random(4_000) < 0.5
    imputed = wide.impute(x, mask, rng_key=KEY, num_samples=5, num_particles=99)
    inside = []
    for rows in np.split(np.arange(4_000), 100):
        sample = imputed._replace(x=imputed.x[:, rows])
        pooled = sample.pool(lambda x: (x[:, 1].mean(), x[:, 1].var(ddof=1) / 40),
                             complete_degrees_of_freedom=39)  # fmt: skip
        low, high = pooled.interval(0.95)
        inside.append(low < mu[1] < high)
    assert np.mean(inside) > 0.88  # 95 % less three standard errors


def test_the_estimator_receives_the_frame_of_each_draw(imputed):
    framed = imputed._replace(to_frame=lambda x: {"rows": x})
    assert framed.pool(lambda frame: (len(frame["rows"]), 1.0)).estimate == 6


@pytest.mark.parametrize(
    ("estimator", "error", "words"),
    [
        (lambda x: 1.0, TypeError, r"\(estimate, variance\); got 1.0"),
        (lambda x: (x.mean(0), 1.0), ValueError, r"of one shape; got \(10,\) and \(\)"),
        (lambda x: (1.0, -1.0), ValueError, "variance >= 0; got 1.0 and -1.0"),
        (lambda x: ("a", "b"), TypeError, "two numbers or arrays"),
        (lambda x: (np.ones(int(abs(x[0, 1] * 1e4) % 97) + 1),) * 2, ValueError, "the same shape"),
    ],
    ids=["number", "shapes", "negative", "text", "changing"],
)
def test_results_that_cannot_be_pooled_are_refused(imputed, estimator, error, words):
    with pytest.raises(error, match=words):
        imputed.pool(estimator)


def test_one_draw_cannot_be_pooled(imputed):
    with pytest.raises(ValueError, match="at least 2 completed data sets; got 1"):
        imputed._replace(x=imputed.x[:1]).pool(lambda x: (1.0, 1.0))
    with pytest.raises(ValueError, match="complete_degrees_of_freedom expects a finite number > 0"):
        imputed.pool(lambda x: (1.0, 1.0), complete_degrees_of_freedom=0)
