"""Moving average of the parameters, which is steadier than the parameters of the last step."""

from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from probvae.checks import Checked, OpenUnitInterval
from probvae.typing import PyTree


@dataclass(frozen=True)
class MovingAverage(Checked):
    r"""An exponential moving average of the parameters, in the compiled step.

        fit(..., average=MovingAverage(0.999))

    After step $t$ it is $\sum_s decay^{t-s} w_s / \sum_s decay^{t-s}$, over the parameters $w_s$ after
    the steps $s = 1, ..., t$. This is roughly the mean of the last $1 / (1 - decay)$ steps, and the
    start has no weight. The fitted VAE, the validation numbers and the best epoch use the average.
    Training itself, and its numbers, use the parameters. The average is taken on the unconstrained
    scale, like the optimizer's step. Running state (batch statistics) is not averaged, so LayerNorm is
    the better choice.

    Args:
        decay: the weight of the past, above 0 and below 1.

    Raises:
        ValueError: if ``decay`` is out of range.

    Reference: Polyak and Juditsky 1992. The exponential weights, normalised by their sum, are those of
    Kingma and Ba 2015, arXiv:1412.6980, section 7.2.
    """

    decay: OpenUnitInterval = 0.999


class AverageState(NamedTuple):
    """The state of an optimizer, with the average of the parameters so far."""

    inner: PyTree
    steps: jax.Array
    params: PyTree


def add_average(
    average: MovingAverage | None, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Return an optimizer that also keeps the average of the parameters.

    Apply this wrapper last: it averages the parameters after all other transformations.
    """
    return optimizer if average is None else _add_average(average.decay, optimizer)


@lru_cache(maxsize=32)
def _add_average(decay: float, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Cached, so that a second fit reuses the compiled program."""

    def init(params: PyTree) -> AverageState:
        return AverageState(optimizer.init(params), jnp.zeros((), jnp.int32), params)

    def update(
        updates: PyTree, state: AverageState, params: PyTree = None
    ) -> tuple[PyTree, AverageState]:
        updates, inner = optimizer.update(updates, state.inner, params)
        steps = optax.safe_increment(state.steps)
        weight = _newest_weight(decay, steps)

        def average_leaf(new: jax.Array, old: jax.Array) -> jax.Array:
            return optax.incremental_update(new, old, weight.astype(new.dtype))

        means = jax.tree.map(average_leaf, optax.apply_updates(params, updates), state.params)
        return updates, AverageState(inner, steps, means)

    return optax.GradientTransformation(init, update)


def _newest_weight(decay: float, steps: jax.Array) -> jax.Array:
    """Return the weight of the newest parameters, (1 - decay) / (1 - decay^steps).

    ``expm1`` keeps its digits for a decay near 1, and makes the first weight exactly 1.
    """
    return jnp.expm1(jnp.float32(log(decay))) / jnp.expm1(steps.astype(jnp.float32) * log(decay))


def average_in(optim_state: PyTree) -> PyTree | None:
    """Return the average in the state of NumPyro's optimizer, or None if it has none."""
    _, (_, state) = optim_state
    return state.params if isinstance(state, AverageState) else None
