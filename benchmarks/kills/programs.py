"""Points in what computes: as programs are compiled, in steps, in validation, in the evaluation."""

import threading
from collections.abc import Callable
from typing import Any

import jax

from kills.point import Point, die
from probvae.runs import training as runs
from probvae.training import loop, validation


def compiling(share: float) -> Point:
    """Die so far into the time from the start of ``fit``'s first program to the first epoch's end."""

    def arm(seconds: float) -> None:
        start, epoch, compiled = loop.initialize, loop.run_epoch, threading.Event()

        def wait() -> None:
            if not compiled.wait(share * seconds):
                die()

        def started(*told: Any) -> Any:
            threading.Thread(target=wait, daemon=True).start()
            return start(*told)

        def first(*told: Any, **options: Any) -> Any:
            found = epoch(*told, **options)  # it comes back when it is compiled, and at work
            compiled.set()
            return found

        loop.initialize, loop.run_epoch = started, first

    return Point("first compile", f"after {share:.0%}", arm)


def stepping(epoch: int, step: int) -> Point:
    """Die in an epoch (from 1), where the batch of a step (from 1) is ready."""
    return Point(
        "in an epoch", f"epoch {epoch}, step {step}", _doubled(loop, "observe_batch", epoch, step)
    )


def validating(epoch: int, batch: int) -> Point:
    """Die in an epoch (from 1), after its steps, where a batch (from 1) of validation data is seen."""
    name = f"epoch {epoch}, batch {batch}"
    return Point("in validation", name, _doubled(validation, "terms", epoch, batch))


def _doubled(module: Any, name: str, number: int, call: int) -> Callable[[float], None]:
    """Run one epoch by a double of its program, which tells the host of each call of a function.

    The epochs before it are taken by the program itself, so that what they keep is what it gives.
    """

    def arm(_: float) -> None:
        real, called = loop.run_epoch, iter(range(1, number + 1))

        def epoch(*told: Any, **options: Any) -> Any:
            if next(called) < number:
                return real(*told, **options)
            setattr(module, name, _told_of(getattr(module, name), call))
            return jax.jit(_again(real.__wrapped__), static_argnums=0)(*told, **options)

        loop.run_epoch = epoch

    return arm


def _again(function: Callable) -> Callable:
    """Return the same as another function: JAX would take what it has traced of that one."""
    return lambda *told: function(*told)


def _told_of(function: Callable, call: int) -> Callable:
    seen = iter(range(1, call + 1))

    def tell(_: Any) -> None:
        if next(seen) == call:
            die()

    def told_of(*given: Any) -> Any:
        found = function(*given)
        jax.debug.callback(tell, jax.tree.leaves(found)[0])
        return found

    return told_of


def evaluating() -> Point:
    """Die in the evaluation, between ELBO and log p(x)."""

    def arm(_: float) -> None:
        kind = runs.Fitted
        kind.log_prob = lambda *_, **__: die()

    return Point("in the report", "the evaluation", arm)
