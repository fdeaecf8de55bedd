"""The course of a run: epoch after epoch, to the last, or to what ends it before."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from probvae.evidence import Batch
from probvae.training import checks, loop
from probvae.training.fitted import Fitted
from probvae.training.history import Recorder
from probvae.training.stopping import EarlyStopping, best_epoch
from probvae.typing import Params, RngKey
from probvae.vae import VAE

PASS = checks.PASS_STATE


class NonFiniteLossError(FloatingPointError):
    """The loss stopped being a finite number; ``fitted`` is the VAE at the last good epoch."""

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


class Plan(NamedTuple):
    """How long a run goes on."""

    epochs: int
    early_stopping: EarlyStopping | None = None


@dataclass
class Course:
    """A run as it stands after its last epoch."""

    run: loop.Run
    plan: Plan
    start: Params
    state: Any  # SVI's
    recorder: Recorder = field(default_factory=Recorder)
    best: Params | None = None  # values of the best epoch, where it is the one to keep

    def add(self, state: Any, looked: tuple) -> None:
        """Take in an epoch: the state after it, and what was looked at.

        Raises:
            NonFiniteLossError: if a loss in it is not finite; the course stays as it was.
        """
        row = _row(looked, bounded=_bounded(self.run.vae))
        _check_finite(row[0], self.num_epochs, self.fitted)
        self.state = state
        self.recorder.add(*row)
        if self.plan.early_stopping and self.best_epoch == self.num_epochs - 1:
            self.best = loop.parameters(self.run, state)

    @property
    def num_epochs(self) -> int:
        """The number of epochs so far."""
        return self.recorder.num_epochs

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose state is kept, where that need not be the last's."""
        return best_epoch(self.recorder.elbo) if self.plan.early_stopping else None

    @property
    def is_over(self) -> bool:
        """Whether there is no further epoch."""
        early = self.plan.early_stopping
        stops = early is not None and early.is_over(self.recorder.elbo)
        return stops or self.num_epochs >= self.plan.epochs

    def fitted(self) -> Fitted:
        """Return the VAE as it is to be kept; what is frozen was not through a constraint and back."""
        vae, values = self.run.vae, self.best or loop.parameters(self.run, self.state)
        frozen = {name: self.start[name] for name in self.start if checks.is_frozen(vae, name)}
        history = self.recorder.history()._replace(best_epoch=self.best_epoch)
        return Fitted(replace(vae, frozen=()), {**values, **frozen}, history)

    def postfix(self) -> str:
        """Return the last epoch's numbers, for a bar."""
        train, valid = self.recorder.last
        return _postfix(train, valid)


def trained(
    run: loop.Run,
    plan: Plan,
    train: Batch,
    valid: Batch | None,
    rng_key: RngKey,
    start: Params,
    *,
    bar: bool,
) -> Fitted:
    """Train to the end of the plan, or of what ends it before; data and options are checked."""
    init_key, epoch_key, pass_key = jax.random.split(rng_key, 3)
    train, valid = jax.device_put((train, valid))
    first = jax.tree.map(lambda a: a[: run.batch_size], train)
    state = loop.start(run, init_key, loop.observed(run, init_key, first), start)
    fresh = dict(state.mutable_state or {})
    course = Course(run, plan, start, state)
    with tqdm(total=plan.epochs, unit="epoch", disable=not bar) as shown:
        try:
            while not course.is_over:
                told = (fresh, train, valid, epoch_key, course.num_epochs)
                after, *looked = loop.epoch(run, course.state, *told)
                course.add(after, tuple(jax.device_get(looked)))
                shown.set_postfix_str(course.postfix(), refresh=False)
                shown.update()
        except KeyboardInterrupt:
            shown.write(f"interrupted: {_kept(course)}")
    fitted = course.fitted()
    if PASS not in fresh or checks.is_frozen(run.vae, PASS):
        return fitted
    gathered = loop.whole_pass(run, fitted.values, fresh, train, pass_key)
    return fitted.with_values({**fitted.values, PASS: gathered})


def _kept(course: Course) -> str:
    if course.best_epoch is None:
        return f"the fit is that of epoch {course.num_epochs}"
    return f"the fit is that of epoch {course.best_epoch + 1}, the best of {course.num_epochs}"


def _bounded(vae: VAE) -> bool:
    return vae.likelihood.is_density and vae.posterior.is_density


def _row(looked: tuple, *, bounded: bool) -> tuple[dict, dict, dict | None]:
    """Return one epoch's record: steps, means over them, validation; no ELBO where there is none."""
    steps, valid = looked
    train = {name: float(values.mean(dtype=np.float64)) for name, values in steps.items()}
    if "kl" in train and bounded:
        train["elbo"] = train["log_likelihood"] - train["kl"]
    return (
        steps,
        train,
        None
        if valid is None
        else {k: float(v) for k, v in valid._asdict().items() if bounded or k != "elbo"},
    )


def _postfix(train: dict, valid: dict | None) -> str:
    shown = valid or train
    if "kl" not in shown:
        return f"train loss {shown['loss']:.4g}"
    bound = f" ELBO {shown['elbo']:.2f} =" if "elbo" in shown else ""
    return (
        f"{'validation' if valid else 'train'}{bound} "
        f"log-likelihood {shown['log_likelihood']:.2f} - KL {shown['kl']:.2f} nats"
    )


def _check_finite(steps: dict[str, np.ndarray], epoch: int, last_good: Any) -> None:
    bad = ~np.isfinite(steps["loss"])
    if not bad.any():
        return
    at = int(bad.argmax())
    step = epoch * len(bad) + at
    terms = [k for k in ("log_likelihood", "kl") if k in steps and not np.isfinite(steps[k][at])]
    what = " and ".join(f"{k} = {steps[k][at]}" for k in terms) or f"loss = {steps['loss'][at]}"
    before = f"{steps['loss'][at - 1]:.4g}" if at else "not known in this epoch"
    raise NonFiniteLossError(
        f"the loss is not finite at step {step} (epoch {epoch}): {what}; the loss before it was "
        f"{before}. The VAE at the end of the epoch before is kept as `error.fitted`. Usual causes: "
        "a learning rate too high (lower it, or chain optax.clip_by_global_norm(1.0) before it), a "
        "likelihood whose scale runs to 0 (bound it), data of huge scale (standardise them).",
        last_good(),
    )
