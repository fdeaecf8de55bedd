"""Panels of the gallery for a table: draws of columns, and associations of pairs of columns."""

import jax
import numpy as np
from gallery_canvas import BLUE, GREEN, GREY, ORANGE, tidy
from matplotlib.axes import Axes

from probvae.criticism import associations
from probvae.runs import Run

MARKERS = (("o", BLUE), ("^", ORANGE), ("s", GREEN))


def drawn_columns(axes: Axes, run: Run, key: jax.Array) -> None:
    """Drawn rows of the wine table: two measurements, by drawn cultivar."""
    frame = run.fitted.sample(400, rng_key=key).frame
    tidy(axes, "draws, by cultivar", "alcohol (%)", "proline (mg/l)")
    for (marker, color), (name, rows) in zip(MARKERS, frame.groupby("cultivar"), strict=False):
        points = rows["alcohol"], rows["proline"]
        axes.scatter(*points, s=7, marker=marker, color=color, alpha=0.7, lw=0, label=str(name))
    axes.legend(fontsize=6, frameon=False, loc="upper left", handletextpad=0.1)


def pair_associations(axes: Axes, run: Run, key: jax.Array) -> None:
    """The association of each pair of columns, in draws beside test data."""
    pairs = associations(run.fitted, run.data.tables["test"], rng_key=key).pairs
    tidy(axes, "association of each pair", "in test data", "in draws")
    axes.plot([-1, 1], [-1, 1], color=GREY, lw=0.8, ls="--")
    points = np.array([(pair.data, pair.draws) for pair in pairs])
    axes.scatter(*points.T, s=8, color=BLUE, alpha=0.7, lw=0)
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
