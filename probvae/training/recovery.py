"""What to do about a bad step: go back to the state before the epoch, and go another way."""

import abc
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from probvae.fields import Checked
from probvae.training.checks import check_count

WENT_ON = "training went on"
ENDED = "this training ended"


class Incident(NamedTuple):
    """A step that went wrong, and what was done about it.

    Its loss or its update was not finite, its gradient was too large to be squared, or the loss
    had jumped.

    Attributes:
        epoch: counted from 0.
        step: of the whole run, counted from 0.
        term: what was wrong.
        action: what was done.
        rows: of the training data, in the step's batch.
    """

    epoch: int
    step: int
    term: str
    action: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.rows[:8])) + (", ..." if len(self.rows) > 8 else "")
        return f"step {self.step} (epoch {self.epoch + 1}): {self.term}; {self.action} (rows {rows})"


class AbstractRecovery(Checked, abc.ABC):
    """What a run does about a bad step, at most ``at_most`` times in all.

    It goes back to the state before the epoch, which is the last good one, and takes the epoch again,
    with the same batches and draws. A run without an incident is the same, to the bit, with it and
    without, and pays nothing for it: losses are looked at after the epoch, as always.
    """

    skips: ClassVar[bool] = False  # the epoch is taken again without the bad steps
    acts_on_jumps: ClassVar[bool] = False
    action: ClassVar[str]
    at_most: int

    def __post_init__(self) -> None:
        check_count("at_most", self.at_most)

    def prepared(self, optimizer: optax.GradientTransformation) -> Any:
        """Return the optimizer that the run takes."""
        return optimizer

    def changed(self, state: Any) -> Any:
        """Return the state that the epoch is taken again from."""
        return state


@dataclass(frozen=True)
class SkipBatch(AbstractRecovery):
    """Leave out the steps whose loss, gradient or update is not finite: for a few data that are odd.

        fit(..., recovery=SkipBatch(at_most=10))

    A step that is left out moves no parameter, no running state and no count of steps.
    ``history.incidents`` says which they were, and of which data. A gradient that is too large to be
    squared counts as infinite. A finite jump of the loss is recorded, and nothing is left out.

    Args:
        at_most: steps in all.

    Raises:
        ValueError: if ``at_most`` is no positive integer.
    """

    skips: ClassVar[bool] = True
    action: ClassVar[str] = "the batch was skipped"
    at_most: int = 10


@dataclass(frozen=True)
class HalveRate(AbstractRecovery):
    """Halve the learning rate, for the rest of the run: for a rate that is too high.

    It acts on losses, gradients and updates that are not finite, and on a finite jump of the loss.

        fit(..., recovery=HalveRate(at_most=10))

    What the optimizer says to add is halved: with optax's optimizers, which end with the rate, that is
    the rate, and with it any weight decay. ``history.incidents`` says when. An epoch whose very first
    loss or gradient is not finite ends the run at once: no rate would change it.

    Args:
        at_most: halvings in all.

    Raises:
        ValueError: if ``at_most`` is no positive integer.
    """

    acts_on_jumps: ClassVar[bool] = True
    action: ClassVar[str] = "the learning rate was halved"
    at_most: int = 10

    def prepared(self, optimizer: optax.GradientTransformation) -> Any:
        return _scaled(optimizer)

    def changed(self, state: Any) -> Any:
        def halved(leaf: Any) -> Any:
            return Factor(leaf.value / 2) if isinstance(leaf, Factor) else leaf

        return jax.tree.map(halved, state, is_leaf=lambda leaf: isinstance(leaf, Factor))


def prepared(recovery: AbstractRecovery | None, optimizer: optax.GradientTransformation) -> Any:
    """Return the optimizer that a run takes; raise for a recovery that is none."""
    if recovery is None:
        return optimizer
    if not isinstance(recovery, AbstractRecovery):
        raise TypeError(f"recovery expects SkipBatch() or HalveRate(); got {recovery!r}.")
    return recovery.prepared(optimizer)


class Factor(NamedTuple):
    """What updates are multiplied by, as the state of an optimizer."""

    value: jax.Array


@lru_cache(maxsize=32)
def _scaled(optimizer: optax.GradientTransformation) -> Any:
    """Return an optimizer with a factor; cached, so that a second fit reuses the compiled program."""

    def start(_: Any) -> Factor:
        return Factor(jnp.ones(()))

    def update(updates: Any, state: Factor, params: Any = None) -> tuple[Any, Factor]:
        return jax.tree.map(lambda leaf: leaf * state.value.astype(leaf.dtype), updates), state

    return optax.chain(optimizer, optax.GradientTransformation(start, update))
