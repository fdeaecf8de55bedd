"""Predictive checks: nominal on the model's own data, and of known size on data that are not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from scipy import integrate, stats

from probvae import VAE, Batch, Fitted, History, likelihoods, nets, plots
from probvae import data as sources
from probvae.criticism import predictive_checks
from probvae.criticism.diagnosis.diagnosis_tree import flatten_numbers
from probvae.criticism.samples.coverage import Ranks, measure_coverage
from probvae.criticism.samples.marginal import (
    MAX_POINTS,
    find_atoms,
    find_levels,
    measure_distances,
    rank_distances,
    snap_to_levels,
)
from probvae.criticism.samples.predictive import compare_statistic
from probvae.criticism.samples.statistics import distinct_values, edges, usual_statistics

KEY = jax.random.key(0)
W, MU, VARIANCE = oracle.optimum(oracle.dataset())
C = W @ W.T + VARIANCE * np.eye(10)
LEVELS = np.array([0.5, 0.8, 0.9])


def fitted_of(vae, values):
    return Fitted(vae, jax.tree.map(lambda a: jnp.asarray(a, float), values), History({}, {}, {}))


@functools.lru_cache
def pca():
    return fitted_of(oracle.vae(), oracle.params(W, MU, VARIANCE))


def drawn(n, seed, spread=1.0):
    return MU + spread * np.random.default_rng(seed).normal(size=(n, 10)) @ np.linalg.cholesky(C).T


def constant(likelihood, outputs, columns=None):
    """A VAE whose decoder gives ``outputs`` for each entry whatever z: p(x) is known."""
    outputs = np.asarray(outputs, float)
    d = columns or len(outputs)
    vae = VAE(event_shape=(d,), latent_dim=1, likelihood=likelihood,
              encoder=nets.Linear(), decoder=nets.Linear())  # fmt: skip
    flat = outputs.ravel()
    layer = {"kernel": np.zeros((1, flat.size)), "bias": flat}
    encoder = {"kernel": np.zeros((d, 2)), "bias": np.zeros(2)}
    values = {"decoder$params": {"layers": {0: layer}}, "encoder$params": {"layers": {0: encoder}}}
    return fitted_of(vae, values)


def gaussian(loc, scale):
    return constant(likelihoods.Gaussian(scale=likelihoods.FixedScale(scale)), np.asarray(loc)[:, None])


def ranked_coverage(z_scale, r):
    """Coverage at LEVELS by the ranks among r draws of N(0, 1), of data from N(0, z_scale^2)."""
    u = (np.arange(r + 1)[:, None] + np.linspace(0.005, 0.995, 100)) / (r + 1)
    inside = np.stack([(np.abs(u - 0.5) <= level / 2).mean(1) for level in LEVELS])

    def share(t):
        mass = stats.binom.pmf(np.arange(r + 1), r, stats.norm.cdf(z_scale * t))
        return inside @ mass * stats.norm.pdf(t)

    return integrate.quad_vec(share, -8, 8, epsabs=1e-6)[0]


def test_checks_are_nominal_on_data_of_the_model():
    """Over 24 data sets from the model: tail shares are uniform, intervals cover as they say."""
    spread = {"total": lambda x: x.var(0)}
    found = [
        predictive_checks(pca(), drawn(40, seed), rng_key=jax.random.fold_in(KEY, seed),
                          num_replicates=39, statistics=spread)
        for seed in range(24)
    ]  # fmt: skip
    for name in ("mean", "standard_deviation", "edges", "total"):
        tails = np.array([one.prior.statistics[name].tail_share for one in found])
        tails = tails.reshape(24, -1)[:, 0]
        assert stats.kstest(tails, stats.uniform.cdf).pvalue > 1e-3, name
    ks = [one.prior.marginal.tail_share for one in found]
    assert stats.kstest(ks, stats.uniform.cdf).pvalue > 1e-3
    cover = np.array([one.prior.coverage.share for one in found])
    error = cover.std(0, ddof=1) / np.sqrt(24)
    assert (np.abs(cover.mean(0) - LEVELS) < 4 * error).all()
    stated = np.array([one.prior.coverage.standard_error for one in found])
    np.testing.assert_allclose(stated.mean(0), cover.std(0), rtol=0.4)


def test_coverage_of_the_posterior_is_its_closed_form():
    """(I - W A) (x - mu) against x_rep - E[x_rep | x] ~ N(0, W S W^T + s^2 I), per entry."""
    x = drawn(600, 1)
    found = predictive_checks(pca(), x, rng_key=KEY, num_replicates=99)
    m = W.T @ W + VARIANCE * np.eye(3)
    rest = np.eye(10) - W @ np.linalg.solve(m, W.T)
    missed, said = rest @ C @ rest.T, VARIANCE * W @ np.linalg.inv(m) @ W.T + VARIANCE * np.eye(10)
    expected = [ranked_coverage(s, 99) for s in np.sqrt(np.diag(missed) / np.diag(said))]
    error = np.sqrt(0.25 / 600)
    np.testing.assert_allclose(
        found.posterior.coverage.by_entry, np.transpose(expected), atol=4.5 * error
    )
    assert (found.posterior.coverage.share > found.prior.coverage.share + 0.04).all()
    assert found.posterior.marginal.distance < 0.03


def test_coverage_of_a_gaussian_too_narrow_is_its_closed_form():
    """Data N(1, 2^2) under N(1, 1): 2 Phi(z / 2) - 1 of an interval of mass 2 Phi(z) - 1."""
    x = 1 + 2 * np.random.default_rng(0).normal(size=(700, 3))
    found = predictive_checks(gaussian(np.ones(3), 1.0), x, rng_key=KEY, num_replicates=199)
    limit = 2 * stats.norm.cdf(stats.norm.ppf((1 + LEVELS) / 2) / 2) - 1
    exact = ranked_coverage(2.0, 199)
    np.testing.assert_allclose(exact, limit, atol=0.01)
    for kind in (found.prior, found.posterior):
        assert (np.abs(kind.coverage.share - exact) < 4 * np.sqrt(0.25 / 2100)).all()
        check = kind.statistics["standard_deviation"]
        assert check.difference == pytest.approx(1.0, abs=0.08)
        assert check.tail_share == pytest.approx(2 / 200)
        assert check.deviations == pytest.approx(np.sqrt(2 * 2100), rel=0.25)
    assert found.prior.statistics["mean"].tail_share > 0.001


def test_a_gaussian_on_counts_shows_in_zeros_and_in_the_marginal():
    """Poisson(1) under N(1, 1): no zeros, and sup_t |F(t) - Phi(t - 1)| = e^-1 at 0-."""
    x = np.random.default_rng(0).poisson(1.0, size=(800, 4)).astype(float)
    found = predictive_checks(gaussian(np.ones(4), 1.0), x, rng_key=KEY, num_replicates=50)
    cdf = stats.poisson(1).cdf(np.arange(9))
    at, before = stats.norm(1).cdf(np.arange(9)), np.append(0, cdf[:-1])
    exact = max(np.abs(cdf - at).max(), np.abs(before - at).max())
    assert found.prior.marginal.distance == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 3200))
    assert found.prior.marginal.tail_share == pytest.approx(1 / 51)
    zeros = found.prior.statistics["share_of_zeros"]
    assert zeros.observed == pytest.approx(np.exp(-1), abs=0.04)
    assert (zeros.replicates == 0).all()
    assert zeros.deviations == np.inf
    assert zeros.difference == zeros.observed
    assert found.prior.statistics["distinct_values"].difference < -3000


def test_counts_under_their_own_likelihood_show_nothing():
    """Poisson(1) under Poisson(1): ties are broken by chance, so that intervals cover as they say."""
    x = np.random.default_rng(1).poisson(1.0, size=(500, 4)).astype(float)
    model = constant(likelihoods.Poisson(), np.zeros(4))
    found = predictive_checks(model, x, rng_key=KEY, num_replicates=60)
    for kind in (found.prior, found.posterior):
        assert (np.abs(kind.coverage.share - LEVELS) < 4 * np.sqrt(0.25 / 2000)).all()
        assert kind.marginal.distance < 0.04
        assert kind.marginal.tail_share > 0.02
        assert all(check.tail_share > 0.02 for check in kind.statistics.values())


def test_bits_against_grey_show_in_ends_and_distinct_values():
    grey = np.random.default_rng(0).integers(0, 5, size=(100, 4)) / 4
    model = constant(likelihoods.DiscretizedLogistic(num_levels=5), np.zeros((4, 2)))
    found = predictive_checks(model, (grey > 0.5).astype(float), rng_key=KEY, num_replicates=30).prior
    assert found.statistics["share_at_ends"].observed == 1
    assert found.statistics["distinct_values"].observed == 2
    assert (found.statistics["distinct_values"].replicates == 5).all()
    assert found.statistics["distinct_values"].deviations == -np.inf
    assert found.statistics["share_at_ends"].difference > 0.1


def test_missing_entries_are_left_out_of_everything():
    x, mask = drawn(300, 4), np.random.default_rng(5).uniform(size=(300, 10)) < 0.7
    spoiled = np.where(mask, x, 1e3)
    statistics = {"greatest": lambda x: x.max(), "by_entry": lambda x: x.mean(0)}
    options = {"rng_key": KEY, "num_replicates": 60, "statistics": statistics}
    found, same = (predictive_checks(pca(), Batch(a, mask=mask), **options) for a in (spoiled, x))
    for kind, twin in zip(found[:2], same[:2], strict=True):
        assert kind.statistics["greatest"].observed == x[mask].max().astype(np.float32)
        assert kind.statistics["by_entry"].replicates.shape == (60, 10)
        np.testing.assert_array_equal(kind.marginal.replicates, twin.marginal.replicates)
        np.testing.assert_array_equal(kind.coverage.share, twin.coverage.share)
    assert (np.abs(found.prior.coverage.share - LEVELS) < 5 * found.prior.coverage.standard_error).all()


def test_context_reaches_the_replicates():
    """x = 5 context + noise: with each datum's own context, and no other, intervals cover."""
    vae = VAE(event_shape=(2,), latent_dim=1, context_shape=(1,), encoder=nets.Linear(), decoder=nets.Linear(),
              likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0)))  # fmt: skip
    kernel = np.array([[0.0, 0.0], [5.0, 5.0]])  # of the code, then of the context
    values = {
        "decoder$params": {"layers": {0: {"kernel": kernel, "bias": np.zeros(2)}}},
        "encoder$params": {"layers": {0: {"kernel": np.zeros((3, 2)), "bias": np.zeros(2)}}},
    }
    random = np.random.default_rng(0)
    context = random.normal(size=(500, 1))
    x = 5 * context + random.normal(size=(500, 2))
    found = predictive_checks(fitted_of(vae, values), Batch(x, context), rng_key=KEY, num_replicates=60)
    for kind in (found.prior, found.posterior):
        assert (np.abs(kind.coverage.share - LEVELS) < 4 * np.sqrt(0.25 / 1000)).all()
    shuffled = Batch(x, context[::-1])
    other = predictive_checks(fitted_of(vae, values), shuffled, rng_key=KEY, num_replicates=60)
    assert other.prior.coverage.share[2] < 0.4


def test_spread_puts_its_noise_on_data_and_replicates():
    """N(0, 1) and noise of scale 2: the data are checked as the noisy ones, of variance 5."""
    one = likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0))
    noisy = likelihoods.Spread(one, noise=sources.GaussianNoise(2.0))
    x = np.random.default_rng(0).normal(size=(800, 3))
    found = predictive_checks(constant(noisy, np.zeros((3, 1))), x, rng_key=KEY, num_replicates=40)
    assert found.prior.statistics["standard_deviation"].observed == pytest.approx(5**0.5, abs=0.15)
    for kind in (found.prior, found.posterior):
        assert (np.abs(kind.coverage.share - LEVELS) < 4 * np.sqrt(0.25 / 2400)).all()


@pytest.mark.parametrize("other", ["normal", "counts", "above", "below"])
def test_distance_is_that_of_scipy(other):
    random = np.random.default_rng(0)
    a = random.poisson(2, size=300).astype(float)
    b = {
        "normal": random.normal(2, 1, 500),
        "counts": random.poisson(3, 500),
        "above": a + 0.5,
        "below": a - 0.5,
    }[other]
    found = measure_distances([find_atoms(a), find_atoms(b)])
    np.testing.assert_allclose(found, stats.ks_2samp(a, b).statistic)


def test_distance_at_quantiles_is_as_good_as_they_are_dense():
    random = np.random.default_rng(0)
    a = np.where(random.uniform(size=30_000) < 0.3, 0.0, random.normal(size=30_000))
    b = random.normal(0.1, 1, size=30_000)
    assert len(find_atoms(a).values) <= MAX_POINTS
    assert find_atoms(a).counts.sum() == len(a)
    found = measure_distances([find_atoms(a), find_atoms(b)])
    np.testing.assert_allclose(found, stats.ks_2samp(a, b).statistic, atol=1 / MAX_POINTS)


@pytest.mark.parametrize("law", ["normal", "poisson"])
def test_the_marginal_tail_share_is_an_exact_rank(law):
    """P(tail share <= j / (r + 1)) = j / (r + 1) for samples of one law, below it where there are ties."""
    runs, replicates = 1000, 9
    draws = getattr(np.random.default_rng(0), law)(1.0, size=(runs, 1 + replicates, 20))
    tails = [
        rank_distances(measure_distances([find_atoms(one) for one in run])).tail_share for run in draws
    ]
    for j in range(1, replicates + 1):
        nominal = j / (replicates + 1)
        error = np.sqrt(nominal * (1 - nominal) / runs)
        share = np.mean(np.array(tails) <= nominal + 1e-9)
        assert share < nominal + 3.5 * error
        assert law == "poisson" or share > nominal - 3.5 * error


def fixed(scale):
    return likelihoods.Gaussian(likelihoods.FixedScale(scale))


def test_blocks_in_the_wrong_order_show_in_each_of_them():
    """The pooled entries are what they were; each column is off by ten standard deviations."""
    model = constant(likelihoods.Joint(a=(1, fixed(0.5)), b=(1, fixed(0.5))), [0.0, 5.0])
    x = np.random.default_rng(0).normal(size=(100, 2)) * 0.5 + [0, 5]
    right, wrong = (
        predictive_checks(model, each, rng_key=KEY, num_replicates=39).prior for each in (x, x[:, ::-1])
    )
    for name in ("a", "b"):
        assert right.blocks[name].marginal.tail_share > 0.05
        assert wrong.blocks[name].marginal.tail_share == pytest.approx(1 / 40)
        assert wrong.blocks[name].marginal.distance > 0.99
        assert wrong.blocks[name].statistics["mean"].tail_share == pytest.approx(2 / 40)
        assert wrong.blocks[name].coverage.share[-1] < 0.05
    assert wrong.marginal.tail_share == pytest.approx(1 / 40)
    assert right.marginal.distance == max(one.marginal.distance for one in right.blocks.values())
    assert not right.statistics  # the mean over columns of different kinds means nothing


def test_each_block_is_checked_as_a_data_set_of_its_own():
    """Zeros and levels are those of the block, and one's own statistics are of all of x."""
    inner = likelihoods.Joint(b=(2, likelihoods.Bernoulli()), c=(1, fixed(1.0)))
    model = constant(likelihoods.Joint(a=(1, fixed(0.5)), rest=(3, inner)), [0.0, 0.0, 0.0, 7.0])
    random = np.random.default_rng(0)
    x = np.concatenate(
        [0.5 * random.normal(size=(200, 1)), random.integers(2, size=(200, 2)),
         random.normal(7, 1, size=(200, 1))], axis=1,
    )  # fmt: skip
    mask = np.ones(x.shape, bool)
    mask[:, 0] = False
    options = {"rng_key": KEY, "num_replicates": 39, "statistics": {"columns": lambda x: x.mean(0)}}
    checks = predictive_checks(model, x, **options)
    whole = checks.prior
    assert list(whole.blocks) == ["a", "rest.b", "rest.c"]
    assert whole.statistics["columns"].replicates.shape == (39, 4)
    assert whole.blocks["rest.b"].statistics["distinct_values"].observed == 2
    assert whole.blocks["rest.b"].statistics["share_of_zeros"].observed == np.mean(x[:, 1:3] == 0)
    for kind in (whole, *whole.blocks.values()):
        assert (np.abs(kind.coverage.share - LEVELS) < 5 * kind.coverage.standard_error).all()
        assert kind.marginal.tail_share > 0.02
    joined = np.concatenate([one.coverage.by_entry for one in whole.blocks.values()], axis=-1)
    np.testing.assert_array_equal(joined, whole.coverage.by_entry)
    numbers = flatten_numbers(checks)
    of_block = numbers["posterior_blocks_rest.b_statistics_mean_tail_share"]
    assert of_block == checks.posterior.blocks["rest.b"].statistics["mean"].tail_share
    assert list(flatten_numbers({"blocks": {"income/year": 1.0}})) == ["blocks_income_year"]
    curves, _, statistics = plots.predictions(checks).axes
    assert len(curves.lines) == 1 + 3  # 0, and a curve for each block
    shown = [label.get_text() for label in statistics.get_yticklabels()]
    assert shown[:2] == ["a: mean", "a: standard deviation"]
    assert len(shown) == 3 * 6
    options["statistics"] = {}
    hidden = predictive_checks(model, Batch(x, mask=mask), **options).prior
    assert list(hidden.blocks) == ["rest.b", "rest.c"]  # nothing is known of the first
    np.testing.assert_array_equal(np.isnan(hidden.coverage.by_entry), [[True, False, False, False]] * 3)


def test_levels_that_differ_by_rounding_are_one():
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    other = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
    assert (levels != other).any()
    found = find_levels(np.repeat(levels.astype(float), 3))
    np.testing.assert_array_equal(snap_to_levels(other.astype(float), found), levels.astype(float))
    moved = other.astype(float) + 1e-4
    np.testing.assert_array_equal(snap_to_levels(moved, found), moved)
    assert find_levels(np.random.default_rng(0).normal(size=100)) is None


def test_ranks_of_a_constant_are_uniform_and_of_a_low_entry_low():
    random = np.random.default_rng(0)
    ranks = Ranks(np.zeros((4000, 2)))
    for _ in range(9):
        ranks.add(np.stack([np.zeros(4000), np.ones(4000)], axis=1))
    u = ranks.randomize(random)
    assert stats.kstest(u[:, 0], stats.uniform.cdf).pvalue > 1e-3
    assert u[:, 1].max() <= 0.1
    found = measure_coverage(u, None, (0.5,))
    np.testing.assert_allclose(found.by_entry, [[0.5, 0.0]], atol=0.04)
    only = measure_coverage(u, np.arange(2) == np.zeros((4000, 1)), (0.5,))
    assert only.share == only.by_entry[:, 0]
    assert np.isnan(only.by_entry[0, 1])


def test_statistics_by_hand():
    x = np.array([[[0.0, 1.0], [3.0, 1.0]], [[0.0, 0.0], [0.0, 4.0]]])
    assert edges(x) == pytest.approx((1 + 2 + 3 + 0 + 0 + 4 + 0 + 4) / 8)
    assert edges(x[..., 0]) == pytest.approx(1.5)
    hidden = np.ma.MaskedArray(x, x == 4)
    assert edges(hidden) == pytest.approx(6 / 6)
    assert (distinct_values(x), distinct_values(hidden)) == (4, 3)
    usual = usual_statistics((0.0, np.inf))
    assert usual["share_at_ends"](x) == pytest.approx(5 / 8)
    assert usual["share_of_zeros"](x) == pytest.approx(4 / 8)
    assert usual["share_at_ends"](hidden) == pytest.approx(5 / 7)  # 3 is the greatest that is seen


def test_tail_share_and_effect_by_hand():
    found = compare_statistic(np.array([2.5, 1.0]), np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]))
    np.testing.assert_allclose(found.tail_share, [1.0, 1.0])
    np.testing.assert_allclose(found.difference, [0.5, 0.0])
    np.testing.assert_allclose(found.deviations, [0.5, 0.0])
    far = compare_statistic(np.array(-9.0), np.arange(39.0))
    assert far.tail_share == pytest.approx(2 / 40)
    assert far.difference == pytest.approx(-28.0)


def no_density():
    likelihood = likelihoods.PerceptualDistance(lambda x: x)
    return constant(likelihood, np.zeros(4))


ERRORS = [
    ({"num_replicates": 5}, ValueError, "at least 20"),
    ({"levels": (0.5, 1.0)}, ValueError, r"levels expects masses of intervals in \(0, 1\)"),
    ({"statistics": {"it": 3}}, TypeError, "statistics expects functions by name"),
    ({"statistics": np.mean}, TypeError, "statistics expects functions by name"),
    ({"statistics": {"it": lambda x: x}}, ValueError, "'it' expects .* got shape"),
    ({"statistics": {"it": lambda x: np.nan}}, ValueError, "'it' expects .* not finite"),
    ({"statistics": {"it": lambda x: "no"}}, ValueError, "'it' expects .* got 'no'"),
    (
        {"statistics": {"it": lambda x: np.ones(int(x.sum() ** 2) % 97)}},
        ValueError,
        "one shape for all",
    ),
    ({"x": np.zeros((5, 3))}, ValueError, r"x has shape \(5, 3\)"),
]


@pytest.mark.parametrize(("changes", "error", "message"), ERRORS)
def test_errors(changes, error, message):
    given = {"x": drawn(5, 0), "rng_key": KEY, **changes}
    with pytest.raises(error, match=message):
        predictive_checks(pca(), given.pop("x"), **given)


def test_what_is_no_density_draws_nothing():
    with pytest.raises(ValueError, match="PerceptualDistance has none"):
        predictive_checks(no_density(), np.zeros((3, 4)), rng_key=KEY)
