"""Optimizers and objectives that are equal, as one object: one compiled program serves them."""

from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from types import CodeType, FunctionType
from typing import Any

TRUSTED = ("optax", "jax", "numpyro", "probvae")  # whose functions do what their code and cells say


class _InternKey:
    """A part that is equal to another of the same key."""

    def __init__(self, key: Hashable, part: Any) -> None:
        self.key, self.part = key, part

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InternKey) and self.key == other.key


def intern_optimizer(part: Any) -> Any:
    """Return the first optimizer or objective that was made as this one was; itself if none was.

    Every ``optax.adam(1e-3)``, and every schedule, is made of new functions, which JAX takes for
    another program: it would compile again, and hold each program for good. Two functions of optax
    are the same if their code, their defaults and what they enclose are; a function of anybody else
    is the same as itself only.
    """
    try:
        return _first(_InternKey(_key(part, ()), part))
    except (TypeError, ValueError):  # it holds what has no hash, such as an array, or is not filled
        return part


@lru_cache(maxsize=64)
def _first(keyed: _InternKey) -> Any:
    return keyed.part


def _key(part: Any, above: tuple[int, ...]) -> Hashable:
    if id(part) in above:
        raise TypeError("a function that holds itself")
    above = (*above, id(part))
    if isinstance(part, tuple | list):
        return (type(part), *(_key(item, above) for item in part))
    if isinstance(part, dict):
        return (dict, *((_key(name, above), _key(value, above)) for name, value in part.items()))
    if isinstance(part, partial):
        return (partial, *(_key(item, above) for item in (part.func, part.args, part.keywords)))
    if isinstance(part, FunctionType) and _is_trusted(part):
        return _key_of_function(part, above)
    if is_dataclass(part) and not isinstance(part, type) and _is_trusted(part):
        values = ((field.name, getattr(part, field.name)) for field in fields(part))
        return (type(part), *(_key(value, above) for value in values))
    hash(part)
    return type(part), part


def _is_trusted(part: Any) -> bool:
    return (part.__module__ or "").split(".")[0] in TRUSTED


def _key_of_function(function: FunctionType, above: tuple[int, ...]) -> Hashable:
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    held = (cells, function.__defaults__, function.__kwdefaults__)
    code: CodeType = function.__code__
    return (FunctionType, code, *(_key(item, above) for item in held))
