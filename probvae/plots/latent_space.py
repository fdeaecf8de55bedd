"""Figure of the latent space: a map of the codes of data, by label."""

import textwrap
from typing import NamedTuple

import numpy as np

from probvae.fitted import Fitted
from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.palette import BLUE, GREY, marker_style
from probvae.typing import ArrayLike, DataLike

MAX_CLASSES = 20  # more labels become a colour scale
WIDTH = 5.6  # inches


def latent_map(
    fitted: Fitted,
    x: DataLike,
    labels: ArrayLike | None = None,
    *,
    context: ArrayLike | None = None,
) -> Figure:
    """Draw the means of q(z|x) as a map. Each label has a colour, a marker, and its name in the map.

    With more than two latent units, the axes are the first two principal components of the means, and
    the title gives their share of the variance. With one unit, they are its mean and scale.

    Args:
        fitted: the fitted VAE.
        x: data ``(n, *event_shape)``.
        labels: one per row.
        context: ``(n, *context_shape)``.
    """
    q = fitted.encode(x, context)
    plane = _project(np.asarray(q.mean), np.asarray(q.variance) ** 0.5)
    figure = new_figure(height=4.8, width=WIDTH)
    title = f"Codes of {len(plane.points):,} data: {plane.title}"
    axes = tidy(figure.add_subplot(), title=textwrap.fill(title, 64), x=plane.x, y=plane.y)
    if labels is None:
        axes.scatter(*plane.points.T, s=12, color=BLUE, alpha=0.7, linewidths=0)
    else:
        _color_points(figure, axes, plane.points, np.asarray(labels))
    if q.mean.shape[1] > 1:
        axes.set_aspect("equal", adjustable="datalim")
    return figure


class _Plane(NamedTuple):
    """Points ``(n, 2)`` of a map, the labels of its axes, and its title."""

    points: np.ndarray
    x: str
    y: str
    title: str


def _project(mean: np.ndarray, scale: np.ndarray) -> _Plane:
    if mean.shape[1] == 1:
        points = np.hstack([mean, scale])
        return _Plane(points, "mean of q(z|x)", "scale of q(z|x)", "mean and scale of q(z|x)")
    if mean.shape[1] == 2:
        return _Plane(mean, "z_1 (units of z)", "z_2 (units of z)", "means of q(z|x)")
    centred = mean - mean.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    share = (singular[:2] ** 2).sum() / max((singular**2).sum(), 1e-30)
    title = f"the plane with {share:.0%} of the variance of the means of q(z|x) in R^{mean.shape[1]}"
    points = centred @ directions[:2].T
    return _Plane(points, "component 1 (units of z)", "component 2 (units of z)", title)


def _color_points(figure: Figure, axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    classes = np.unique(labels)
    if len(classes) > MAX_CLASSES and labels.dtype.kind in "biuf":
        dots = axes.scatter(*points.T, c=labels, s=12, cmap="viridis", alpha=0.8, linewidths=0)
        figure.colorbar(dots, ax=axes, shrink=0.8).set_label("label", fontsize=9)
        return
    has_short_names = max(len(str(name)) for name in classes) <= 3
    for index, name in enumerate(classes[:MAX_CLASSES]):
        rows = points[labels == name]
        style = marker_style(index)
        axes.scatter(*rows.T, s=14, alpha=0.7, linewidths=0, label=str(name), zorder=2, **style)
        if has_short_names or len(classes) <= 4:  # others would overlap
            _write_name(axes, np.median(rows, axis=0), str(name))
    rest = points[~np.isin(labels, classes[:MAX_CLASSES])]
    axes.scatter(*rest.T, s=8, color=GREY, linewidths=0, zorder=1)
    figure.legend(
        title="label",
        loc="outside lower center",
        fontsize=8,
        frameon=False,
        ncols=10 if has_short_names else 4,
        handletextpad=0.2,
    )


def _write_name(axes: Axes, middle: np.ndarray, name: str) -> None:
    """Write the name of a class in the middle of its dots, with a light edge around the letters."""
    from matplotlib.patheffects import withStroke

    text = axes.text(
        float(middle[0]),
        float(middle[1]),
        name,
        ha="center",
        va="center",
        weight="bold",
        fontsize=10,
        zorder=3,
    )
    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
