"""What a sweep's trainings differ in, checked before anything is trained."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optax

from probvae.objectives import ELBO
from probvae.objectives.swept import with_swept
from probvae.runs.settings import Settings
from probvae.training.sweep import sweepable
from probvae.variant import Variant

RATE = "learning_rate"
Over = Mapping[str, Sequence[float]]


class SweptError(ValueError):
    """A sweep over something that cannot be swept; the message says what can."""


def optimizer(over: Over, variant: Variant, settings: Settings) -> Any:
    """Return the optimizer of a sweep: Adam, its numbers told later, where its rate is swept."""
    if RATE in over:
        return optax.inject_hyperparams(optax.adam)(float(over[RATE][0]))
    rate = settings.learning_rate
    return variant.optimizer if rate is None else optax.adam(rate)


def check_swept(over: Over, variant: Variant, settings: Settings) -> None:
    """Raise unless each name can be swept, over numbers that it can have.

    Raises:
        SweptError: if not.
    """
    objective = ELBO() if variant.objective is None else variant.objective
    weights, held = sweepable(objective, optimizer(over, variant, settings))
    can = f"What can be swept here: {_listed(weights, held, objective)}."
    if RATE in over and settings.learning_rate is not None:
        raise SweptError(f"{RATE} is swept, and told as one number, too: give one of the two. {can}")
    for name, values in over.items():
        if name not in {*weights, *held}:
            raise SweptError(f"cannot sweep {name!r}: no such number of this model's training. {can}")
        _check_numbers(name, values, can)
    _check_weights({name: over[name] for name in over if name in weights}, objective, can)


def _listed(weights: Sequence[str], held: Sequence[str], objective: Any) -> str:
    rates = ", ".join(dict.fromkeys([RATE, *held]))
    of = f"the weights of {type(objective).__name__} ({', '.join(weights)}), " if weights else ""
    return f"{of}numbers of the optimizer ({rates})"


def _check_numbers(name: str, values: Sequence[float], can: str) -> None:
    if not values or not all(math.isfinite(value) for value in values):
        raise SweptError(f"{name} expects finite numbers, one or more; got {tuple(values)!r}. {can}")
    if len(set(values)) < len(values):
        raise SweptError(f"{name} has a number twice: {tuple(values)!r}; name each once. {can}")
    if name == RATE and min(values) <= 0:
        raise SweptError(f"{name} expects positive numbers; got {tuple(values)!r}. {can}")


def _check_weights(over: Over, objective: Any, can: str) -> None:
    try:
        with_swept(objective, over)
    except (ValueError, TypeError) as error:
        raise SweptError(f"{error} {can}") from error
