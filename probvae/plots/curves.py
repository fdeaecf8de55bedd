"""A run's curves over epochs."""

from typing import Any, NamedTuple

import numpy as np

from probvae.fitted import History
from probvae.plots.canvas import BLUE, ORANGE, new_figure, tidy


class Panel(NamedTuple):
    """One quantity: its name in the history, its title and its unit."""

    name: str
    title: str
    unit: str


NATS = "nats per datum"
DWARFED = 20  # times
BOUNDS = (
    Panel("elbo", "ELBO (higher is better)", NATS),
    Panel("log_likelihood", r"log-likelihood $E_q[\log p(x|z)]$", NATS),
    Panel("kl", r"$KL(q(z|x)\,||\,p(z))$", NATS),
)
LOSS = Panel("loss", "loss (minimised)", "nats, scaled sum")
SCALES = (
    Panel("scale_x", r"mean scale of $p(x|z)$", "units of x"),
    Panel("scale_z", r"mean scale of $q(z|x)$", "units of z"),
)


def curves(history: History) -> Any:
    """Return curves of the ELBO, its two parts and the two scales: training and validation.

    Training values are means over an epoch, while the parameters move; validation values are those
    at its end. An objective that reports its loss alone gets the loss in place of the ELBO.

    Args:
        history: ``fitted.history``.
    """
    figure = new_figure(height=5.0, width=7.8)
    seen = {**history.train, **history.validation}
    bounds = (LOSS, *BOUNDS[1:]) if "elbo" not in seen and "loss" in seen else BOUNDS
    words = "training: mean over the epoch; validation: at its end"
    figure.suptitle(f"Curves ({words})", fontsize=10, x=0.01, ha="left")
    for part, panels in zip(figure.subfigures(2, 1), (bounds, SCALES), strict=True):
        for axes, panel in zip(part.subplots(1, len(panels)), panels, strict=True):
            _panel(axes, panel, history)
    if figure.axes[0].lines:
        figure.axes[0].legend(fontsize=8, frameon=False, loc="best")
    return figure


def _panel(axes: Any, panel: Panel, history: History) -> None:
    tidy(axes, title=panel.title, x="epoch", y=panel.unit)
    given = (
        ("training", history.train.get(panel.name), BLUE),
        ("validation", history.validation.get(panel.name), ORANGE),
    )
    drawn = [
        (name, values, colour)
        for name, values, colour in given
        if values is not None and not np.isnan(values).all()  # a scale that the distribution knows not
    ]
    for name, values, colour in drawn:
        marker = "o" if len(values) < 5 else ""
        axes.plot(
            np.arange(1, len(values) + 1), values, color=colour, lw=1.4, marker=marker, label=name
        )
    if not drawn:
        axes.text(
            0.5, 0.5, "not recorded, or not known", ha="center", transform=axes.transAxes, fontsize=9
        )
        return
    _without_the_start(axes, [values for _, values, _ in drawn])
    axes.grid(visible=True, alpha=0.25)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _without_the_start(axes: Any, series: list[np.ndarray]) -> None:
    """Leave the first tenth of the epochs off the scale, and say so, where it dwarfs what follows."""
    finite = [np.where(np.isfinite(values), values, np.nan) for values in series]
    late = np.concatenate([values[-(-len(values) // 10) :] for values in finite])
    if np.isnan(late).all():
        return
    low, high = np.nanmin(late), np.nanmax(late)
    extent = np.nanmax(np.concatenate(finite)) - np.nanmin(np.concatenate(finite))
    if high > low and extent > DWARFED * (high - low):
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        words = "the first epochs are off the scale"
        axes.text(0.98, 0.03, words, ha="right", transform=axes.transAxes, fontsize=7)
