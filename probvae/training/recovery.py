"""What to do about a bad step: go back to the state before the epoch, and go another way."""

import abc
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.distributions import constraints

from probvae.checks import Checked, check_positive_integer
from probvae.data_remedies import list_blocks
from probvae.fitted.fitted import Fitted
from probvae.fitted.history import Incident
from probvae.nets.input_transform import transforms_input
from probvae.training import loop
from probvae.training.loss_jumps import first_jump, largest
from probvae.typing import RngKey

ENDED = "this training ended"


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
        check_positive_integer("at_most", self.at_most)

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
        return _scale_optimizer(optimizer)

    def changed(self, state: Any) -> Any:
        def halved(leaf: Any) -> Any:
            return Factor(leaf.value / 2) if isinstance(leaf, Factor) else leaf

        return jax.tree.map(halved, state, is_leaf=lambda leaf: isinstance(leaf, Factor))


def prepare_optimizer(
    recovery: AbstractRecovery | None, optimizer: optax.GradientTransformation
) -> Any:
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
def _scale_optimizer(optimizer: optax.GradientTransformation) -> Any:
    """Return an optimizer with a factor; cached, so that a second fit reuses the compiled program."""

    def start(_: Any) -> Factor:
        return Factor(jnp.ones(()))

    def update(updates: Any, state: Factor, params: Any = None) -> tuple[Any, Factor]:
        return jax.tree.map(lambda leaf: leaf * state.value.astype(leaf.dtype), updates), state

    return optax.chain(optimizer, optax.GradientTransformation(start, update))


TERMS = ("log_likelihood", "kl")
LOSS, UPDATE, GRADIENT, STILL, JUMP = "loss", "the update", "gradient", "still", "jump"
LARGE_LOSS = 1e6  # below it no gradient is 1.8e19, whose square is infinite in float32
HUGE_LOSS = 1e12  # where parameters that do not move are no matter of a small learning rate
TOO_LARGE = "the gradient is too large to be squared"
CLIPPED = "optimizer=optax.chain(optax.clip(1.0), optax.adam(1e-3))"


class NonFiniteLossError(FloatingPointError):
    """The loss stopped being a finite number; ``fitted`` is the VAE of the epochs before."""

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


class BadStep(NamedTuple):
    """A step that went wrong: of which epoch, what was wrong with it, the loss before, in words.

    ``kind`` is ``LOSS`` or ``UPDATE`` (not finite), ``GRADIENT`` (too large to be squared), ``STILL``
    (no parameter moves) or ``JUMP``.
    """

    epoch: int
    at: int  # within the epoch
    step: int
    term: str
    before: str
    kind: str

    @property
    def is_before_the_first_update(self) -> bool:
        """Whether the epoch started with it, so that no learning rate changes it."""
        return self.at == 0 and self.kind != UPDATE


def first_bad(steps: dict[str, np.ndarray], epoch: int) -> BadStep | None:
    """Return the first step of an epoch whose loss is not finite; None where all are."""
    bad = ~np.isfinite(steps["loss"])
    return bad_step(steps, epoch, int(bad.argmax())) if bad.any() else None


def last_update(steps: dict[str, np.ndarray], epoch: int) -> BadStep:
    """Describe the last step of an epoch, after which the state is not finite: no loss saw it."""
    return bad_step(steps, epoch, len(steps["loss"]) - 1)


def bad_step(steps: dict[str, np.ndarray], epoch: int, at: int) -> BadStep:
    """Describe a step whose loss, gradient or update is bad.

    After a gradient without a square the parameters are usable, and the optimizer's moments are not.
    """
    loss = steps["loss"][at]
    terms = [k for k in TERMS if k in steps and not np.isfinite(steps[k][at])]
    what, kind = " and ".join(f"{k} = {steps[k][at]}" for k in terms) or f"loss = {loss}", LOSS
    if np.isfinite(loss):
        is_gradient = "usable" in steps and steps["usable"][at]
        what, kind = (TOO_LARGE, GRADIENT) if is_gradient else (UPDATE, UPDATE)
    before = f"{steps['loss'][at - 1]:.4g}" if at else "not known in this epoch"
    return BadStep(epoch, at, epoch * len(steps["loss"]) + at, what, before, kind)


def standstill(steps: dict[str, np.ndarray], epoch: int) -> BadStep:
    """Describe an epoch in which no parameter moved, though the loss is huge."""
    last = last_update(steps, epoch)
    what = f"no parameter moved, and the loss is {steps['loss'][-1]:.4g}"
    return last._replace(term=what, kind=STILL)


def jump(
    before: dict[str, np.ndarray], steps: dict[str, np.ndarray], epoch: int, num_data: int
) -> BadStep | None:
    """Return the step of an epoch at which the loss jumped, in view of the steps before the epoch."""
    at = first_jump(before, steps, num_data)
    if at is None:
        return None
    most = f"at most {largest(before['loss']):.4g} in the steps before"
    what = f"the loss jumped to {steps['loss'][at]:.4g}, from {most}"
    return BadStep(epoch, at, epoch * len(steps["loss"]) + at, what, most, JUMP)


def incident_of(found: BadStep, action: str, epoch_key: RngKey, n: int, batch_size: int) -> Incident:
    """Return a bad step as it is recorded, with the rows of its batch; n is the number of data."""
    rows = np.asarray(loop.rows_of_steps(epoch_key, found.epoch, n, batch_size))[found.at]
    return Incident(found.epoch, found.step, found.term, action, tuple(map(int, rows)))


def error(found: BadStep, fitted: Fitted) -> NonFiniteLossError:
    """Return the error that a run ends with."""
    done = len(fitted.history.incidents)
    tried = f" This was after {done} such steps, at each of which the run went on." if done else ""
    words = fitted.history.describe_kept_epoch()
    kept = f"`error.fitted`: {words}" if words else "`error.fitted`"
    place = f"at step {found.step} (epoch {found.epoch})"
    if found.kind == GRADIENT:
        what = f"{found.term} {place}, and the run cannot go on after it"
    elif found.kind == UPDATE:
        what = f"{UPDATE} is not finite {place}"
    else:
        what = f"the loss is not finite {place}: {found.term}"
    return NonFiniteLossError(
        f"{what}; the loss before it was {found.before}.{tried} The VAE of the epochs before is kept "
        f"as {kept}. {advice(found, fitted.vae)}",
        fitted,
    )


def warn_of(found: BadStep, action: str, vae: Any) -> None:
    """Warn of a step that ends no run by an error; ``action`` says what came of it."""
    place = f"at step {found.step} (epoch {found.epoch})"
    warnings.warn(
        f"{found.term} {place}: {action}. `history.incidents` has this step and all like it. "
        f"{advice(found, vae)}",
        stacklevel=2,
    )


def advice(found: BadStep, vae: Any) -> str:
    """Return what to do about a bad step."""
    if found.kind == JUMP:
        return (
            "Usual causes: a learning rate too high (lower it, or let the run do so: "
            "recovery=HalveRate()), a likelihood whose scale runs to 0 (bound it)."
        )
    counts = [
        part
        for _, _, part in list_blocks(vae.likelihood)
        if part.support is constraints.nonnegative_integer
    ]
    if counts:
        seen = "encoder=nets.InputTransform(net, jnp.log1p)"
        remedy = (
            f"Let the encoder see log(1 + x), {seen}, and clip the gradient, {CLIPPED}."
            if transforms_input(vae.encoder)
            else f"The encoder sees log(1 + x) already, as by {seen}. Clip the gradient, {CLIPPED}, or "
            "lower the learning rate."
        )
        return f"Usual cause: large counts, whose mean is exp of a decoder output. {remedy}"
    if found.kind in (GRADIENT, STILL):
        rate = "a learning rate too high (lower it, or let the run do so: recovery=HalveRate()), "
        return (
            f"Usual causes: {rate if found.step else ''}data of huge scale (standardise them), a "
            "likelihood whose scale is tiny beside that of the data (bound it). Or clip the entries of "
            f"the gradient, {CLIPPED}. optax.clip_by_global_norm divides by a norm that is infinite, "
            "and nothing moves."
        )
    return (
        "Usual causes: a learning rate too high (lower it, or chain optax.clip_by_global_norm(1.0) "
        "before it, or let the run do so: recovery=HalveRate()), a likelihood whose scale runs to 0 "
        "(bound it), data of huge scale (standardise them)."
    )
