"""Weights that many trainings in one program have each of their own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from probvae.objectives.objective import AbstractObjective

NONE: Mapping[str, Any] = MappingProxyType({})
_TOLD: ContextVar[Mapping[str, Any]] = ContextVar("told", default=NONE)


@dataclass(frozen=True)
class SweptWeight:
    """A weight whose value is told as the program is traced: a schedule that no step changes.

    Args:
        name: the objective's field.
        first: its value where none is told, as for the checks before a run.
    """

    name: str
    first: float

    def __call__(self, step: Any) -> Any:
        return _TOLD.get().get(self.name, self.first) + 0.0 * step


@contextmanager
def set_swept_weights(values: Mapping[str, Any]) -> Iterator[None]:
    """Give swept weights their values, by name, for what is traced within."""
    token = _TOLD.set(values)
    try:
        yield
    finally:
        _TOLD.reset(token)


def with_swept(objective: AbstractObjective, values: Mapping[str, Any]) -> AbstractObjective:
    """Return the objective with the weights named to be told later; each value is checked as one."""
    for name, those in values.items():
        for value in those:
            replace(objective, **{name: value})
    return replace(objective, **{name: SweptWeight(name, those[0]) for name, those in values.items()})
