"""Building blocks of nets: finished layers, names of recipes, and shapes of images."""

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.typing import Shape


@runtime_checkable
class LayerRecipe(Protocol):
    """A recipe whose layers end with normalisation, activation and dropout."""

    @property
    def activation(self) -> Callable: ...

    @property
    def norm(self) -> Callable | None: ...

    @property
    def dropout(self) -> float: ...


class FinishedLayer(nnx.Module):
    """A layer followed by activation, with optional normalisation before and dropout after."""

    def __init__(
        self,
        layer: Callable,
        features: int,
        *,
        activation: Callable,
        norm: Callable | None,
        dropout: float,
        rngs: nnx.Rngs,
    ) -> None:
        self.layer = layer
        self.norm = norm(features, rngs=rngs) if norm else None
        self.activation = activation
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None

    def __call__(self, x: jax.Array) -> jax.Array:
        h = self.layer(x)
        h = self.norm(h) if self.norm else h
        h = self.activation(h)
        return self.dropout(h) if self.dropout else h


def finish_layer(net: LayerRecipe, layer: Callable, features: int, rngs: nnx.Rngs) -> FinishedLayer:
    """Add the normalisation, activation and dropout of a recipe to a layer."""
    return FinishedLayer(
        layer, features, activation=net.activation, norm=net.norm, dropout=net.dropout, rngs=rngs
    )


def describe_recipe(net: Checked, **sizes: object) -> str:
    """Return the repr of a recipe: functions by name, without fields that have their default."""
    fields: dict[str, Any] = {**sizes, "activation": getattr(net, "activation")}  # noqa: B009
    fields |= {
        name: value for name in ("norm", "dropout", "remat") if (value := getattr(net, name, None))
    }
    words = [f"{name}={getattr(value, '__name__', value)}" for name, value in fields.items()]
    return f"{type(net).__name__}({', '.join(words)})"


def as_image(x: jax.Array) -> jax.Array:
    """Return images with a channel axis: ``(batch, height, width, channels)``."""
    return x[..., None] if x.ndim == 3 else x


def image_shape(shape: Shape, name: str, what: str) -> tuple[int, int, int]:
    """Return (height, width, channels) of an image.

    All axes after the second are channels. An output may have several, for example a mean and a scale
    for each entry of x.

    Args:
        shape: of one input or output.
        name: of the net, for the error.
        what: ``"input"`` or ``"output"``.

    Raises:
        ValueError: the shape is not that of an image.
    """
    fix = ""
    if what == "input" and len(shape) > 3:
        fix = "Merge the further axes into the channels, or use nets.MLP, which flattens its input."
    if len(shape) < 2:
        fix = "Use nets.MLP for vectors."
    if fix:
        expected = f"images (height, width[, channels]) as its {what}"
        raise ValueError(f"{name} expects {expected}; got shape {shape}. {fix}")
    return shape[0], shape[1], math.prod(shape[2:])
