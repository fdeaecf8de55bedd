"""Figures of data that are not images: columns of a table, and time series."""

import jax
import numpy as np
import pytest
from scipy import stats
from test_plots import HISTORY, fitted_on, random_values, words

from probvae import VAE, Fitted, likelihoods, nets, plots, priors
from probvae.plots import columns, series

KEY = jax.random.key(0)


def test_columns_show_how_data_and_draws_are_distributed():
    random = np.random.default_rng(0)
    data, draws = random.normal(size=(400, 3)), random.normal(size=(300, 3)) + [0.0, 0.0, 1.0]
    figure = columns.compare_columns(draws, data, ["a", "b", "c"], title="title")
    assert len(figure.axes) == 3
    distance = stats.ks_2samp(data[:, 2], draws[:, 2]).statistic
    assert figure.axes[2].get_title(loc="left") == f"c ({distance:.2f})"
    for axes in figure.axes:
        of_data, of_draws = axes.patches
        assert of_data.get_zorder() < of_draws.get_zorder()
        for bars in (of_data, of_draws):
            np.testing.assert_allclose(bars.get_data().values.sum(), 1.0)
    assert "draws of the model" in words(figure.legends[0].figure)


def test_many_columns_show_those_that_differ_most_and_say_so():
    random = np.random.default_rng(0)
    data, draws = random.normal(size=(2, 200, 40))
    draws[:, 7] += 3.0
    figure = columns.compare_columns(draws, data, columns.name_columns((40,)), title="title")
    overview, *panels = figure.axes
    assert len(panels) == columns.MAX_COLUMNS
    assert any(axes.get_title(loc="left").startswith("x[7] (") for axes in panels)
    assert "12 of 40 columns, where data and draws differ most" in figure.get_suptitle()
    assert "median and central 90 %" in overview.get_title(loc="left")
    np.testing.assert_allclose(overview.lines[1].get_ydata(), np.median(draws, axis=0))


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        (np.array([0.0, 1.0, 1.0]), [-0.5, 0.5, 1.5]),
        (np.array([3.0, 3.0]), [2.5, 3.5]),
        (np.array([np.nan, 2.0, 4.0]), [1.0, 3.0, 5.0]),
    ],
)
def test_discrete_columns_have_a_bar_for_each_value(values, edges):
    np.testing.assert_allclose(columns.bin_edges(values), edges)


def test_every_value_is_in_a_bar():
    counts = np.random.default_rng(0).negative_binomial(1, 0.001, size=2000).astype(float)
    bins = columns.bin_edges(counts)
    np.testing.assert_allclose(columns.bin_shares(counts, bins).sum(), 1.0)
    assert len(bins) <= columns.MAX_BARS + 2
    np.testing.assert_allclose(bins % 1, 0.5)


def test_reconstructed_columns_are_dots_against_the_data():
    fitted, x = fitted_on((6,))
    figure = plots.reconstructions(fitted, x, column_names=list("abcdef"))
    mean = fitted.reconstruct(x)
    for column, axes in enumerate(figure.axes):
        diagonal, dots = axes.lines
        np.testing.assert_allclose(dots.get_xdata(), x[:, column], rtol=1e-6)
        np.testing.assert_allclose(dots.get_ydata(), mean[:, column], atol=1e-5)
        np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
        r2 = 1 - np.mean((x - mean)[:, column] ** 2) / np.var(x[:, column])
        assert axes.get_title(loc="left") == f"{'abcdef'[column]} (R\u00b2 {r2:.2f})"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "E[x|z]")


def test_sampled_columns_are_those_of_the_model():
    fitted, x = fitted_on((6,))
    figure = plots.samples(fitted, 50, rng_key=KEY, x=x)
    draws = np.asarray(fitted.sample(50, rng_key=KEY).x)
    for column, axes in enumerate(figure.axes):
        bars = axes.patches[1].get_data()
        inside = np.clip(draws[:, column], bars.edges[0], bars.edges[-1])
        np.testing.assert_allclose(bars.values, np.histogram(inside, bars.edges)[0] / 50)


def test_paths_of_columns_keep_both_ends():
    fitted, x = fitted_on((6,))
    figure = plots.interpolation(fitted, x[0], x[1], num_points=11)
    for column, axes in enumerate(figure.axes):
        line = axes.lines[0].get_ydata()
        np.testing.assert_allclose(line[[0, -1]], x[:2, column], rtol=1e-5)


def test_blocks_of_a_joint_name_the_columns():
    joint = likelihoods.Joint(age=(1, likelihoods.Gaussian()), visits=(2, likelihoods.Poisson()))
    vae = VAE(
        event_shape=(3,), latent_dim=2, likelihood=joint, encoder=nets.Linear(), decoder=nets.Linear()
    )
    fitted = Fitted(vae, random_values(vae), HISTORY)
    figure = plots.samples(fitted, 20, rng_key=KEY)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["age", "visits[0]", "visits[1]"]


def test_a_wrong_number_of_names_is_refused():
    fitted, x = fitted_on((6,))
    with pytest.raises(ValueError, match="column_names expects 6 names, .* got 2"):
        plots.reconstructions(fitted, x, column_names=["a", "b"])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((48, 3), True), ((28, 28), False), ((9, 3), True), ((8, 3), False), ((9,), False)],
)
def test_many_steps_of_few_variables_are_a_time_series(shape, expected):
    assert series.is_series(shape) is expected


def test_time_series_are_lines_over_steps():
    fitted, x = fitted_on((12, 2), prior=priors.VampPrior(components=3))
    figure = plots.reconstructions(fitted, x, column_names=["heart", "lung"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["datum 0, heart", "datum 1, heart"]
    assert titles[-1] == "datum 3, lung"
    data, mean = figure.axes[-1].lines
    np.testing.assert_allclose(data.get_ydata(), x[3, :, 1], rtol=1e-6)
    np.testing.assert_allclose(mean.get_ydata(), fitted.reconstruct(x)[3, :, 1], atol=1e-5)
    samples = plots.samples(fitted, 50, rng_key=KEY, x=x)
    assert [axes.get_xlabel() for axes in samples.axes] == ["step", "step"]
    low = samples.axes[0].lines[0].get_ydata()
    draws = fitted.sample(50, rng_key=KEY).x[..., 0]
    np.testing.assert_allclose(low, np.quantile(draws, 0.05, axis=0), atol=1e-5)
    band = samples.axes[0].collections[0]
    assert band.get_zorder() < samples.axes[0].lines[0].get_zorder()
    path = plots.interpolation(fitted, x[0], x[1], num_points=5)
    assert "latent space, variable 1" in words(path)
    assert len(plots.pseudo_inputs(fitted).axes[0].lines) == 3


def test_variables_that_are_left_out_are_said():
    groups = {"x": np.random.default_rng(0).normal(size=(2, 30, 6)) * np.arange(6)}
    figure = series.compare_series(groups, title="title")
    assert figure.get_suptitle() == "title. The 4 of 6 variables that vary most"
    assert "variable 1" not in words(figure)
