"""Variants side by side: their log p(x), and how far each is from the best."""

from typing import Any

import numpy as np

from probvae.criticism import Comparison
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

ERRORS = 2.0  # standard errors to either side


def comparison(found: Comparison) -> Any:
    """Return a figure of the log p(x) of each variant, and of the paired differences to the best.

    Bars are of two standard errors. Two bars on the left may overlap where the difference on the right
    is clear: data that are hard for one variant are hard for all.

    Args:
        found: as ``probvae.criticism.compare`` returns it.
    """
    figure = new_figure(height=1.5 + 0.34 * len(found.names), width=8.4)
    n = found.num_data
    title = f"Held-out log p(x) of {n:,} data, lower bounds; bars: two standard errors"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharey=True)
    _forest(left, found.mean, found.standard_error / n, BLUE)
    tidy(left, title="log p(x) (higher is better)", x="nats per datum")
    _forest(right, found.difference / n, found.difference_standard_error / n, ORANGE)
    tidy(right, title="difference to the best, datum by datum", x="nats per datum")
    right.axvline(0.0, color=GREY, lw=1.0, zorder=0)
    left.set_yticks(range(len(found.names)), found.names)
    left.set_ylim(len(found.names) - 0.5, -0.5)
    return figure


def _forest(axes: Any, middle: np.ndarray, error: np.ndarray, colour: str) -> None:
    at = np.arange(len(middle))
    axes.errorbar(middle, at, xerr=ERRORS * error, fmt="o", color=colour, ms=4.5, lw=1.4, capsize=2.5)
    axes.grid(visible=True, axis="x", alpha=0.25)
    axes.locator_params(axis="x", nbins=5)
