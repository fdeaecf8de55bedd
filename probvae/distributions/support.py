"""Supports of distributions: their names, their states if there are few, and checks of values."""

import itertools
from collections.abc import Callable
from functools import wraps

import jax
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.util import validate_sample

from probvae.typing import Shape

MAX_BITS = 10


def check_support(log_prob: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Decorate ``log_prob(self, value)``: a value outside the support warns and has log density -inf.

    For concrete values, this is NumPyro's ``validate_sample`` with its warning and its switches. A
    traced value cannot warn, but NumPyro would compile the check into every training step. Here
    compiled programs have no check: ``fit`` and the queries check the data before they compile.
    """
    validate = validate_sample(log_prob)

    @wraps(log_prob)
    def check_concrete(self: dist.Distribution, value: jax.typing.ArrayLike) -> jax.Array:
        return (log_prob if isinstance(value, jax.core.Tracer) else validate)(self, value)

    return check_concrete


def name_support(support: Constraint) -> str:
    """Return the name of a support without its event dimension: ``real`` for ``real_vector``."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    text = str(support)
    if " object at " in text:
        text = type(support).__name__
    return text.strip("_<>").lower().replace("()", "")


def count_states(support: str, event_shape: Shape) -> int | None:
    """Return the number of values of a site: 2^D for bits, D for one-hot, None for another support."""
    if len(event_shape) != 1:
        return None
    return {"boolean": 2 ** event_shape[0], "one-hot": event_shape[0]}.get(support)


def list_states(support: str, event_shape: Shape) -> np.ndarray | None:
    """Return all values of a site, ``(states, D)``, if they are at most 2^10, else None."""
    count = count_states(support, event_shape)
    if count is None or count > 2**MAX_BITS:
        return None
    if support == "one-hot":
        return np.eye(count)
    return np.array(list(itertools.product((0.0, 1.0), repeat=event_shape[0])))
