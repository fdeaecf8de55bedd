"""The average of the parameters along their way: steadier than where they are at the last step."""

from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from probvae.checks import Checked


@dataclass(frozen=True)
class MovingAverage(Checked):
    """An exponential moving average of the parameters, in the compiled step.

        fit(..., average=MovingAverage(0.999))

    After step t it is sum_s decay^(t - s) w_s / sum_s decay^(t - s), over the parameters w_s after the
    steps s = 1, ..., t: of the last 1 / (1 - decay) steps, roughly, and never of the start. The fitted
    VAE holds it, and so do the validation's numbers and the best epoch; training goes on from the
    parameters themselves, and its own numbers are theirs. The average is taken on the unconstrained
    scale, the optimizer's. Running state (batch statistics) is not averaged: prefer LayerNorm.

    Args:
        decay: the weight of what went before, above 0 and below 1.

    Raises:
        ValueError: if ``decay`` is out of range.

    Reference: Polyak and Juditsky 1992; the exponential weights, and their sum divided out, as in
    Kingma and Ba 2015, arXiv:1412.6980, section 7.2.
    """

    decay: float = 0.999

    def __post_init__(self) -> None:
        if not 0.0 < self.decay < 1.0:
            raise ValueError(
                f"decay expects a number between 0 and 1, such as 0.999 for the average of about 1,000 "
                f"steps; got {self.decay!r}."
            )


class AverageState(NamedTuple):
    """The state of an optimizer, and the average of what it has made of the parameters."""

    inner: Any
    steps: jax.Array
    params: Any


def add_average(average: Any, optimizer: optax.GradientTransformation) -> Any:
    """Return an optimizer that keeps the average; raise for an average that is none.

    It is the outermost: what is averaged are the parameters as they come to be.
    """
    if average is None:
        return optimizer
    if not isinstance(average, MovingAverage):
        raise TypeError(f"average expects MovingAverage(0.999); got {average!r}.")
    return _add_average(average.decay, optimizer)


@lru_cache(maxsize=32)
def _add_average(decay: float, optimizer: optax.GradientTransformation) -> Any:
    """Cached, so that a second fit reuses the compiled program."""

    def start(params: Any) -> AverageState:
        return AverageState(optimizer.init(params), jnp.zeros((), jnp.int32), params)

    def update(updates: Any, state: AverageState, params: Any = None) -> tuple[Any, AverageState]:
        updates, inner = optimizer.update(updates, state.inner, params)
        steps = optax.safe_increment(state.steps)
        share = _share(decay, steps)

        def moved(new: jax.Array, old: jax.Array) -> jax.Array:
            return optax.incremental_update(new, old, share.astype(new.dtype))

        means = jax.tree.map(moved, optax.apply_updates(params, updates), state.params)
        return updates, AverageState(inner, steps, means)

    return optax.GradientTransformation(start, update)


def _share(decay: float, steps: jax.Array) -> jax.Array:
    """Return the weight of the newest, (1 - decay) / (1 - decay^steps): exactly 1 at the first."""
    return jnp.expm1(jnp.float32(log(decay))) / jnp.expm1(steps.astype(jnp.float32) * log(decay))


def average_in(optim_state: Any) -> Any | None:
    """Return the average in the state of NumPyro's optimizer; None where none is kept."""
    _, (_, state) = optim_state
    return state.params if isinstance(state, AverageState) else None
