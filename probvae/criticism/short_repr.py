"""A one-line ``repr`` for result classes: rounded numbers, and arrays by their shape."""

from typing import Any, TypeVar

import jax
import numpy as np

Result = TypeVar("Result", bound=tuple)


def short_repr(cls: type[Result]) -> type[Result]:
    """Give a ``NamedTuple`` class a one-line ``repr``, as a class decorator."""

    def format_result(result: Any) -> str:
        fields = (f"{name}={_format_field(value)}" for name, value in result._asdict().items())
        return f"{cls.__name__}({', '.join(fields)})"

    setattr(cls, "__repr__", format_result)  # noqa: B010
    return cls


def _format_field(value: object) -> str:
    """Return a number with four digits, the shape of an array, or the class of anything longer."""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray | jax.Array):
        return f"array{value.shape}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_format_field(item)}" for key, item in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__}(...)"
