"""What the nets are built of: layers with normalisation, activation and dropout."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from probvae.typing import Shape


class FinishedLayer(nnx.Module):
    """A layer followed by normalisation, activation and dropout, each if asked for."""

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


def finish_layer(net: Any, layer: Callable, features: int, rngs: nnx.Rngs) -> FinishedLayer:
    """Finish a layer as its net's recipe says."""
    return FinishedLayer(
        layer, features, activation=net.activation, norm=net.norm, dropout=net.dropout, rngs=rngs
    )


def describe_recipe(net: Any, **sizes: Any) -> str:
    """Name a recipe as it would be written: functions by name, defaults left out."""
    told = [f"{name}={value}" for name, value in sizes.items()]
    told.append(f"activation={getattr(net.activation, '__name__', net.activation)}")
    norm, dropout = getattr(net, "norm", None), getattr(net, "dropout", 0.0)
    told += [f"norm={getattr(norm, '__name__', norm)}"] if norm else []
    told += [f"dropout={dropout}"] if dropout else []
    told += ["remat=True"] if getattr(net, "remat", False) else []
    return f"{type(net).__name__}({', '.join(told)})"


def as_image(x: jax.Array) -> jax.Array:
    """Return images with a channel axis: ``(batch, height, width, channels)``."""
    return x[..., None] if x.ndim == 3 else x


def image_shape(shape: Shape, name: str, what: str) -> tuple[int, int, int]:
    """Return (height, width, channels) of an image.

    An output may have further axes, such as the two numbers of a mean and a scale for each entry of x:
    all axes after the second are channels.

    Raises:
        ValueError: for a shape that is no image.
    """
    if what == "input" and len(shape) > 3:
        raise ValueError(
            f"{name} expects images (height, width[, channels]) as its {what}; got shape {shape}, "
            f"which has {len(shape)} axes. Merge the further axes into the channels, or take nets.MLP, "
            "which reads all entries as one vector."
        )
    if len(shape) < 2:
        raise ValueError(
            f"{name} expects images (height, width[, channels]) as its {what}; got shape {shape}. "
            "Take nets.MLP for vectors."
        )
    channels = 1
    for n in shape[2:]:
        channels *= n
    return shape[0], shape[1], channels


def check_rate(name: str, dropout: Any) -> None:
    """Raise unless a dropout rate is in [0, 1)."""
    if not 0 <= dropout < 1:
        raise ValueError(f"{name}(dropout=...) expects a rate in [0, 1); got {dropout!r}.")


def check_count(name: str, field: str, count: Any) -> None:
    """Raise unless ``count`` is a positive integer."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{name}({field}=...) expects a positive integer; got {count!r}.")


def check_sizes(name: str, field: str, sizes: Any) -> None:
    """Raise unless ``sizes`` is a tuple of positive integers."""
    if not isinstance(sizes, tuple) or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ValueError(
            f"{name}({field}=...) expects a tuple of positive integers, such as (32, 64); "
            f"got {sizes!r}."
        )
