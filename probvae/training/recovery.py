"""Recovery: what a run does after a bad step. It repeats the epoch, without the step or more slowly."""

import abc
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpyro.infer.svi import SVIState

from probvae.checks import Checked, PositiveInt
from probvae.training.bad_steps import BadStep
from probvae.typing import PyTree


class AbstractRecovery(Checked, abc.ABC):
    """What a run does after a bad step, at most ``at_most`` times.

    The run returns to the state before the epoch, the last good one, and repeats the epoch with the
    same batches and draws. It checks losses after each epoch in any case, so recovery costs nothing and
    changes no bit of a run without incidents.
    """

    skips: ClassVar[bool] = False  # whether the epoch is repeated without the bad steps
    acts_on_jumps: ClassVar[bool] = False
    action: ClassVar[str]
    at_most: PositiveInt

    def acts_on(self, bad_step: BadStep) -> bool:
        """Return whether repeating the epoch can help against a bad step."""
        if bad_step.kind == "jump":
            return self.acts_on_jumps
        if bad_step.kind == "standstill":
            return False
        return self.skips or not bad_step.precedes_updates

    def wrap_optimizer(self, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the optimizer for the run."""
        return optimizer

    def change_state(self, state: SVIState) -> SVIState:
        """Return the state from which the epoch is repeated."""
        return state


@dataclass(frozen=True)
class SkipBatch(AbstractRecovery):
    """Skip the steps whose loss, gradient or update is not finite. Use it against a few odd data.

        fit(..., recovery=SkipBatch(at_most=10))

    A skipped step changes no parameter, no running state and no count of steps. ``history.incidents``
    lists these steps and their data. A gradient too large to be squared counts as infinite. A finite
    jump of the loss is recorded, but not skipped.

    Args:
        at_most: steps in all.

    Raises:
        ValueError: if ``at_most`` is not a positive integer.
    """

    skips: ClassVar[bool] = True
    action: ClassVar[str] = "the batch was skipped"
    at_most: PositiveInt = 10


@dataclass(frozen=True)
class HalveRate(AbstractRecovery):
    """Halve the learning rate for the rest of the run. Use it against a rate that is too high.

    It acts on losses, gradients and updates that are not finite, and on a finite jump of the loss.

        fit(..., recovery=HalveRate(at_most=10))

    It halves the optimizer's updates. The optimizers of optax scale with the rate last, so this halves
    the rate, and with it any weight decay. ``history.incidents`` lists the halvings. An epoch whose
    first loss or gradient is not finite ends the run at once, because no rate would change it.

    Args:
        at_most: halvings in all.

    Raises:
        ValueError: if ``at_most`` is not a positive integer.
    """

    acts_on_jumps: ClassVar[bool] = True
    action: ClassVar[str] = "the learning rate was halved"
    at_most: PositiveInt = 10

    def wrap_optimizer(self, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        return _scale_optimizer(optimizer)

    def change_state(self, state: SVIState) -> SVIState:
        def halve(leaf: PyTree) -> PyTree:
            return RateFactor(leaf.value / 2) if isinstance(leaf, RateFactor) else leaf

        return jax.tree.map(halve, state, is_leaf=lambda leaf: isinstance(leaf, RateFactor))


class RateFactor(NamedTuple):
    """The factor of all updates, as the state of an optimizer."""

    value: jax.Array


@lru_cache(maxsize=32)
def _scale_optimizer(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return an optimizer with a factor. Cached, so that a second fit reuses the compiled program."""

    def init(_: PyTree) -> RateFactor:
        return RateFactor(jnp.ones(()))

    def update(updates: PyTree, state: RateFactor, params: PyTree = None) -> tuple[PyTree, RateFactor]:
        return jax.tree.map(lambda leaf: leaf * state.value.astype(leaf.dtype), updates), state

    return optax.chain(optimizer, optax.GradientTransformation(init, update))
