"""Figures of a diagnosis: one measure each, with its threshold or ideal value."""

import numpy as np

from probvae.criticism import ActiveUnits, InferenceGap, ParetoShape, PredictiveChecks
from probvae.plots.canvas import BLUE, GREY, ORANGE, Figure, new_figure, tidy

MAX_STATISTICS = 18  # in one figure, for a Joint with many blocks
MAX_UNITS = 80  # in one figure


def unit_use(units: ActiveUnits) -> Figure:
    """Draw the KL and the activity of each unit of the code, by rank, from ``units``."""
    kl = np.concatenate([value.mean(0) for value in units.kl.values()])
    variance = np.concatenate([np.maximum(v, 1e-6) for v in units.variance.values()])
    part = "unit" if len(kl) == len(variance) else "site"  # a sampled KL is not split into units
    figure = new_figure(height=2.8)
    left, right = figure.subplots(1, 2)
    tidy(left, title=f"KL of each {part}, mean over data", x=f"{part}, by rank", y="nats")
    left.bar(np.arange(1, len(kl) + 1)[:MAX_UNITS], np.sort(kl)[::-1][:MAX_UNITS], color=BLUE)
    tidy(
        right,
        title=r"activity: variance over data of $E_q[z|x]$",
        x="unit, by rank",
        y="units of z squared",
    )
    ranked = np.sort(variance)[::-1][:MAX_UNITS]
    right.semilogy(np.arange(1, len(ranked) + 1), ranked, "o", ms=3.5, color=BLUE)
    right.axhline(0.01, color=ORANGE, lw=1.2, label="0.01: below, inactive")
    right.legend(fontsize=8, frameon=False)
    for axes, count in ((left, len(kl)), (right, len(variance))):
        axes.set_xlim(0, min(count, MAX_UNITS) + 1)
        axes.locator_params(axis="x", integer=True)
    return figure


def tails(pareto: ParetoShape) -> Figure:
    """Draw the k-hat of each row of ``pareto``, sorted. Values of -inf are at the bottom."""
    k_hat = np.sort(np.nan_to_num(pareto.k_hat, nan=np.inf, neginf=-0.5))
    heights = np.minimum(k_hat, 3.0)
    figure = new_figure(height=2.8)
    axes = tidy(
        figure.add_subplot(),
        title=f"k-hat of the importance weights, {pareto.num_particles} particles",
        x="datum, by rank",
        y="k-hat (no unit)",
    )
    axes.plot(np.arange(1, len(heights) + 1), heights, ".", ms=4, color=BLUE)
    axes.axhline(pareto.threshold, color=ORANGE, lw=1.2, label=f"threshold {pareto.threshold:.2f}")
    axes.legend(fontsize=8, frameon=False)
    return figure


def gaps(gap: InferenceGap, train_gap: InferenceGap | None = None) -> Figure:
    """Draw the two parts of log p(x) - ELBO over rows, and the scales of the guide.

    Args:
        gap: the inference gap on held-out data.
        train_gap: the inference gap on training data.
    """
    figure = new_figure(height=2.8)
    left, right = figure.subplots(1, 2)
    tidy(left, title="log p(x) - ELBO, in two parts", y="nats per datum")
    parts = {"approximation\n(family)": gap.approximation, "amortization\n(encoder)": gap.amortization}
    if train_gap is not None:
        parts["amortization,\ntraining data"] = train_gap.amortization
    left.boxplot(list(parts.values()), showfliers=False, medianprops={"color": ORANGE})
    left.set_xticks(range(1, len(parts) + 1), list(parts), fontsize=8)
    left.axhline(0.0, color=GREY, lw=0.8)
    tidy(
        right,
        title="the encoder's scale over the best local one",
        x="ratio (no unit)",
        y="count, data x units",
    )
    right.hist(np.clip(gap.scale_ratio.ravel(), 0, 3), bins=40, color=BLUE)
    right.axvline(1.0, color=GREY, lw=1.0)
    right.axvline(0.5, color=ORANGE, lw=1.2, label="0.5: below, too narrow")
    right.set_ylim(top=1.25 * right.get_ylim()[1])  # room for the legend
    right.legend(fontsize=8, frameon=False)
    return figure


def calibration(u: np.ndarray) -> Figure:
    """Draw the ECDF of ranks in [0, 1] minus the diagonal, with the band for uniform ranks.

    Args:
        u: ranks of true codes among draws of the guide, ``(simulations, units)``.
    """
    figure = new_figure(height=3.0)
    axes = tidy(
        figure.add_subplot(),
        title="simulation-based calibration: ranks of codes that made the data",
        x="rank of the code among draws of q(z|x), as a share",
        y="ECDF less the diagonal",
    )
    at = np.linspace(0, 1, 201)
    for column in u.T[:MAX_UNITS]:
        ecdf = np.searchsorted(np.sort(column), at, side="right") / len(column)
        axes.plot(at, ecdf - at, color=BLUE, lw=0.8, alpha=0.6)
    band = 1.36 / np.sqrt(len(u))  # Kolmogorov's 95 % bound
    axes.fill_between(at, -band, band, color=GREY, alpha=0.25, lw=0, label="95 % band of one unit")
    axes.legend(fontsize=8, frameon=False)
    return figure


def predictions(checks: PredictiveChecks) -> Figure:
    """Draw test statistics and interval coverage of the data under posterior predictive draws.

    For a ``Joint``, the statistics are those of its blocks, and each block has a line of its own for
    the intervals. If there are many statistics, the figure has the most deviating ones of ``checks``.
    """
    blocks = checks.posterior.blocks or {"": checks.posterior}
    deviations = {
        f"{name}: {statistic.replace('_', ' ')}".removeprefix(": "): float(np.mean(check.deviations))
        for name, block in blocks.items()
        for statistic, check in block.statistics.items()
    }
    largest = sorted(deviations, key=lambda name: -abs(deviations[name]))[:MAX_STATISTICS]
    names = [name for name in deviations if name in largest]
    figure = new_figure(height=max(2.9, 0.22 * len(names) + 1.0))
    left, right = figure.subplots(1, 2)
    unit = "standard deviations from draws' mean (20 at most)"
    tidy(left, title="test statistics of the data", x=unit)
    left.barh(range(len(names)), [np.clip(deviations[name], -20, 20) for name in names], color=BLUE)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.axvspan(-2, 2, color=GREY, alpha=0.25, lw=0)
    tidy(right, title="central predictive intervals", x="nominal mass", y="share of entries inside")
    levels = checks.posterior.coverage.levels
    right.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    for name, colour in (("prior", ORANGE), ("posterior", BLUE)):
        side = getattr(checks, name)
        share, label = side.coverage.share, f"{name} predictive"
        right.plot(levels, share, "o-", ms=4, lw=1.2, color=colour, label=label)
        for i, block in enumerate(side.blocks.values()):
            block_label = "each block" if i == 0 and name == "posterior" else None
            right.plot(levels, block.coverage.share, ":", lw=1.0, color=colour, label=block_label)
    right.legend(fontsize=8, frameon=False)
    return figure
