"""Figure of the latent space: a map of the codes of data, by label."""

from typing import NamedTuple

import numpy as np

from probvae.fitted import Fitted
from probvae.plots.canvas import BLUE, WIDTH, Axes, Figure, new_figure, tidy
from probvae.typing import ArrayLike

MAX_CLASSES = 20  # more labels become a colour scale


def latent_map(
    fitted: Fitted,
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    context: ArrayLike | None = None,
) -> Figure:
    """Draw the means of q(z|x) as a map, coloured by label.

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
    figure = new_figure(height=5.4, width=WIDTH)
    title = f"Codes of {len(plane.points):,} data: {plane.title}"
    axes = tidy(figure.add_subplot(), title=title, x=plane.x, y=plane.y)
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
    from matplotlib import colormaps

    classes = np.unique(labels)
    if len(classes) > MAX_CLASSES and labels.dtype.kind in "biuf":
        dots = axes.scatter(*points.T, c=labels, s=12, cmap="viridis", alpha=0.8, linewidths=0)
        figure.colorbar(dots, ax=axes, shrink=0.8).set_label("label", fontsize=9)
        return
    for index, name in enumerate(classes[:MAX_CLASSES]):
        colour = f"C{index}" if len(classes) <= 10 else colormaps["tab20"](index)
        rows = points[labels == name]
        axes.scatter(*rows.T, s=14, color=colour, alpha=0.8, linewidths=0, label=str(name))
    rest = points[~np.isin(labels, classes[:MAX_CLASSES])]
    axes.scatter(*rest.T, s=8, color="0.7", linewidths=0)
    figure.legend(title="label", loc="outside right upper", fontsize=8, frameon=False)
