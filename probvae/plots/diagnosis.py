"""Figures of a diagnosis: one measure each, with its threshold.

A band is what the verdict tolerates. It lies behind the data, and what the verdict flags is outside of
it, in vermillion and with a name.
"""

import numpy as np

from probvae.criticism import ActiveUnits, Calibration, InferenceGap, ParetoShape, PredictiveChecks
from probvae.criticism.diagnosis.guide_rules import NARROW, UnitCalibration, judge_units
from probvae.criticism.diagnosis.rules import COVERAGE, MARGINAL, bound_coverage, select_blocks
from probvae.criticism.latents.active_units import ACTIVE
from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.palette import BLUE, GREEN, GREY, VERMILLION, Style
from probvae.typing import ArrayLike

MAX_STATISTICS = 18  # in one figure, for a Joint with many blocks
MAX_UNITS = 80  # in one figure
MAX_NAMES = 8  # next to lines or dots
FAR = 20.0  # standard deviations, the end of the scale
BAND: Style = {"color": GREY, "alpha": 0.25, "lw": 0, "zorder": 0}
LEGEND: Style = {"fontsize": 8, "facecolor": "white", "edgecolor": "none", "framealpha": 0.8}
WIDE, SINGLE = 7.2, 5.0  # inches: figures with two panels, and with one


def unit_use(units: ActiveUnits) -> Figure:
    """Draw the KL and the activity of each unit of the code, by rank, from ``units``.

    A KL that has only one part, of one unit or of a whole site, is drawn as its distribution over data.
    """
    kl = np.concatenate(list(units.kl.values()), axis=1)
    variance = np.concatenate([np.maximum(v, 1e-6) for v in units.variance.values()])
    part = "unit" if kl.shape[1] == len(variance) else "site"  # a sampled KL is not split into units
    figure = new_figure(height=2.8, width=WIDE)
    left, right = figure.subplots(1, 2)
    if kl.shape[1] == 1:
        tidy(left, title=f"KL of the {part}, over data", x="nats", y="number of data")
        left.hist(kl[:, 0], bins=30, color=BLUE)
        left.axvline(kl.mean(), color=VERMILLION, ls="--", lw=1.2, label=f"mean {kl.mean():.3g}")
        left.legend(**LEGEND)
    else:
        tidy(left, title=f"KL of each {part}, mean over data", x=f"{part}, by rank", y="nats")
        ranked = np.sort(kl.mean(0))[::-1][:MAX_UNITS]
        left.bar(np.arange(1, len(ranked) + 1), ranked, color=BLUE)
        left.set_xlim(0, len(ranked) + 1)
        left.locator_params(axis="x", integer=True)
    _draw_activity(right, np.sort(variance)[::-1][:MAX_UNITS])
    return figure


def _draw_activity(axes: Axes, variance: np.ndarray) -> None:
    """Draw the variances of units by rank, those that are not active as crosses in the band."""
    title = "activity: variance of E_q[z|x] over data"
    tidy(axes, title=title, x="unit, by rank", y="units of z squared")
    rank = np.arange(1, len(variance) + 1)
    active = variance > ACTIVE
    axes.set_yscale("log")
    axes.plot(rank[active], variance[active], "o", ms=4, color=BLUE)
    axes.plot(rank[~active], variance[~active], "x", ms=5, color=VERMILLION)
    bottom = min(float(variance.min()), ACTIVE) / 2
    axes.set_ylim(bottom, max(float(variance.max()), ACTIVE) * 2)
    axes.axhspan(bottom, ACTIVE, label=f"not active: at most {ACTIVE:g}", **BAND)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlim(0, len(variance) + 1)
    axes.locator_params(axis="x", integer=True)
    axes.legend(**LEGEND)


def tails(pareto: ParetoShape) -> Figure:
    """Draw the k-hat of each row of ``pareto``, sorted. Values of -inf are at the bottom."""
    k_hat = np.minimum(np.nan_to_num(pareto.k_hat, nan=np.inf, neginf=-0.5), 3.0)
    order = np.argsort(k_hat, kind="stable")
    rank, doubtful = np.arange(1, len(order) + 1), pareto.doubtful[order]
    figure = new_figure(height=2.9, width=SINGLE)
    axes = tidy(
        figure.add_subplot(),
        title=f"k-hat of the importance weights, {pareto.num_particles} particles",
        x="datum, by rank",
        y="k-hat (no unit)",
    )
    heights = k_hat[order]
    axes.plot(rank[~doubtful], heights[~doubtful], "o", ms=3, mew=0, color=BLUE)
    label = f"the verdict counts these {doubtful.sum()}: the weights move log p(x)"
    if doubtful.any():
        axes.plot(rank[doubtful], heights[doubtful], "x", ms=4, color=VERMILLION, label=label)
    axes.axhline(pareto.threshold, color=GREY, lw=1.2, ls="--", zorder=0)
    axes.annotate(
        f"threshold {pareto.threshold:.2f}",
        (1, pareto.threshold),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8,
    )
    if doubtful.any():
        axes.set_ylim(top=max(axes.get_ylim()[1], pareto.threshold) + 0.35)
        axes.legend(**LEGEND, loc="upper left")
    return figure


def gaps(gap: InferenceGap, train_gap: InferenceGap | None = None) -> Figure:
    """Draw the two parts of log p(x) - ELBO over rows, and the scales of the guide.

    Args:
        gap: the inference gap on held-out data.
        train_gap: the inference gap on training data.
    """
    figure = new_figure(height=2.9, width=WIDE)
    left, right = figure.subplots(1, 2)
    tidy(left, title="log p(x) - ELBO, in two parts", y="nats per datum")
    parts = {"approximation\n(family)": gap.approximation, "amortization\n(encoder)": gap.amortization}
    if train_gap is not None:
        parts["amortization,\ntraining data"] = train_gap.amortization
    middle = {"color": VERMILLION, "lw": 1.6}
    line = {"color": BLUE}
    left.boxplot(
        list(parts.values()),
        showfliers=False,
        medianprops=middle,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
    )
    left.set_xticks(range(1, len(parts) + 1), list(parts), fontsize=8)
    left.axhline(0.0, color=GREY, lw=0.8)
    tidy(
        right,
        title="the encoder's scale over the best local one",
        x="ratio (no unit)",
        y="count, data x units",
    )
    right.hist(np.clip(gap.scale_ratio.ravel(), 0, 3), bins=40, color=BLUE)
    median = float(np.median(gap.scale_ratio))
    right.axvspan(right.get_xlim()[0], NARROW, **BAND, label=f"too narrow: a median below {NARROW:g}")
    colour = VERMILLION if median < NARROW else GREEN
    right.axvline(median, color=colour, lw=1.6, ls="--", label=f"median {median:.2f}")
    right.set_ylim(top=1.35 * right.get_ylim()[1])  # room for the legend
    right.legend(**LEGEND)
    return figure


def calibration(ranks: Calibration | ArrayLike) -> Figure:
    """Draw the ranks of true codes among draws of the guide: their ECDF minus the diagonal, by unit.

    The band has 95 % of the lines of a calibrated unit (Kolmogorov). For a ``Calibration``, a second
    panel has the shift and the spread of each unit, with the tolerance of the verdict.

    Args:
        ranks: from ``probvae.criticism.sbc``, or only the ranks in [0, 1], ``(simulations, units)``.
    """
    if isinstance(ranks, Calibration):
        units = judge_units(ranks)
        u = np.concatenate([site.pit for site in ranks.sites.values()], axis=1)
        figure = new_figure(height=3.2, width=WIDE)
        left, right = figure.subplots(1, 2)
        _draw_ranks(left, u, units.names)
        _draw_tolerance(right, units)
        return figure
    u = np.asarray(ranks)
    figure = new_figure(height=3.2, width=SINGLE)
    _draw_ranks(figure.add_subplot(), u, [f"z[{unit}]" for unit in range(u.shape[1])])
    return figure


def _draw_ranks(axes: Axes, u: np.ndarray, names: list[str]) -> None:
    """Draw a line for each unit, and name those that leave the band."""
    title = "ranks of the codes that made the data"
    tidy(axes, title=title, x="rank among draws of q(z|x), as a share", y="ECDF minus the diagonal")
    at = np.linspace(0, 1, 201)
    band = 1.36 / np.sqrt(len(u))  # Kolmogorov's 95 % bound
    axes.fill_between(at, -band, band, label="95 % band of one unit", **BAND)
    lines = [
        np.searchsorted(np.sort(column), at, side="right") / len(column) - at
        for column in u.T[:MAX_UNITS]
    ]
    largest = np.array([np.abs(line).max() for line in lines])
    named = [unit for unit in np.argsort(-largest)[:MAX_NAMES] if largest[unit] > band]
    for unit, line in enumerate(lines):
        is_outside = largest[unit] > band
        colour, width = (VERMILLION, 1.2) if is_outside else (BLUE, 0.8)
        axes.plot(at, line, color=colour, lw=width, alpha=0.8, zorder=2 + is_outside)
    points = _spread_places(at, [lines[unit] for unit in named], band)
    _name_points(axes, points, [names[unit] for unit in named])
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.25 * (high - low))  # room for names and legend
    axes.legend(**LEGEND, loc="upper right")


def _spread_places(at: np.ndarray, lines: list[np.ndarray], band: float) -> list[tuple[float, float]]:
    """Return a point of each line outside of the band, far from those of the lines before it."""
    reach = max((np.abs(line).max() for line in lines), default=1.0)
    points: list[tuple[float, float]] = []
    for line in lines:
        outside = np.flatnonzero(np.abs(line) > band)
        apart = [np.hypot(at[outside] - x, (line[outside] - y) / (2 * reach)) for x, y in points]
        best = np.min(apart, axis=0).argmax() if apart else np.abs(line[outside]).argmax()
        points.append((float(at[outside[best]]), float(line[outside[best]])))
    return points


def _peak(at: np.ndarray, line: np.ndarray) -> tuple[float, float]:
    place = int(np.abs(line).argmax())
    return float(at[place]), float(line[place])


def _draw_tolerance(axes: Axes, units: UnitCalibration) -> None:
    """Draw the shift and the spread of each unit, and name those that the verdict counts."""
    title = "mean and spread of q(z|x)"
    tidy(axes, title=title, x="shift of the mean (sd of q)", y="true spread / spread of q")
    edge, spread = units.tolerance, np.exp(units.log_spread)
    inside = ~units.is_miscalibrated
    low, high = np.exp(-edge), np.exp(edge)
    axes.fill_between([-edge, edge], low, high, label="what the verdict tolerates", **BAND)
    axes.plot(units.shift[inside], spread[inside], "o", ms=4, color=BLUE, alpha=0.8)
    axes.plot(units.shift[~inside], spread[~inside], "X", ms=6, mew=0, color=VERMILLION)
    axes.axhline(1.0, color=GREY, lw=0.8, zorder=0)
    axes.axvline(0.0, color=GREY, lw=0.8, zorder=0)
    distance = np.maximum(np.abs(units.shift), np.abs(units.log_spread))
    named = [u for u in np.argsort(-np.nan_to_num(distance))[:MAX_NAMES] if not inside[u]]
    points = [(float(units.shift[u]), float(spread[u])) for u in named]
    _name_points(axes, points, [units.names[u] for u in named])
    reach = 1.25 * max(edge, float(np.nanmax(np.abs(units.shift), initial=0.0)))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(0.9 * min(low, np.nanmin(spread)), 1.25 * max(high, np.nanmax(spread)))
    axes.legend(**LEGEND, loc="upper left")


def _name_points(axes: Axes, points: list[tuple[float, float]], names: list[str]) -> None:
    """Write names next to points, each on the side away from 0."""
    for (x, y), name in zip(points, names, strict=True):
        axes.annotate(
            name, (x, y), xytext=(4, 3 if y >= 0 else -9), textcoords="offset points", fontsize=8
        )


def predictions(checks: PredictiveChecks) -> Figure:
    """Draw data against posterior predictive draws: distribution, intervals and test statistics.

    Each band is what the verdict tolerates. A curve that leaves the first one is a wrong likelihood,
    and a point below the second one is an interval that is too narrow. The verdict does not judge the
    test statistics. For a ``Joint``, each block has its own curve, points and statistics. If there are
    many statistics, the figure has the most deviating ones.

    Args:
        checks: the result of ``criticism.predictive_checks``.
    """
    figure = new_figure(height=_statistics_height(checks), width=8.8)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    _draw_distribution(left, checks)
    _draw_intervals(middle, checks)
    _draw_statistics(right, checks)
    return figure


def _draw_distribution(axes: Axes, checks: PredictiveChecks) -> None:
    """Draw the distribution function of the data minus that of draws, over that of draws."""
    tidy(axes, title="values of x", x="share of draws up to a value", y="share of data minus that")
    axes.axhspan(-MARGINAL, MARGINAL, label="what the verdict tolerates", **BAND)
    axes.axhline(0.0, color=GREY, lw=0.8, zorder=0)
    for name, block in select_blocks(checks.posterior).items():
        curve, is_outside = block.marginal.curve, block.marginal.distance > MARGINAL
        if curve is None:
            continue
        colour = VERMILLION if is_outside else BLUE
        axes.plot(*curve.T, color=colour, lw=1.4, zorder=2 + is_outside)
        if is_outside and name:
            _name_points(axes, [_peak(*curve.T)], [name])
    reach = max(1.6 * MARGINAL, 1.15 * float(np.abs(axes.dataLim.intervaly).max()))
    axes.set_ylim(-reach, reach)
    axes.legend(**LEGEND, loc="upper right")


def _draw_intervals(axes: Axes, checks: PredictiveChecks) -> None:
    """Draw the share of entries inside central intervals, with two standard errors at the last one."""
    tidy(axes, title="central predictive intervals", x="nominal mass", y="share of entries inside")
    levels = checks.posterior.coverage.levels
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, zorder=0)
    last = float(levels[-1])
    band = [last - 0.03, min(last + 0.03, 1.0)]
    axes.fill_between(band, last - COVERAGE, 1.0, label="what the verdict tolerates", **BAND)
    prior = checks.prior.coverage.share
    axes.plot(levels, prior, "s--", ms=4, lw=1.0, color=GREEN, label="prior predictive")
    blocks = select_blocks(checks.posterior)
    for index, (name, block) in enumerate(blocks.items()):
        cover = block.coverage
        is_outside = bound_coverage(cover) < last - COVERAGE
        colour = VERMILLION if is_outside else BLUE
        label = ("posterior predictive" if not name else "of each block") if not index else None
        axes.plot(levels, cover.share, "o-", ms=4, lw=1.2, color=colour, label=label, zorder=3)
        error = 2 * np.nan_to_num(cover.standard_error[-1])
        axes.errorbar([last], [cover.share[-1]], [error], color=colour, capsize=2, lw=1.2, zorder=3)
        if is_outside and name:
            _name_points(axes, [(last, float(cover.share[-1]))], [name])
    axes.set_xlim(0.0, 1.08)
    axes.legend(**LEGEND, loc="lower right")


def _statistic_deviations(checks: PredictiveChecks) -> dict[str, float]:
    """Return the deviation of each statistic in standard deviations of draws, the largest if many."""
    deviations = {
        f"{name}: {statistic.replace('_', ' ')}".removeprefix(": "): float(np.mean(check.deviations))
        for name, block in select_blocks(checks.posterior).items()
        for statistic, check in block.statistics.items()
    }
    largest = sorted(deviations, key=lambda name: -abs(deviations[name]))[:MAX_STATISTICS]
    return {name: value for name, value in deviations.items() if name in largest}


def _statistics_height(checks: PredictiveChecks) -> float:
    return max(3.2, 0.22 * len(_statistic_deviations(checks)) + 1.0)


def _draw_statistics(axes: Axes, checks: PredictiveChecks) -> None:
    deviations = _statistic_deviations(checks)
    at = np.arange(len(deviations))
    values = np.clip(list(deviations.values()), -FAR, FAR)
    tidy(axes, title="test statistics (not judged)", x=f"sd from draws' mean ({FAR:g} at most)")
    axes.axvline(0.0, color=GREY, lw=0.8, zorder=0)
    axes.hlines(at, 0.0, values, color=GREY, lw=1.0, zorder=1)
    axes.plot(values, at, "o", ms=4, color=BLUE, zorder=2)
    axes.set_yticks(at, list(deviations), fontsize=8)
    axes.set_ylim(len(at) - 0.5, -0.5)
    reach = max(3.0, 1.1 * float(np.abs(values).max(initial=0.0)))
    axes.set_xlim(-reach, reach)
