"""Figure of a model comparison: log p(x) of each variant, and its difference from the best."""

import numpy as np

from probvae.criticism import Comparison
from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.palette import BLUE, GREY, VERMILLION

NUM_ERRORS = 2.0  # standard errors on each side


def comparison(result: Comparison) -> Figure:
    """Draw log p(x) of each variant, and the paired differences from the best variant.

    Bars show two standard errors. Two bars on the left may overlap although the difference on the right
    is clear, because rows that are hard for one variant are hard for all.

    Args:
        result: from ``probvae.criticism.compare``.
    """
    figure = new_figure(height=1.5 + 0.34 * len(result.names), width=8.4)
    n = result.num_data
    title = f"Held-out log p(x) of {n:,} data, lower bounds; bars: two standard errors"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharey=True)
    _forest(left, result.mean, result.standard_error / n, BLUE)
    tidy(left, title="log p(x) (higher is better)", x="nats per datum")
    _forest(right, result.difference / n, result.difference_standard_error / n, VERMILLION)
    tidy(right, title="difference from the best, datum by datum", x="nats per datum")
    right.axvline(0.0, color=GREY, lw=1.0, zorder=0)
    left.set_yticks(range(len(result.names)), result.names)
    left.set_ylim(len(result.names) - 0.5, -0.5)
    return figure


def _forest(axes: Axes, middle: np.ndarray, error: np.ndarray, colour: str) -> None:
    at = np.arange(len(middle))
    axes.errorbar(
        middle, at, xerr=NUM_ERRORS * error, fmt="o", color=colour, ms=4.5, lw=1.4, capsize=2.5
    )
    axes.grid(visible=True, axis="x", alpha=0.25)
    axes.locator_params(axis="x", nbins=5)
