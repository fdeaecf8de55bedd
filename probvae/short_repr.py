"""A short ``repr`` for results: what ``print`` shows, or rounded numbers and shapes of arrays."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

import jax
import numpy as np

Result = TypeVar("Result", bound=type)

MAX_TEXT, MAX_ITEMS = 60, 8  # characters of a field, and items of a dict


def short_repr(cls: Result) -> Result:
    """Give a class a short ``repr``, the text that ``print`` shows. It is a class decorator.

    A class with a ``__str__`` shows that. Other named tuples and dataclasses show their fields on one
    line.
    """

    def format_result(result: Any) -> str:
        if "__str__" in vars(cls):
            return str(result)
        names = getattr(cls, "_fields", None) or [field.name for field in fields(result)]
        return f"{cls.__name__}({_join((name, getattr(result, name)) for name in names)})"

    setattr(cls, "__repr__", format_result)  # noqa: B010
    return cls


def _join(items: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{name}={_format_field(value)}" for name, value in items)


def _format_field(value: object) -> str:
    """Return a number with four digits, the shape of an array, or the class of anything longer."""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray | jax.Array):
        return f"array{value.shape}"
    if isinstance(value, dict):
        items = [f"{key!r}: {_format_field(item)}" for key, item in list(value.items())[:MAX_ITEMS]]
        return "{" + ", ".join([*items, *["..."] * (len(value) > MAX_ITEMS)]) + "}"
    text = repr(value)
    if len(text) <= MAX_TEXT and "\n" not in text:
        return text
    return repr(value[:MAX_TEXT] + "...") if isinstance(value, str) else f"{type(value).__name__}(...)"
