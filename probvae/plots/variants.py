"""Figure of a comparison of variants over seeds: log p(x) of each training, and paired differences."""

from collections.abc import Sequence

import numpy as np

from probvae.plots.canvas import BLUE, GREY, ORANGE, Axes, Figure, new_figure, tidy
from probvae.variant_comparison import VariantComparison

NUM_ERRORS = 2.0  # standard errors on each side
SHIFT = 0.18  # of the mean, below the dots of its variant


def variants(result: VariantComparison, *, names: Sequence[object] | None = None) -> Figure:
    """Draw log p(x) of each training, and the differences to the reference key by key.

    Each dot is a training, and a line joins the trainings with the same key. A diamond is the mean over
    keys, and its bar shows two standard errors over keys. Lines that run in parallel on the left mean
    that the keys move all variants together, so that the differences on the right are far more precise.

    Args:
        result: from ``probvae.compare_variants``.
        names: names of the keys, such as their seeds, for a legend.
    """
    num_variants = len(result.names)
    figure = new_figure(height=1.7 + 0.5 * num_variants, width=8.4)
    trainings = f"{result.num_keys} training{'s' if result.num_keys > 1 else ''} of each variant"
    title = f"Held-out log p(x) of {result.num_data:,} data, {trainings}; bars: two standard errors"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_trainings(left, result.log_prob.mean(2), BLUE, names)
    _draw_means(left, result.mean, result.standard_error, BLUE)
    tidy(left, title="log p(x) (higher is better)", x="nats per datum")
    others = np.array(result.names) != result.reference
    _draw_trainings(right, np.where(others[:, None], result.differences, np.nan), ORANGE, None)
    difference = np.where(others, result.difference, np.nan)
    _draw_means(right, difference, result.difference_standard_error, ORANGE)
    tidy(right, title=f"difference to {result.reference!r}, key by key", x="nats per datum")
    right.axvline(0.0, color=GREY, lw=1.0, zorder=0)
    left.set_yticks(range(num_variants), result.names)
    left.set_ylim(num_variants - 0.5, -0.5)
    if names is not None and result.num_keys <= len(MARKERS):
        figure.legend(
            *left.get_legend_handles_labels(),
            loc="outside lower left",
            ncols=10,
            fontsize=8,
            frameon=False,
        )
    return figure


MARKERS = "osv^<>PX"


def _draw_trainings(
    axes: Axes, values: np.ndarray, colour: str, names: Sequence[object] | None
) -> None:
    """Draw values ``(variants, keys)``: a dot for each, joined by key."""
    at = np.arange(len(values))
    for key in range(values.shape[1]):
        marker = MARKERS[key % len(MARKERS)]
        label = None if names is None else f"seed {names[key]}"
        axes.plot(
            values[:, key],
            at,
            color=GREY,
            lw=0.8,
            marker=marker,
            ms=4,
            mfc=colour,
            mec="none",
            alpha=0.75,
            label=label,
        )


def _draw_means(axes: Axes, middle: np.ndarray, error: np.ndarray, colour: str) -> None:
    at = np.arange(len(middle)) + SHIFT
    bars = NUM_ERRORS * np.nan_to_num(error)
    axes.errorbar(middle, at, xerr=bars, fmt="D", color=colour, ms=5.5, lw=1.6, capsize=3)
