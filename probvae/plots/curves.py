"""Figure of training curves: ELBO, its parts and scales over the epochs."""

from typing import NamedTuple

import numpy as np

from probvae.fitted import History
from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.palette import BLUE, VERMILLION, Style


class Panel(NamedTuple):
    """A quantity of the history: its name, title and unit."""

    name: str
    title: str
    unit: str


NATS = "nats per datum"
DWARFED = 20  # the first epochs are off the scale if their range is this many times larger
BOUNDS = (
    Panel("elbo", "ELBO (higher is better)", NATS),
    Panel("log_likelihood", "log-likelihood E_q[log p(x|z)]", NATS),
    Panel("kl", "KL(q(z|x) || p(z))", NATS),
)
LOSS = Panel("loss", "loss (minimised)", "nats, scaled sum")
SCALES = (
    Panel("scale_x", "mean scale of p(x|z)", "units of x"),
    Panel("scale_z", "mean scale of q(z|x)", "units of z"),
)


def curves(history: History) -> Figure:
    """Draw the ELBO, its two parts and the two scales over the epochs, for training and validation.

    Training values are means over an epoch, while the parameters change. Validation values are those at
    its end. If the objective reports only its loss, the loss takes the place of the ELBO.

    Args:
        history: ``fitted.history``.
    """
    figure = new_figure(height=5.0, width=7.8)
    record = {**history.train, **history.validation}
    bounds = (LOSS, *BOUNDS[1:]) if "elbo" not in record and "loss" in record else BOUNDS
    words = "training: mean over the epoch; validation: at its end"
    figure.suptitle(f"Curves ({words})", fontsize=10, x=0.01, ha="left")
    for place, panel in enumerate((*bounds, *SCALES), start=1):  # two rows of three
        _panel(figure.add_subplot(2, 3, place), panel, history)
    if figure.axes[0].lines:
        figure.axes[0].legend(fontsize=8, frameon=False, loc="best")
    return figure


def _panel(axes: Axes, panel: Panel, history: History) -> None:
    tidy(axes, title=panel.title, x="epoch", y=panel.unit)
    records: tuple[tuple[str, dict[str, np.ndarray], Style], ...] = (
        ("training", history.train, {"color": BLUE, "ls": "-"}),
        ("validation", history.validation, {"color": VERMILLION, "ls": "--"}),
    )
    series = []
    for name, record, style in records:
        values = record.get(panel.name)
        if values is None or np.isnan(values).all():  # NaN: a distribution without a known scale
            continue
        series.append(values)
        epochs, marker = np.arange(1, len(values) + 1), "o" if len(values) < 5 else ""
        axes.plot(epochs, values, lw=1.4, marker=marker, label=name, **style)
    if not series:
        axes.text(
            0.5, 0.5, "not recorded, or not known", ha="center", transform=axes.transAxes, fontsize=9
        )
        return
    _cut_start(axes, series)
    axes.grid(visible=True, alpha=0.25)
    axes.locator_params(axis="x", integer=True)


def _cut_start(axes: Axes, series: list[np.ndarray]) -> None:
    """Limit the scale to the epochs after the first tenth if those before dwarf them, and say so."""
    finite = [np.where(np.isfinite(values), values, np.nan) for values in series]
    late = np.concatenate([values[-(-len(values) // 10) :] for values in finite])
    if np.isnan(late).all():
        return
    low, high = np.nanmin(late), np.nanmax(late)
    extent = np.nanmax(np.concatenate(finite)) - np.nanmin(np.concatenate(finite))
    if high > low and extent > DWARFED * (high - low):
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        note = "the first epochs are off the scale"
        axes.text(0.98, 0.03, note, ha="right", transform=axes.transAxes, fontsize=7)
