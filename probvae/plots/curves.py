"""A run's curves over epochs."""

from typing import Any, NamedTuple

import numpy as np

from probvae.plots.canvas import BLUE, ORANGE, new_figure, tidy
from probvae.training import History


class Panel(NamedTuple):
    """One quantity: its name in the history, its title and unit, its place in the grid."""

    name: str
    title: str
    unit: str
    place: tuple[Any, Any]


NATS = "nats per datum"
PANELS = (
    Panel("elbo", "ELBO (higher is better)", NATS, (0, slice(0, 2))),
    Panel("log_likelihood", "log-likelihood E_q[log p(x|z)]", NATS, (0, slice(2, 4))),
    Panel("kl", "KL(q(z|x) || p(z))", NATS, (0, slice(4, 6))),
    Panel("scale_x", "mean scale of p(x|z)", "units of x", (1, slice(0, 3))),
    Panel("scale_z", "mean scale of q(z|x)", "units of z", (1, slice(3, 6))),
)
LOSS = Panel("loss", "loss (minimised)", "nats, scaled sum", (0, slice(0, 2)))


def curves(history: History) -> Any:
    """Return curves of the ELBO, its two parts and the two scales: training and validation.

    Training values are means over an epoch, while the parameters move; validation values are those at
    its end. An objective that reports its loss alone gets the loss in place of the ELBO.
    """
    figure = new_figure(height=5.6, width=9.0)
    grid = figure.add_gridspec(2, 6)
    seen = {**history.train, **history.validation}
    panels = (LOSS, *PANELS[1:]) if "elbo" not in seen and "loss" in seen else PANELS
    for panel in panels:
        _panel(figure.add_subplot(grid[panel.place]), panel, history)
    words = "Training: mean over the epoch. Validation: at its end."
    figure.suptitle(f"Training curves. {words}", fontsize=10)
    first = figure.axes[0]
    if first.lines:
        first.legend(fontsize=8, frameon=False, loc="best")
    return figure


def _panel(axes: Any, panel: Panel, history: History) -> None:
    tidy(axes, title=panel.title, x="epoch", y=panel.unit)
    given = (
        ("training", history.train.get(panel.name), BLUE),
        ("validation", history.validation.get(panel.name), ORANGE),
    )
    drawn = [(name, values, colour) for name, values, colour in given if values is not None]
    for name, values, colour in drawn:
        marker = "o" if len(values) < 5 else ""
        axes.plot(
            np.arange(1, len(values) + 1), values, color=colour, lw=1.4, marker=marker, label=name
        )
    if not drawn:
        axes.text(0.5, 0.5, "not recorded", ha="center", transform=axes.transAxes, fontsize=9)
    axes.grid(visible=True, alpha=0.25)
    axes.xaxis.get_major_locator().set_params(integer=True)
