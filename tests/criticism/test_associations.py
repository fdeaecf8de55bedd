"""Associations of pairs of columns, and checks of each column, in data and in draws of the model."""

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from probvae import VAE, criticism, data, fit, likelihoods
from probvae.criticism.samples.associations import measure_associations
from probvae.criticism.samples.column_checks import describe_column

KEY = jax.random.key(0)


def make_frame(n=300, seed=0):
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    return pd.DataFrame(
        {
            "a": size,
            "b": np.exp(size + rng.normal(size=n)),
            "c": np.array(["x", "y", "z"])[np.digitize(size + rng.normal(size=n), [-0.5, 0.5])],
            "d": np.where(size + rng.normal(size=n) > 0, "yes", "no"),
        }
    )


FRAME = make_frame()
TABLE = data.Table(FRAME)


@pytest.fixture(scope="module")
def fitted():
    frame = FRAME.copy()
    frame.loc[::5, "a"] = np.nan
    table = data.Table(frame)
    vae = VAE.for_table(table, latent_dim=2)
    return fit(vae, table, rng_key=KEY, epochs=2, batch_size=50, progress=False)


def test_numbers_have_the_rank_correlation_of_scipy():
    matrix = measure_associations(TABLE.x, TABLE.schema)
    expected = stats.spearmanr(FRAME["a"], FRAME["b"]).statistic
    np.testing.assert_allclose(matrix[0, 1], expected, atol=1e-12)


def test_levels_have_the_cramers_v_of_scipy():
    matrix = measure_associations(TABLE.x, TABLE.schema)
    counts = pd.crosstab(FRAME["c"], FRAME["d"]).to_numpy()
    expected = stats.contingency.association(counts, method="cramer")
    np.testing.assert_allclose(matrix[2, 3], expected, atol=1e-12)


def test_a_number_and_levels_have_the_correlation_ratio():
    """eta^2 = 1 - (variance within levels) / (variance), of ranks."""
    ranks = FRAME["b"].rank()
    within = ((ranks - ranks.groupby(FRAME["c"]).transform("mean")) ** 2).sum()
    expected = np.sqrt(1 - within / ((ranks - ranks.mean()) ** 2).sum())
    matrix = measure_associations(TABLE.x, TABLE.schema)
    np.testing.assert_allclose(matrix[1, 2], expected, atol=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)


def test_missing_cells_leave_out_their_rows():
    x = TABLE.x.copy()
    x[::3, 1:] = np.nan
    matrix, kept = measure_associations(x, TABLE.schema), x[~np.isnan(x[:, 1])]
    complete = measure_associations(kept, TABLE.schema)
    # Column a is complete, so its ranks are those of all rows. The others are those of the kept rows.
    np.testing.assert_allclose(matrix[1:, 1:], complete[1:, 1:], atol=1e-12)
    ranks = stats.rankdata(x[:, 0])[~np.isnan(x[:, 1])]
    expected = np.corrcoef(ranks, stats.rankdata(kept[:, 1]))[0, 1]
    np.testing.assert_allclose(matrix[0, 1], expected, atol=1e-12)


def test_gaps_in_two_columns_leave_the_rows_with_both():
    x = TABLE.x.copy()
    x[:90, 0], x[-70:, 1] = np.nan, np.nan
    ranks = pd.DataFrame(x[:, :2]).rank()
    expected = ranks.corr().iloc[0, 1]
    np.testing.assert_allclose(measure_associations(x, TABLE.schema)[0, 1], expected, atol=1e-12)


def test_a_column_without_two_values_has_no_association():
    x = TABLE.x.copy()
    x[:, 0], x[:, 2] = np.nan, 1.0
    matrix = measure_associations(x, TABLE.schema)
    assert np.isnan(matrix[0, 1:]).all()
    assert np.isnan(matrix[2, [0, 1, 3]]).all()
    assert np.isfinite(matrix[1, 3])


def test_draws_of_the_model_have_its_own_associations(fitted):
    own = fitted.sample(300, rng_key=jax.random.key(5)).frame
    own.loc[::5, "a"] = np.nan
    result = criticism.associations(fitted, own, rng_key=KEY, num_replicates=20)
    assert all(abs(pair.data - pair.draws) < 5 * pair.spread for pair in result.pairs)
    assert len(result.pairs) == 6
    assert "Cramer's V" in {pair.kind for pair in result.pairs}
    assert str(result).startswith("associations of 6 pairs: mean difference 0.0")


def test_other_associations_than_those_of_the_model_are_found(fitted):
    own = fitted.sample(300, rng_key=jax.random.key(5)).frame
    own["b"] = np.exp(own["a"])
    worst = criticism.associations(fitted, own, rng_key=KEY, num_replicates=5).pairs[0]
    assert {worst.first, worst.second} == {"a", "b"}
    assert worst.data == pytest.approx(1.0)
    assert worst.draws < 0.9


def test_draws_of_the_model_pass_its_checks(fitted):
    """A deviation is that of a draw from draws, in their sd: its mean square is near 1."""
    squares = []
    for seed in range(6):
        own = fitted.sample(300, rng_key=jax.random.key(100 + seed)).frame
        checks = criticism.column_checks(fitted, own, rng_key=jax.random.key(seed))
        squares += [float(c.deviations) ** 2 for each in checks.checks.values() for c in each.values()]
    assert list(checks.checks) == ["a", "b", "c", "d"]
    assert list(checks.checks["a"]) == ["mean", "sd", "5% quantile", "50% quantile", "95% quantile"]
    assert 0.5 < np.mean(squares) < 2.0


def test_a_check_names_the_column_that_differs(fitted):
    own = fitted.sample(300, rng_key=jax.random.key(6)).frame
    own["d"] = np.where(np.arange(300) < 290, "yes", "no")
    checks = criticism.column_checks(fitted, own, rng_key=KEY)
    column, statistic, check = checks.largest(1)[0]
    assert (column, statistic) in {("d", "share of yes"), ("d", "share of no")}
    assert float(checks.checks["d"]["share of yes"].observed) == pytest.approx(290 / 300)
    assert abs(float(check.deviations)) > 5
    assert "  d: share of" in str(checks).splitlines()[1]


def test_statistics_of_a_column_ignore_missing_cells():
    column = TABLE.schema["b"]
    values = np.array([1.0, np.nan, 3.0])
    assert describe_column(column, values)["mean"] == 2.0
    assert describe_column(column, np.full(3, np.nan)) == {}
    shares = describe_column(TABLE.schema["c"], np.array([2.0, 2.0, 0.0, np.nan]))
    assert list(shares.items())[0] == ("share of z", pytest.approx(2 / 3))


@pytest.mark.parametrize("measure", [criticism.associations, criticism.column_checks])
def test_a_fit_to_an_array_has_no_columns(measure):
    vae = VAE(event_shape=(2,), latent_dim=1, likelihood=likelihoods.Gaussian())
    x = np.random.default_rng(0).normal(size=(40, 2))
    array_fit = fit(vae, x, rng_key=KEY, epochs=1, batch_size=20, progress=False)
    with pytest.raises(ValueError, match=r"trained on a table, fit\(vae, data.Table\(frame\)"):
        measure(array_fit, x, rng_key=KEY)


def test_checks_need_twenty_replicates(fitted):
    with pytest.raises(ValueError, match="num_replicates expects at least 20; got 5"):
        criticism.column_checks(fitted, FRAME, rng_key=KEY, num_replicates=5)
