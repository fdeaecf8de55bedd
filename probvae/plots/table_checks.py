"""Figures of a table as a whole: associations of pairs of columns, and predictive checks by column."""

from typing import Any

import numpy as np

from probvae.criticism import Association, Associations, ColumnChecks
from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.columns import shorten
from probvae.plots.palette import BLUE, GREEN, GREY, ORANGE, VERMILLION, Style

MAX_COLUMNS = 20  # of the heat map, and of the checks
NAMED = 3  # pairs with a name in the picture
FAR = 10.0  # standard deviations, the end of the scale
NOMINAL = 3.0  # standard deviations within which nearly all checks of a correct model lie
KINDS = {
    "rank correlation": ("o", BLUE),
    "correlation ratio": ("^", ORANGE),
    "Cramer's V": ("s", GREEN),
}


def associations(result: Associations) -> Figure:
    """Draw the association of each pair of columns, in the data and in draws of the model.

    Left: one against the other, with the line where both are equal. The pairs that differ most have
    their names. Right: draws minus data for each pair, of at most 20 columns.

    Args:
        result: from ``criticism.associations``.
    """
    figure = new_figure(height=4.1, width=7.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.1])
    _draw_pairs(left, result)
    _draw_differences(figure, right, result)
    handles = left.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", fontsize=8, frameon=False, ncols=3)
    return figure


def _draw_pairs(axes: Axes, result: Associations) -> None:
    tidy(axes, title="each pair of columns", x="in the data", y="in draws of the model")
    pairs = result.pairs
    values = [value for pair in pairs for value in (pair.data, pair.draws)]
    ends = [min([0.0, *values]) - 0.05, max([0.5, *values]) + 0.05]
    axes.plot(ends, ends, color=VERMILLION, lw=1.0, ls="--", zorder=1)
    for kind, (marker, color) in KINDS.items():
        own = [pair for pair in pairs if pair.kind == kind]
        if own:
            x, y, spread = zip(*((p.data, p.draws, p.spread) for p in own), strict=True)
            style: Style = {"fmt": marker, "ms": 4, "mew": 0, "color": color, "alpha": 0.7}
            axes.errorbar(x, y, yerr=spread, elinewidth=0.6, label=kind, zorder=2, **style)
    # Below the line, names begin at the lower right, and above it at the upper left. Sorted by height,
    # so that the lines to their pairs do not cross.
    named = sorted(pairs[:NAMED], key=lambda pair: pair.draws)
    low = [pair for pair in named if pair.draws < pair.data]
    high = [pair for pair in reversed(named) if pair.draws >= pair.data]
    for place, pair in enumerate(low):
        _name_pair(axes, pair, (0.97, 0.03 + 0.13 * place), ha="right", va="bottom")
    for place, pair in enumerate(high):
        _name_pair(axes, pair, (0.03, 0.97 - 0.13 * place), ha="left", va="top")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)


def _name_pair(axes: Axes, pair: Association, place: tuple[float, float], **style: Any) -> None:
    axes.annotate(
        f"{shorten(pair.first, 18)},\n{shorten(pair.second, 18)}",
        (pair.data, pair.draws),
        xytext=place,
        textcoords="axes fraction",
        fontsize=7,
        arrowprops={"arrowstyle": "-", "lw": 0.6, "color": GREY},
        **style,
    )


def _draw_differences(figure: Figure, axes: Axes, result: Associations) -> None:
    difference = result.draws - result.data
    size = len(result.names)
    worst = np.nan_to_num(np.abs(difference)).max(axis=1)
    shown = np.sort(np.argsort(-worst, kind="stable")[:MAX_COLUMNS])
    picture = difference[np.ix_(shown, shown)]
    np.fill_diagonal(picture, np.nan)
    limit = max(float(np.nanmax(np.abs(picture))) if np.isfinite(picture).any() else 0.0, 0.2)
    # PuOr is legible for the colour-blind. Grey is a pair without a value.
    axes.set_facecolor("0.85")
    image = axes.imshow(picture, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="none")
    title = "draws minus data" if len(shown) == size else f"draws minus data, {len(shown)} of {size}"
    tidy(axes, title=title)
    # Names along both axes would need more room than the picture, so the lower ones are numbers.
    names = [f"{shorten(result.names[i], 18)}  {at}" for at, i in enumerate(shown, start=1)]
    font = 8 if len(names) <= 12 else 7
    axes.set_xticks(range(len(names)), [str(at + 1) for at in range(len(names))], fontsize=font)
    axes.set_yticks(range(len(names)), names, fontsize=font)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, location="bottom", pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.ax.locator_params(nbins=5)


def column_checks(result: ColumnChecks) -> Figure:
    """Draw the deviation of each column's statistics from those of draws of the model.

    The unit is the standard deviation over replicates of the data's size. Inside the band are nearly
    all statistics of a correct model. Of more than 20 columns, the figure has those that deviate most.

    Args:
        result: from ``criticism.column_checks``.
    """
    worst = {
        name: max(abs(float(check.deviations)) for check in own.values())
        for name, own in result.checks.items()
    }
    chosen = set(sorted(worst, key=lambda name: -worst[name])[:MAX_COLUMNS])
    names = [name for name in result.checks if name in chosen]
    figure = new_figure(height=1.5 + 0.24 * len(names), width=6.4)
    axes = tidy(figure.add_subplot(), x="data minus draws, in standard deviations of the draws")
    axes.axvspan(-NOMINAL, NOMINAL, color=GREY, alpha=0.25, lw=0, zorder=0)
    axes.axvline(0.0, color=GREY, lw=0.8, zorder=0)
    drawn = set()
    for place, name in enumerate(names):
        for statistic, check in result.checks[name].items():
            label, marker, color = _style(statistic)
            x = float(np.clip(check.deviations, -FAR, FAR))
            style: Style = {"ms": 5, "color": color, "alpha": 0.8, "mew": 1.2 if marker == "x" else 0}
            first = None if label in drawn else label
            axes.plot(x, place, marker, label=first, clip_on=False, **style)
            drawn.add(label)
    axes.set_yticks(range(len(names)), [shorten(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-FAR, FAR)
    axes.grid(visible=True, axis="y", alpha=0.25)
    ticks = [-FAR, -NOMINAL, 0.0, NOMINAL, FAR]
    axes.set_xticks(
        ticks, [f"\u2264 \u2212{FAR:g}", f"\u2212{NOMINAL:g}", "0", f"{NOMINAL:g}", f"\u2265 {FAR:g}"]
    )
    figure.legend(loc="outside lower left", fontsize=8, frameon=False, ncols=4)
    shown = (
        "" if len(names) == len(result.checks) else f". {len(names)} of {len(result.checks)} columns"
    )
    title = f"Statistics of {result.num_data:,} rows, by column{shown}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _style(statistic: str) -> tuple[str, str, str]:
    """Return the label, the marker and the colour of a statistic."""
    if statistic.startswith("mean"):
        return "mean", "o", BLUE
    if statistic.startswith("sd"):
        return "standard deviation", "^", ORANGE
    if "quantile" in statistic:
        return "5, 50, 95% quantile", "x", VERMILLION
    return "share of a level", "s", GREEN
