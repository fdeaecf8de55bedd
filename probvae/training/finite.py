"""Losses that are no finite numbers: where, and what was not finite."""

from typing import NamedTuple

import numpy as np
from numpyro.distributions import constraints

from probvae.training.fitted import Fitted
from probvae.training.remedies import blocks_of

TERMS = ("log_likelihood", "kl")
UPDATE = "the update"


class NonFiniteLossError(FloatingPointError):
    """The loss stopped being a finite number; ``fitted`` is the VAE of the epochs before."""

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


class NotFinite(NamedTuple):
    """A step whose loss is not finite: of which epoch, and its terms in words."""

    epoch: int
    at: int  # within the epoch
    step: int
    term: str
    before: str


def first_not_finite(steps: dict[str, np.ndarray], epoch: int) -> NotFinite | None:
    """Return the first step of an epoch whose loss is not finite; None where all are."""
    bad = ~np.isfinite(steps["loss"])
    return not_finite(steps, epoch, int(bad.argmax())) if bad.any() else None


def last_update(steps: dict[str, np.ndarray], epoch: int) -> NotFinite:
    """Describe the last step of an epoch, after which the state is not finite: no loss saw it."""
    return not_finite(steps, epoch, len(steps["loss"]) - 1)


def not_finite(steps: dict[str, np.ndarray], epoch: int, at: int) -> NotFinite:
    """Describe a step that is not finite."""
    terms = [k for k in TERMS if k in steps and not np.isfinite(steps[k][at])]
    loss = steps["loss"][at]
    usual = UPDATE if np.isfinite(loss) else f"loss = {loss}"
    what = " and ".join(f"{k} = {steps[k][at]}" for k in terms) or usual
    before = f"{steps['loss'][at - 1]:.4g}" if at else "not known in this epoch"
    return NotFinite(epoch, at, epoch * len(steps["loss"]) + at, what, before)


def error(found: NotFinite, fitted: Fitted) -> NonFiniteLossError:
    """Return the error that a run ends with."""
    done = len(fitted.history.incidents)
    tried = f" This was after {done} such steps, at each of which the run went on." if done else ""
    words = fitted.history.kept_in_words()
    kept = f"`error.fitted`: {words}" if words else "`error.fitted`"
    place = f"is not finite at step {found.step} (epoch {found.epoch})"
    what = f"{UPDATE} {place}" if found.term == UPDATE else f"the loss {place}: {found.term}"
    return NonFiniteLossError(
        f"{what}; the loss before it was {found.before}.{tried} The VAE of the epochs before is kept "
        f"as {kept}. {_usual_causes(fitted)}",
        fitted,
    )


def _usual_causes(fitted: Fitted) -> str:
    counts = [
        part
        for _, _, part in blocks_of(fitted.vae.likelihood)
        if part.support is constraints.nonnegative_integer
    ]
    if counts:
        return (
            "Usual cause: large counts, whose mean is exp of a decoder output. Let the encoder see "
            "log(1 + x), encoder=nets.Transformed(net, jnp.log1p), and clip the gradient, "
            "optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))."
        )
    return (
        "Usual causes: a learning rate too high (lower it, or chain optax.clip_by_global_norm(1.0) "
        "before it, or let the run do so: recovery=HalveRate()), a likelihood whose scale runs to 0 "
        "(bound it), data of huge scale (standardise them)."
    )
