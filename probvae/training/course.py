"""The course of a run: epoch after epoch, to the last, or to what ends it before."""

import signal
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
from tqdm.auto import tqdm

from probvae.evidence import Batch
from probvae.training import checkpoint_file as files
from probvae.training import checks, loop
from probvae.training.checkpoints import Checkpoints, Keeper
from probvae.training.fingerprint import fingerprint
from probvae.training.finite import check_finite
from probvae.training.fitted import Fitted
from probvae.training.history import Recorder, in_words, row_of
from probvae.training.signals import SHORT, Asked, awaited, noted
from probvae.training.stopping import EarlyStopping, best_epoch
from probvae.typing import Params, RngKey

PASS = checks.PASS_STATE


class Plan(NamedTuple):
    """How long a run goes on, and where it is kept."""

    epochs: int
    early_stopping: EarlyStopping | None = None
    checkpoints: Checkpoints | None = None


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
        vae = self.run.vae
        row = row_of(looked, bounded=vae.likelihood.is_density and vae.posterior.is_density)
        check_finite(row[0], self.num_epochs, self.fitted)
        self.state = state
        self.recorder.add(*row)
        if self.plan.early_stopping and self.best_epoch == self.num_epochs - 1:
            self.best = loop.parameters(self.run, state)

    def standing(self) -> files.Standing:
        """Return all of it, as it is kept in a file."""
        arrays = files.taken("state", self.state) | files.taken("best", dict(self.best or {}))
        return files.Standing(arrays, self.recorder.history())

    def go_on_after(self, kept: files.Standing) -> None:
        """Put in the place of a course that has not begun what was kept of it."""
        self.state = files.put_back("state", self.state, kept.arrays)
        self.best = files.best_of(loop.parameters(self.run, self.state), kept.arrays)
        self.recorder = Recorder.after(kept.history)

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
        return in_words(train, valid)


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
    opened = _opened(run, plan, train, valid, rng_key, start)
    train, valid = jax.device_put((train, valid))
    first = jax.tree.map(lambda a: a[: run.batch_size], train)
    with opened as keeper, noted(terminate=keeper is not None) as asked:
        last = None if keeper is None else keeper.last(plan.epochs)
        state = loop.start(run, init_key, loop.observed(run, init_key, first), start)
        fresh = dict(state.mutable_state or {})
        course = Course(run, plan, start, state)
        if last is not None:
            course.go_on_after(last)
        _trained(course, keeper, asked, (fresh, train, valid, epoch_key), bar=bar)
    if asked.by == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)  # who sent it expects an end
    fitted = course.fitted()
    if PASS not in fresh or checks.is_frozen(run.vae, PASS):
        return fitted
    gathered = loop.whole_pass(run, fitted.values, fresh, train, pass_key)
    return fitted.with_values({**fitted.values, PASS: gathered})


def _opened(run: loop.Run, plan: Plan, *given: Any) -> AbstractContextManager[Keeper | None]:
    """Return the open folder of checkpoints, if there is to be one."""
    if plan.checkpoints is None:
        return nullcontext()
    parts = dict(zip(("train", "validation", "rng_key", "init_params"), given, strict=True))
    early, precision = plan.early_stopping is not None, str(jax.numpy.zeros(()).dtype)
    return plan.checkpoints.opened(
        fingerprint({**run._asdict(), **parts, "early_stopping": early, "precision": precision})
    )


def _trained(course: Course, keeper: Keeper | None, asked: Asked, told: tuple, *, bar: bool) -> None:
    """Take epochs until the course is over, or ended by a signal, and keep it as it goes."""
    seconds = float("inf")  # of the last epoch
    whole = {"total": course.plan.epochs, "initial": course.num_epochs}
    with tqdm(**whole, unit="epoch", disable=not bar) as shown:
        try:
            while not (course.is_over or asked.by):
                begun = time.perf_counter()
                after, *looked = loop.epoch(course.run, course.state, *told, course.num_epochs)
                course.add(after, tuple(awaited(looked, patiently=seconds > SHORT)))
                seconds = time.perf_counter() - begun
                shown.set_postfix_str(course.postfix(), refresh=False)
                shown.update()
                if keeper is not None and keeper.is_due(course.num_epochs):
                    keeper.write(course.standing())
        except KeyboardInterrupt:
            asked.by = signal.SIGINT
        if keeper is not None:
            keeper.write(course.standing())
        if asked.by:
            shown.write(f"interrupted: {_kept(course)}")


def _kept(course: Course) -> str:
    if course.best_epoch is None:
        return f"the fit is that of epoch {course.num_epochs}"
    return f"the fit is that of epoch {course.best_epoch + 1}, the best of {course.num_epochs}"
