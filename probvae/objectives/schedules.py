"""Schedules of a weight that optax lacks: a cosine warm-up, and cycles."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp

from probvae.checks import Checked, NonNegativeFloat, PositiveInt, Requirement
from probvae.typing import ArrayLike


@dataclass(frozen=True)
class CosineWarmUp(Checked):
    r"""A cosine warm-up from 0 to ``high``, without a kink at either end.

    $w(t) = \mathrm{high} (1 - \cos(\pi \min(t / T, 1))) / 2$.

    (optax has the decay, ``cosine_decay_schedule``. For a linear warm-up, use
    ``optax.linear_schedule(0.0, 1.0, steps)``.)

    Args:
        steps: T, the number of steps until the weight reaches ``high``, where it stays.
        high: the last weight.
    """

    steps: PositiveInt
    high: NonNegativeFloat = 1.0

    def __call__(self, step: ArrayLike | float | int) -> jax.Array:
        t = jnp.minimum(step / self.steps, 1.0)
        return self.high * (1 - jnp.cos(jnp.pi * t)) / 2


@dataclass(frozen=True)
class CyclicalSchedule(Checked):
    r"""Cycles of a weight: in each it rises linearly from 0 to ``high``, and then stays there.

    $w(t) = \mathrm{high} \min(\tau / R, 1)$, $\tau = \mathrm{mod}(t, T / M) / (T / M)$.

    After T steps w stays at ``high``.

    Args:
        steps: T, the number of steps of all cycles together.
        cycles: M, the number of cycles.
        rise: R in (0, 1], the fraction of a cycle in which the weight rises.
        high: the weight that each cycle reaches.

    Raises:
        ValueError: for fewer steps than cycles.

    Reference: Fu et al. 2019, arXiv:1903.10145, with linear f. Their steps count from 1, and they round
    T / M up. Here steps count from 0, as everywhere in optax.
    """

    steps: PositiveInt
    cycles: PositiveInt = 4
    rise: Annotated[float, Requirement("a number in (0, 1]", lambda v: 0 < v <= 1)] = 0.5
    high: NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        if self.cycles > self.steps:
            raise ValueError(
                f"CyclicalSchedule expects at least one step per cycle; got {self.steps} steps for "
                f"{self.cycles} cycles. `steps` counts those of all cycles together."
            )

    def __call__(self, step: ArrayLike | float | int) -> jax.Array:
        period = self.steps / self.cycles
        tau = jnp.mod(step, period) / period
        return self.high * jnp.where(step < self.steps, jnp.minimum(tau / self.rise, 1.0), 1.0)
