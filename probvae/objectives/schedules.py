"""Schedules of a weight that optax lacks. Linear: ``optax.linear_schedule(0.0, 1.0, steps)``."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from probvae.checks import Checked


@dataclass(frozen=True)
class CosineWarmUp(Checked):
    """w(t) = high (1 - cos(pi min(t / T, 1))) / 2: from 0 to ``high`` without a kink at either end.

    (optax has the fall, ``cosine_decay_schedule``, and none of this rise.)

    Args:
        steps: T, the steps until ``high``, where it stays.
        high: the last weight.
    """

    steps: int
    high: float = 1.0

    def __post_init__(self) -> None:
        _check_counts(self, "steps")
        _check_high(self)

    def __call__(self, step: Any) -> Any:
        t = jnp.minimum(step / self.steps, 1.0)
        return self.high * (1 - jnp.cos(jnp.pi * t)) / 2


@dataclass(frozen=True)
class CyclicalSchedule(Checked):
    """w(t) = high min(tau / R, 1), tau = mod(t, T / M) / (T / M): M rises from 0, each then held.

    After T steps w stays at ``high``. Steps count from 0 (the paper's from 1), as everywhere in optax,
    and T / M is not rounded up.

    Args:
        steps: T, the steps of all cycles together.
        cycles: M.
        rise: R in (0, 1], the part of a cycle in which the weight rises.
        high: the weight that each cycle reaches.

    Raises:
        ValueError: for numbers out of range, or fewer steps than cycles.

    Reference: Fu et al. 2019, arXiv:1903.10145, with linear f.
    """

    steps: int
    cycles: int = 4
    rise: float = 0.5
    high: float = 1.0

    def __post_init__(self) -> None:
        _check_counts(self, "steps", "cycles")
        _check_high(self)
        if not 0 < self.rise <= 1:
            raise ValueError(
                f"CyclicalSchedule(rise=...) expects a number in (0, 1]; got {self.rise!r}."
            )
        if self.cycles > self.steps:
            raise ValueError(
                f"CyclicalSchedule expects at least one step per cycle; got {self.steps} steps for "
                f"{self.cycles} cycles. `steps` counts those of all cycles together."
            )

    def __call__(self, step: Any) -> Any:
        period = self.steps / self.cycles
        tau = jnp.mod(step, period) / period
        return self.high * jnp.where(step < self.steps, jnp.minimum(tau / self.rise, 1.0), 1.0)


def _check_counts(schedule: Any, *names: str) -> None:
    for name in names:
        n = getattr(schedule, name)
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(
                f"{type(schedule).__name__}({name}=...) expects a positive integer; got {n!r}."
            )


def _check_high(schedule: Any) -> None:
    if not (math.isfinite(schedule.high) and schedule.high >= 0):
        raise ValueError(
            f"{type(schedule).__name__}(high=...) expects a finite number >= 0; got {schedule.high!r}."
        )
