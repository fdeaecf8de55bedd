"""One object for equal optimizers and objectives, so that they share one compiled program."""

from collections.abc import Hashable
from dataclasses import is_dataclass
from functools import lru_cache
from types import FunctionType
from typing import Any, TypeVar

from probvae.training.object_contents import is_filled, list_contents

TRUSTED = ("optax", "jax", "numpyro", "probvae")  # their functions depend on code and closure alone

Part = TypeVar("Part")


class _InternKey:
    """A part, which equals another part with the same key."""

    def __init__(self, key: Hashable, part: object) -> None:
        self.key, self.part = key, part

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InternKey) and self.key == other.key


def intern_optimizer(part: Part) -> Part:
    """Return the first optimizer or objective that equals this one.

    JAX compares functions by identity. Each call of ``optax.adam(1e-3)`` makes new functions, so JAX
    would compile again and keep every program. Here two functions of optax are equal if their code,
    defaults and enclosed values are. A function from other packages equals only itself.
    """
    try:
        return _first(_InternKey(_key(part, ()), part))
    except (TypeError, ValueError):  # it contains an object without a hash, such as an array
        return part


@lru_cache(maxsize=64)
def _first(keyed: _InternKey) -> Any:
    return keyed.part


def _key(part: object, above: tuple[int, ...]) -> Hashable:
    if id(part) in above:
        raise TypeError("a function encloses itself")
    contents = list_contents(part) if _is_comparable(part) else None
    if contents is None:
        hash(part)
        return type(part), part
    return (type(part), *(_key(item, (*above, id(part))) for item in contents))


def _is_comparable(part: object) -> bool:
    """Return whether equal contents imply equal behaviour."""
    if isinstance(part, FunctionType) and not all(map(is_filled, part.__closure__ or ())):
        return False
    if isinstance(part, FunctionType) or is_dataclass(part):
        return (part.__module__ or "").split(".")[0] in TRUSTED
    return True
