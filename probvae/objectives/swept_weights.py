"""Weights that differ between the trainings of a sweep, which run in one compiled program."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from probvae.objectives.objective import AbstractObjective
from probvae.typing import ArrayLike

_VALUES: ContextVar[Mapping[str, Any]] = ContextVar("swept_weights", default=MappingProxyType({}))


@dataclass(frozen=True)
class SweptWeight:
    """A weight whose value is set while the program is traced: a schedule that no step changes.

    Args:
        name: the objective's field.
        first: its value outside ``set_swept_weights``, as for the checks before a run.
    """

    name: str
    first: float

    def __call__(self, step: ArrayLike | float | int) -> Any:
        return _VALUES.get().get(self.name, self.first) + 0.0 * step


@contextmanager
def set_swept_weights(values: Mapping[str, Any]) -> Iterator[None]:
    """Set swept weights to these values, by name, for programs that are traced inside."""
    token = _VALUES.set(values)
    try:
        yield
    finally:
        _VALUES.reset(token)


def with_swept(
    objective: AbstractObjective, values: Mapping[str, Sequence[float]]
) -> AbstractObjective:
    """Return the objective with ``SweptWeight`` in the fields named. Check each value as a weight."""
    for name, candidates in values.items():
        for value in candidates:
            replace(objective, **{name: value})
    swept = {name: SweptWeight(name, candidates[0]) for name, candidates in values.items()}
    return replace(objective, **swept)
