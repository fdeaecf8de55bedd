"""Comparison: sums, paired errors and weights whose answers are known, and what may not be compared."""

import importlib
import sys
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from probvae import Batch, BoundEstimate, Fitted, History, guides, likelihoods
from probvae import data as sources
from probvae.criticism import compare, compare_values

KEY = jax.random.key(0)
W, MU, VARIANCE = oracle.optimum(oracle.dataset())
BASE = np.random.default_rng(0).normal(-100, 30, size=200)
NOISE = np.random.default_rng(1).normal(size=200)
NOISE = (NOISE - NOISE.mean()) / NOISE.std(ddof=1)


def fitted(weights=W, mu=MU, variance=VARIANCE, **changes):
    values = oracle.params(weights, mu, variance)
    values = jax.tree.map(lambda a: jnp.asarray(a, float), values)
    parts_differ = changes.keys() & {"likelihood", "posterior", "decoder"}
    return Fitted(oracle.vae(**changes), {} if parts_differ else values, History({}, {}, {}))


def test_numbers_are_sums_and_errors_of_paired_differences():
    found = compare_values({"worse": BASE - 2 + 0.5 * NOISE, "best": BASE})
    assert found.names == ("best", "worse")
    np.testing.assert_allclose(found.elpd, [BASE.sum(), BASE.sum() - 400])
    np.testing.assert_allclose(found.mean, found.elpd / 200)
    np.testing.assert_allclose(found.difference, [0, -400])
    np.testing.assert_allclose(found.difference_standard_error, [0, 0.5 * np.sqrt(200)])
    assert found.standard_error[0] == pytest.approx(BASE.std(ddof=1) * np.sqrt(200))
    assert np.isnan(found.monte_carlo_error).all()
    assert found.num_data == 200


def test_monte_carlo_error_is_that_of_the_sum():
    error = np.full(200, 0.1)
    found = compare_values(
        {"a": BoundEstimate(BASE, error, 10), "b": BoundEstimate(BASE - 1, 2 * error, 10)}
    )
    np.testing.assert_allclose(found.monte_carlo_error, np.array([0.1, 0.2]) * np.sqrt(200))


def test_table_has_the_best_first_and_its_difference_blank():
    lines = str(compare_values({"b": BASE - 2 + 0.5 * NOISE, "a": BASE})).splitlines()
    assert [line.split()[:2] for line in lines] == [["rank", "model"], ["1", "a"], ["2", "b"]]
    assert "-2.000 +- 0.035" in lines[2]
    assert "-400.0 +- 7.1" in lines[2]
    assert "-2.000" not in lines[1]


def test_variants_of_the_oracle_differ_by_their_closed_forms():
    x = oracle.dataset()[:300]
    other = (0.8 * W, MU + 0.3, 1.3 * VARIANCE)
    found = compare({"other": fitted(*other), "best": fitted()}, x, rng_key=KEY, num_particles=20)
    exact = [oracle.log_prob(x, *values) for values in ((W, MU, VARIANCE), other)]
    assert found.names == ("best", "other")
    np.testing.assert_allclose(found.elpd, [row.sum() for row in exact], rtol=1e-4)
    difference = exact[1] - exact[0]
    assert found.difference[1] == pytest.approx(difference.sum(), rel=1e-3)
    error = found.difference_standard_error[1]
    assert error == pytest.approx(difference.std(ddof=1) * np.sqrt(300), rel=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, inside of ArviZ
def test_arviz_takes_the_values_as_they_are():
    arviz_stats = pytest.importorskip("arviz_stats")
    found = compare_values({"b": BASE - 2 + 0.5 * NOISE, "a": BASE})
    data = found.elpd_data()
    assert data["a"].elpd == pytest.approx(BASE.sum())
    assert data["a"].se == pytest.approx(found.standard_error[0])
    assert "elpd" in str(data["a"])
    table = arviz_stats.compare(data)
    assert list(table.index) == ["a", "b"]
    assert abs(table.loc["b", "elpd_diff"]) == pytest.approx(400)
    assert float(table.loc["b", "dse"]) == pytest.approx(found.difference_standard_error[1], rel=0.05)


def test_fields_of_another_arviz_are_met(monkeypatch):
    """Fields by keyword only, one that we do not know, one that it lacks; a compare that rounds."""
    arviz_stats = pytest.importorskip("arviz_stats")
    utils = importlib.import_module("arviz_stats.utils")

    @dataclass(kw_only=True)
    class Other:
        kind: str
        elpd: float
        new: object
        elpd_i: object = None

    def other_compare(models, round_to="auto"):
        assert round_to == "none"
        assert all(one.new is None for one in models.values())
        return pandas.DataFrame({"weight": [0.25, 0.75]}, index=list(models)[::-1])

    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr(utils, "ELPDData", Other)
    monkeypatch.setattr(utils, "ELPDDataLOO", Other, raising=False)
    monkeypatch.setattr(arviz_stats, "compare", other_compare)
    found = compare_values({"a": BASE, "b": BASE - 1})
    np.testing.assert_array_equal(found.weight, [0.75, 0.25])


def test_weights_stack_even_where_probabilities_underflow():
    """Each of two is the better for half of the data, by far: the best mixture takes half of either."""
    pytest.importorskip("arviz_stats")
    half = np.where(np.arange(200) % 2, 5.0, -5.0)
    found = compare_values(
        {"even": BASE - 3000 + half, "odd": BASE - 3000 - half, "never": BASE - 3020}
    )
    assert dict(zip(found.names, found.weight.round(2), strict=True)) == {
        "even": 0.5,
        "odd": 0.5,
        "never": 0,
    }


def test_without_arviz_there_are_no_weights(monkeypatch):
    for name in ("arviz_stats", "arviz_stats.utils"):
        monkeypatch.setitem(sys.modules, name, None)
    found = compare_values({"a": BASE, "b": BASE - 1})
    assert np.isnan(found.weight).all()
    assert "nan" not in str(found)
    with pytest.raises(ImportError, match=r"pip install 'probvae\[arviz\]'"):
        found.elpd_data()


VALUES = [
    ({"a": BASE}, "two or more models by name, .* got 1"),
    ({"a": BASE, "b": BASE[:-1]}, "same data; got {'a': 200, 'b': 199}"),
    ({"a": BASE, "b": np.full(200, np.nan)}, "'b' expects finite values .* not finite"),
    ({"a": BASE, "b": BASE[None]}, r"'b' expects finite values .* got \(1, 200\)"),
    ({"a": BASE[:1], "b": BASE[:1]}, "n >= 2"),
]


@pytest.mark.parametrize(("values", "message"), VALUES)
def test_values_that_do_not_compare(values, message):
    with pytest.raises(ValueError, match=message):
        compare_values(values)


def noisy(scale):
    base = likelihoods.Gaussian(scale=likelihoods.LearnedScale())
    return fitted(likelihood=likelihoods.Spread(base, noise=sources.GaussianNoise(scale)))


MODELS = [
    ({"b": fitted(likelihood=likelihoods.Poisson())}, "differ in values: 'a': densities; 'b': prob"),
    ({"b": noisy(0.5)}, "differ in noise: 'a': none; 'b': .*GaussianNoise.*0.5"),
    (
        {"b": Fitted(oracle.vae(d=9), {}, History({}, {}, {}))},
        r"event shape: 'a': \(10,\); 'b': \(9,\)",
    ),
    ({"b": fitted(posterior=guides.PointMass())}, "PointMass has none"),
    ({}, "two or more models by name"),
]


@pytest.mark.parametrize(("others", "message"), MODELS)
def test_models_that_do_not_compare(others, message):
    with pytest.raises(ValueError, match=message):
        compare({"a": fitted(), **others}, oracle.dataset()[:5], rng_key=KEY)


def test_the_model_that_is_no_density_is_named():
    with pytest.raises(ValueError) as error:
        compare({"a": fitted(), "plain": fitted(posterior=guides.PointMass())}, BASE, rng_key=KEY)
    assert error.value.__notes__ == ["(the model 'plain')"]


def test_a_context_is_given_to_those_that_take_one():
    x = oracle.dataset()[:20]
    plain = {"a": fitted(), "b": fitted(0.9 * W)}
    found = compare(plain, Batch(x, np.ones((20, 1))), rng_key=KEY, num_particles=5)
    np.testing.assert_array_equal(found.values, compare(plain, x, rng_key=KEY, num_particles=5).values)
