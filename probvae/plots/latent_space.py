"""What a fitted VAE says in the space of the codes."""

from typing import Any

import numpy as np

from probvae.fitted import Fitted
from probvae.plots.canvas import BLUE, WIDTH, new_figure, tidy
from probvae.typing import ArrayLike

MOST_CLASSES = 20  # beyond that, labels are a colour scale


def latent_map(
    fitted: Fitted,
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    context: ArrayLike | None = None,
) -> Any:
    """Return the means of q(z|x) as a map, coloured by label.

    With more than two latent units the map shows the first two principal components of the means,
    and the title says how much of their variance these hold; with one, the mean against the scale.

    Args:
        fitted: the fitted VAE.
        x: data ``(n, *event_shape)``.
        labels: one for each datum.
        context: ``(n, *context_shape)``.
    """
    q = fitted.encode(x, context)
    points, (across, up), words = _plane(np.asarray(q.mean), np.asarray(q.variance) ** 0.5)
    figure = new_figure(height=5.4, width=WIDTH)
    axes = tidy(figure.add_subplot(), title=f"Codes of {len(points):,} data: {words}", x=across, y=up)
    if labels is None:
        axes.scatter(*points.T, s=12, color=BLUE, alpha=0.7, linewidths=0)
    else:
        _color_points(figure, axes, points, np.asarray(labels))
    if not across.startswith("mean"):
        axes.set_aspect("equal", adjustable="datalim")
    return figure


def _plane(mean: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, tuple[str, str], str]:
    """Return points ``(n, 2)``, the names of the two axes, and what the map shows."""
    if mean.shape[1] == 1:
        axes = ("mean of q(z|x)", "scale of q(z|x)")
        return np.hstack([mean, scale]), axes, "mean and scale of q(z|x)"
    if mean.shape[1] == 2:
        return mean, ("z_1 (units of z)", "z_2 (units of z)"), "means of q(z|x)"
    centred = mean - mean.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    share = (singular[:2] ** 2).sum() / max((singular**2).sum(), 1e-30)
    words = f"the plane with {share:.0%} of the variance of the means of q(z|x) in R^{mean.shape[1]}"
    names = ("component 1 (units of z)", "component 2 (units of z)")
    return centred @ directions[:2].T, names, words


def _color_points(figure: Any, axes: Any, points: np.ndarray, labels: np.ndarray) -> None:
    classes = np.unique(labels)
    if len(classes) > MOST_CLASSES and labels.dtype.kind in "biuf":
        dots = axes.scatter(*points.T, c=labels, s=12, cmap="viridis", alpha=0.8, linewidths=0)
        figure.colorbar(dots, ax=axes, shrink=0.8).set_label("label", fontsize=9)
        return
    for at, name in enumerate(classes[:MOST_CLASSES]):
        colour = f"C{at}" if len(classes) <= 10 else _of_twenty(at)
        rows = points[labels == name]
        axes.scatter(*rows.T, s=14, color=colour, alpha=0.8, linewidths=0, label=str(name))
    rest = points[~np.isin(labels, classes[:MOST_CLASSES])]
    axes.scatter(*rest.T, s=8, color="0.7", linewidths=0)
    figure.legend(title="label", loc="outside right upper", fontsize=8, frameon=False)


def _of_twenty(at: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab20"](at)
