"""Bad steps: how a run recognises them, and the warnings and errors about them.

A bad step has a loss, gradient or update that is not finite, or makes the loss jump. ``recovery`` says
what a run does after one.
"""

import warnings
from typing import Literal, NamedTuple

import numpy as np
from numpyro.distributions import constraints

from probvae.data_remedies import list_blocks
from probvae.faq import cite
from probvae.fitted.fitted import Fitted
from probvae.fitted.history import Incident
from probvae.nets.input_transform import transforms_input
from probvae.training import loop
from probvae.typing import Metrics, RngKey
from probvae.vae import VAE

TERMS = ("log_likelihood", "kl")
LARGE_LOSS = 1e6  # below it no gradient is 1.8e19, whose square is infinite in float32
HUGE_LOSS = 1e12  # at such a loss, a small learning rate does not explain parameters that do not move
OVERFLOW = "the gradient is too large to be squared"
CLIPPED = "optimizer=optax.chain(optax.clip(1.0), optax.adam(1e-3))"

JUMP_FACTOR = 50.0  # times the usual rise above the median. Ordinary training reaches 7.
USUAL_SHARE = 0.1  # of the median, and
USUAL_NATS = 0.1  # per datum: a smaller rise is always usual
MIN_STEPS = 20  # before a jump can be recognised
LOSS_SIGNS = {"log_likelihood": -1.0, "kl": 1.0}  # of the terms within the loss


class NonFiniteLossError(FloatingPointError):
    """The loss is no longer a finite number. ``fitted`` is the VAE of the epochs before."""

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


class BadStep(NamedTuple):
    """A step that went wrong.

    Attributes:
        epoch: counted from 0.
        position: within the epoch.
        step: of the whole run.
        problem: in words.
        loss_before: in words.
        kind: ``"loss"`` or ``"update"`` (not finite), ``"gradient"`` (too large to be squared),
            ``"standstill"`` (no parameter moves) or ``"jump"``.
    """

    epoch: int
    position: int
    step: int
    problem: str
    loss_before: str
    kind: Literal["loss", "update", "gradient", "standstill", "jump"]

    @property
    def precedes_updates(self) -> bool:
        """Whether the epoch started with it, so that no learning rate avoids it."""
        return self.position == 0 and self.kind != "update"


# Recognition


def find_bad_loss(steps: Metrics, epoch: int) -> BadStep | None:
    """Return the first step of an epoch whose loss is not finite, if any."""
    bad = ~np.isfinite(steps["loss"])
    return describe_step(steps, epoch, int(bad.argmax())) if bad.any() else None


def describe_last_step(steps: Metrics, epoch: int) -> BadStep:
    """Describe the last step of an epoch, after whose update no loss was computed."""
    return describe_step(steps, epoch, len(steps["loss"]) - 1)


def describe_step(steps: Metrics, epoch: int, index: int) -> BadStep:
    """Describe a step whose loss, gradient or update is bad.

    A gradient whose square overflows leaves finite parameters, but infinite moments in the optimizer.
    """
    loss = steps["loss"][index]
    terms = [name for name in TERMS if name in steps and not np.isfinite(steps[name][index])]
    problem = " and ".join(f"{name} = {steps[name][index]}" for name in terms) or f"loss = {loss}"
    kind: Literal["loss", "update", "gradient"] = "loss"
    if np.isfinite(loss):
        is_overflow = "usable" in steps and steps["usable"][index]
        problem, kind = (OVERFLOW, "gradient") if is_overflow else ("the update", "update")
    before = f"{steps['loss'][index - 1]:.4g}" if index else "not known in this epoch"
    return BadStep(epoch, index, epoch * len(steps["loss"]) + index, problem, before, kind)


def describe_standstill(steps: Metrics, epoch: int) -> BadStep:
    """Describe an epoch in which no parameter moved, although the loss is huge."""
    problem = f"no parameter moved, and the loss is {steps['loss'][-1]:.4g}"
    return describe_last_step(steps, epoch)._replace(problem=problem, kind="standstill")


def find_jump(before: Metrics, steps: Metrics, epoch: int, num_data: int) -> BadStep | None:
    """Return the step of an epoch at which the loss jumped, given the steps before the epoch."""
    index = find_jump_index(before, steps, num_data)
    if index is None:
        return None
    losses = before["loss"]
    largest = np.nanmax(np.where(np.isfinite(losses), losses, np.nan))
    most = f"at most {largest:.4g} in the steps before"
    problem = f"the loss jumped to {steps['loss'][index]:.4g}, from {most}"
    return BadStep(epoch, index, epoch * len(steps["loss"]) + index, problem, most, "jump")


def find_jump_index(before: Metrics, steps: Metrics, num_data: int) -> int | None:
    """Return the index of the first step of an epoch at which the loss jumped, if any.

    A step is implausible if its loss exceeds the median of the steps before by more than 50 times their
    largest excess. A jump is two such steps in a row. A single one is a batch with an outlier, which
    the epoch before may have dropped with its last partial batch. If the terms of the loss are
    recorded, one of them must be implausible, too, because a schedule may raise the weight of the KL
    and so the loss.

    Args:
        before: series of the steps of the last epochs.
        steps: series of the epoch's steps.
        num_data: the number of data that a loss is a sum over.
    """
    if len(before["loss"]) < MIN_STEPS:
        return None
    if len(steps["loss"]) == 1:  # one batch has all data: compare this step and the last one
        steps = {
            name: np.append(before[name][-1:], values)
            for name, values in steps.items()
            if name in before
        }
    odd = _are_implausible(before["loss"], steps["loss"], USUAL_NATS * num_data)
    if LOSS_SIGNS.keys() <= steps.keys() and odd.any():
        terms = [
            _are_implausible(sign * before[name], sign * steps[name], USUAL_NATS)
            for name, sign in LOSS_SIGNS.items()
        ]
        odd &= np.logical_or(*terms)
    pairs = np.flatnonzero(odd[1:] & odd[:-1])
    return int(pairs[0]) if len(pairs) else None


def _are_implausible(before: np.ndarray, values: np.ndarray, least: float) -> np.ndarray:
    """Return whether each step of an epoch is implausible.

    The reference leaves out the last step before the epoch, which may be the first of a jump.
    """
    reference = before[:-1].astype(np.float64)
    reference = reference[np.isfinite(reference)]
    if not len(reference):
        return np.zeros(len(values), bool)
    median = np.median(reference)
    usual = max(reference.max() - median, USUAL_SHARE * abs(median), least)
    return values > median + JUMP_FACTOR * usual


# Records, warnings and errors


def make_incident(
    bad_step: BadStep, action: str, epoch_key: RngKey, n: int, batch_size: int
) -> Incident:
    """Return the record of a bad step, with the rows of its batch. ``n`` counts the data."""
    rows = np.asarray(loop.draw_step_rows(epoch_key, bad_step.epoch, n, batch_size))[bad_step.position]
    return Incident(bad_step.epoch, bad_step.step, bad_step.problem, action, tuple(map(int, rows)))


def make_error(bad_step: BadStep, fitted: Fitted) -> NonFiniteLossError:
    """Return the error that ends a run at a bad step. ``fitted`` is the VAE of the epochs before."""
    num_incidents = len(fitted.history.incidents)
    earlier = f" The run continued after {num_incidents} such steps before." if num_incidents else ""
    epoch_kept = fitted.history.describe_kept_epoch()
    where = f"`error.fitted`: {epoch_kept}" if epoch_kept else "`error.fitted`"
    place = _format_place(bad_step)
    if bad_step.kind == "gradient":
        problem = f"{bad_step.problem} {place}, and the run cannot continue after it"
    elif bad_step.kind == "update":
        problem = f"{bad_step.problem} is not finite {place}"
    else:
        problem = f"the loss is not finite {place}: {bad_step.problem}"
    return NonFiniteLossError(
        f"{problem}. The loss before it was {bad_step.loss_before}.{earlier} The VAE of the epochs "
        f"before is {where}. {give_advice(bad_step, fitted.vae)}",
        fitted,
    )


def warn_of_step(bad_step: BadStep, action: str, vae: VAE) -> None:
    """Warn of a bad step that does not raise an error. ``action`` says what the run did."""
    warnings.warn(
        f"{bad_step.problem} {_format_place(bad_step)}: {action}. `history.incidents` lists all such "
        f"steps. {give_advice(bad_step, vae)}",
        stacklevel=2,
    )


def _format_place(bad_step: BadStep) -> str:
    return f"at step {bad_step.step} (epoch {bad_step.epoch})"


def give_advice(bad_step: BadStep, vae: VAE) -> str:
    """Return the usual causes of a bad step, with remedies."""
    rate = "a learning rate too high (lower it, or use recovery=HalveRate())"
    scale = "a likelihood whose scale goes to 0 (bound it)"
    if bad_step.kind == "jump":
        return f"Usual causes: {rate}, {scale}. {cite('loss-jumped')}"
    if any(
        part.support is constraints.nonnegative_integer for _, _, part in list_blocks(vae.likelihood)
    ):
        transform = "encoder=nets.InputTransform(net, jnp.log1p)"
        remedy = (
            f"Give the encoder log(1 + x), {transform}, and clip the gradient, {CLIPPED}."
            if transforms_input(vae.encoder)
            else f"The encoder already transforms its input, as in {transform}. Clip the gradient, "
            f"{CLIPPED}, or lower the learning rate."
        )
        return (
            f"Usual cause: large counts, whose mean is exp of a decoder output. {remedy} "
            f"{cite('counts-too-large')}"
        )
    if bad_step.kind in ("gradient", "standstill"):
        return (
            f"Usual causes: {f'{rate}, ' if bad_step.step else ''}data of huge scale (standardise "
            "them), a likelihood whose scale is tiny compared with the data (bound it). Or clip the "
            f"entries of the gradient, {CLIPPED}. optax.clip_by_global_norm does not help: it divides "
            f"by an infinite norm, and no parameter moves. {cite('gradient-too-large')}"
        )
    return (
        f"Usual causes: {rate}, a gradient too large (chain optax.clip_by_global_norm(1.0) before the "
        f"optimizer), {scale}, data of huge scale (standardise them). {cite('loss-not-finite')}"
    )
