"""Supports: their names, the states of those that are finite and few, and values outside of one."""

import itertools
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import numpy as np
from numpyro.distributions.util import validate_sample

from probvae.typing import Shape

MOST_BITS = 10


def check_support(log_prob: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Decorate ``log_prob(self, value)``: a value outside the support warns and has log density -inf.

    This is NumPyro's ``validate_sample``, with its warning and its switches, for values that are
    known. A traced value cannot warn, and NumPyro would compile the check into every training step
    all the same. Here compiled programs do not hold it: ``fit`` and the queries look at the data
    before they compile.
    """
    checked = validate_sample(log_prob)

    @wraps(log_prob)
    def choose(self: Any, value: Any) -> jax.Array:
        return (log_prob if isinstance(value, jax.core.Tracer) else checked)(self, value)

    return choose


def name_support(support: Any) -> str:
    """Name a support: its kind, whatever its event dimension (``real_vector`` is ``real``)."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    text = str(support)
    if " object at " in text:
        text = type(support).__name__
    return text.strip("_<>").lower().replace("()", "")


def num_states(support: str, event_shape: Shape) -> int | None:
    """Return how many values a site can take: 2^D bits, D of one-hot; None for any other support."""
    if len(event_shape) != 1:
        return None
    return {"boolean": 2 ** event_shape[0], "one-hot": event_shape[0]}.get(support)


def states(support: str, event_shape: Shape) -> np.ndarray | None:
    """Return all values of a site ``(states, D)`` where they are at most 2^10; None otherwise."""
    count = num_states(support, event_shape)
    if count is None or count > 2**MOST_BITS:
        return None
    if support == "one-hot":
        return np.eye(count)
    return np.array(list(itertools.product((0.0, 1.0), repeat=event_shape[0])))
