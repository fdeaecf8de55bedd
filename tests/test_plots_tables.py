"""Figures of tables: a panel for each column, with its levels and dates, and pairs of columns."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import num2date

from probvae import data, plots
from probvae.criticism import Associations, ColumnChecks
from probvae.criticism.samples.predictive import compare_statistic
from probvae.plots import table_columns

FRAME = pd.DataFrame(
    {
        "height": np.linspace(150, 190, 60) + 0.25,
        "income": np.exp(np.linspace(5, 11, 60)),
        "city": np.repeat(["Lima", "Oslo", "Rome"], [10, 20, 30]),
        "day": pd.date_range("2024-03-01", periods=60),
        "town": [f"town number {i % 12}" for i in range(60)],
    }
)
TABLE = data.Table(FRAME, types={"income": "positive"})
COLUMNS = TABLE.schema.modelled


def draw(figure):
    figure.draw_without_rendering()
    return {axes.get_title(loc="left").split(" (")[0]: axes for axes in figure.axes}


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_levels_have_a_bar_with_their_name_and_share():
    draws = TABLE.x[::-1][:30]  # Rome only
    axes = draw(table_columns.compare_table_columns(draws, TABLE.x, COLUMNS))["city"]
    assert ticks(axes.yaxis) == ["Rome", "Oslo", "Lima"]
    of_data, of_draws = axes.containers
    np.testing.assert_allclose([bar.get_width() for bar in of_data], [3 / 6, 2 / 6, 1 / 6])
    np.testing.assert_allclose([bar.get_width() for bar in of_draws], [1, 0, 0])
    assert axes.get_title(loc="left") == "city (0.50)"


def test_many_levels_share_a_bar():
    axes = draw(table_columns.compare_table_columns(TABLE.x, TABLE.x, COLUMNS))["town"]
    assert ticks(axes.yaxis)[-1] == "5 others"
    assert len(ticks(axes.yaxis)) == table_columns.MAX_LEVELS
    np.testing.assert_allclose(sum(bar.get_width() for bar in axes.containers[0]), 1.0)
    assert axes.get_title(loc="left") == "town (0.00)"


def test_dates_are_dates():
    axes = draw(table_columns.compare_table_columns(TABLE.x, TABLE.x, COLUMNS))["day"]
    edges = axes.patches[0].get_data().edges
    low, high = num2date(edges[0] + 1), num2date(edges[-1])
    assert (low.year, low.month) == (2024, 3)
    assert (high.year, high.month) in {(2024, 4), (2024, 5)}


def test_a_wide_positive_column_has_a_logarithmic_axis():
    panels = draw(table_columns.compare_table_columns(TABLE.x, TABLE.x, COLUMNS))
    assert panels["income"].get_xscale() == "log"
    assert panels["height"].get_xscale() == "linear"
    np.testing.assert_allclose(panels["income"].patches[0].get_data().values.sum(), 1.0)


def test_reconstructed_levels_have_the_share_of_equal_ones():
    mean = TABLE.x.copy()
    mean[:15, 2] = 1  # Lima and half of ... become Oslo
    axes = draw(table_columns.compare_table_rows(TABLE.x, mean, COLUMNS))["city"]
    shares = dict(zip(ticks(axes.yaxis), [bar.get_width() for bar in axes.containers[0]], strict=True))
    assert shares == {"Rome": 1.0, "Oslo": 1.0, "Lima": 0.0}
    assert axes.get_title(loc="left") == "city (83%)"


def test_a_path_shows_levels_in_steps_and_both_rows():
    path = np.linspace(TABLE.x[0], TABLE.x[-1], 7)
    axes = draw(table_columns.compare_table_paths(path, TABLE.x[[0, -1]], COLUMNS))["city"]
    line, ends = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), np.rint(path[:, 2]))
    np.testing.assert_array_equal(ends.get_ydata(), [0, 2])
    assert ticks(axes.yaxis) == ["Lima", "Oslo", "Rome"]


@pytest.mark.parametrize("blank", [slice(0, 30), slice(None)])
def test_missing_cells_break_no_figure(blank):
    x = TABLE.x.copy()
    x[blank] = np.nan
    for figure in (
        table_columns.compare_table_columns(TABLE.x, x, COLUMNS),
        table_columns.compare_table_columns(TABLE.x, None, COLUMNS),
        table_columns.compare_table_rows(x, TABLE.x, COLUMNS),
    ):
        assert len(draw(figure)) == len(COLUMNS)


def test_of_many_columns_those_that_differ_most_are_shown():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(50, 30)), columns=[f"c{i}" for i in range(30)])
    table = data.Table(frame)
    draws = table.x.copy()
    draws[:, 29] += 3
    figure = table_columns.compare_table_columns(draws, table.x, table.schema.modelled)
    assert len(figure.axes) == table_columns.MAX_COLUMNS
    assert "c29" in draw(figure)
    assert "24 of 30 columns, where data and draws differ most" in figure.get_suptitle()


def make_associations(values, draws):
    size = len(values)
    names = tuple(f"column {i}" for i in range(size))
    is_number = np.arange(size) % 2 == 0
    return Associations(names, values, draws, np.full(values.shape, 0.1), is_number)


def test_associations_show_every_pair_and_name_the_worst():
    rng = np.random.default_rng(0)
    values = np.eye(5) + 0.1
    draws = values + 0.01 * rng.normal(size=(5, 5))
    draws[1, 3] = draws[3, 1] = 0.9
    figure = plots.associations(make_associations(values, (draws + draws.T) / 2))
    left, right, _ = figure.axes
    texts = [text.get_text() for text in left.texts]
    assert "column 1,\ncolumn 3" in texts
    points = [bar[0].get_xydata() for bar in left.containers]
    assert sum(map(len, points)) == 10
    assert ticks(right.yaxis)[0].startswith("column 0")
    assert np.isnan(np.ma.filled(right.images[0].get_array(), np.nan).diagonal()).all()


def test_associations_that_are_nan_break_no_figure():
    values = np.full((3, 3), np.nan)
    plots.associations(make_associations(values, values)).draw_without_rendering()


def test_checks_of_columns_end_at_the_scale():
    replicates = np.random.default_rng(0).normal(size=40)
    checks = {
        "age": {"mean": compare_statistic(np.asarray(100.0), replicates)},
        "city": {"share of Oslo": compare_statistic(np.asarray(0.3), np.full(40, 0.2))},
    }
    figure = plots.column_checks(ColumnChecks(checks, 100, 40))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert [float(line.get_xdata()[0]) for line in axes.lines[1:]] == [10.0, 10.0]
    assert ticks(axes.yaxis) == ["age", "city"]
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"mean", "share of a level"}
