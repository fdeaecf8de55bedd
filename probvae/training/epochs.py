"""The course of a run: epoch after epoch, to the last, or to what ends it before."""

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.data import DataError
from probvae.data_description import DataDescription
from probvae.evidence import Batch
from probvae.fitted.fitted import Fitted
from probvae.fitted.guide_density_check import check_guide_draws
from probvae.fitted.history import (
    CONTINUED,
    History,
    Incident,
    Recorder,
    find_best_epoch,
    format_epoch,
    summarize_epoch,
)
from probvae.progress import bar as shown_as
from probvae.tracing import has_shared_latents
from probvae.training import initial_values, loop, validation
from probvae.training.callbacks import Callback, Epoch, call_callbacks
from probvae.training.checkpointing import file_format as files
from probvae.training.checkpointing.checkpoints import Checkpoints, Keeper, open_checkpoints
from probvae.training.early_stopping import EarlyStopping
from probvae.training.feeds import feed_of, first_batch
from probvae.training.interrupts import SHORT, StopRequest, await_results, note_signals
from probvae.training.loss_jumps import FEWEST
from probvae.training.parallel.devices import DataParallel, OneDevice
from probvae.training.parallel.processes import FAILED, lost, processes_of
from probvae.training.recovery import (
    HUGE_LOSS,
    JUMP,
    LARGE_LOSS,
    STILL,
    AbstractRecovery,
    BadStep,
    bad_step,
    error,
    first_bad,
    incident_of,
    jump,
    last_update,
    standstill,
    warn_of,
)
from probvae.typing import Params, RngKey

PASS = initial_values.PASS_STATE


class TrainingPlan(NamedTuple):
    """How long a run goes on, where it is kept, and what it does about what is not finite."""

    epochs: int
    early_stopping: EarlyStopping | None = None
    keep_best: bool = True  # the best epoch is what is returned, where there is a validation ELBO
    checkpoints: Checkpoints | None = None
    recovery: AbstractRecovery | None = None
    callbacks: tuple[Callback, ...] = ()
    devices: DataParallel | OneDevice = OneDevice()


class EpochState(NamedTuple):
    """What changes with an epoch, put in its place at once, whatever interrupts."""

    state: Any  # SVI's
    recorder: Recorder
    best: Params | None = None  # values of the best validation epoch: arrays that it shares, no copy


@dataclass
class TrainingState:
    """A run as it stands after its last epoch."""

    run: loop.Run
    plan: TrainingPlan
    start: Params
    point: EpochState
    description: DataDescription | None = None  # of the training data
    warned: set[str] = field(default_factory=set)  # of which kinds of bad steps

    def add(self, state: Any, looked: tuple, incidents: tuple[Incident, ...]) -> None:
        """Take in an epoch: the state after it, what was looked at, and what was not finite in it."""
        vae = self.run.vae
        row = summarize_epoch(looked, bounded=vae.likelihood.is_density and vae.posterior.is_density)
        recorder, best = self.point.recorder.with_epoch(row, incidents), self.point.best
        if find_best_epoch(recorder.elbo) == self.num_epochs:
            best = loop.parameters(self.run, state)
        self.point = EpochState(state, recorder, best)

    def standing(self) -> files.SavedState:
        """Return all of it, as it is kept in a file."""
        state, recorder, best = self.point
        arrays = files.flatten_leaves("state", state) | files.flatten_leaves("best", dict(best or {}))
        return files.SavedState(arrays, recorder.history())

    def go_on_after(self, kept: files.SavedState) -> None:
        """Put in the place of a course that has not begun what was kept of it."""
        state = files.restore_leaves("state", self.point.state, kept.arrays)
        best = files.best_of(loop.parameters(self.run, state), kept.arrays)
        self.point = EpochState(state, Recorder.after(kept.history), best)

    @property
    def num_epochs(self) -> int:
        """The number of epochs so far."""
        return self.point.recorder.num_epochs

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose state is kept, where that need not be the last's."""
        return find_best_epoch(self.point.recorder.elbo) if self.plan.keep_best else None

    @property
    def is_over(self) -> bool:
        """Whether there is no further epoch."""
        early = self.plan.early_stopping
        stops = early is not None and early.is_over(self.point.recorder.elbo)
        return stops or self.num_epochs >= self.plan.epochs

    def fitted(self) -> Fitted:
        """Return the VAE as it is to be kept; what is frozen was not through a constraint and back."""
        vae, values = self.run.vae, self.point.best
        if values is None or self.best_epoch is None:
            values = loop.parameters(self.run, self.point.state)
        values = self.plan.devices.home(values)
        frozen = {name: self.start[name] for name in self.start if initial_values.is_frozen(vae, name)}
        vae = replace(vae, frozen=()) if vae.frozen else vae
        return Fitted(vae, {**values, **frozen}, self.history(), data=self.description)

    def history(self) -> History:
        """Return the record so far, which says which epoch would be kept."""
        return self.point.recorder.history()._replace(best_epoch=self.best_epoch)

    def epoch(self, seconds: float) -> Epoch:
        """Return the last epoch, which took so long, as callbacks are given it."""
        train, valid = self.point.recorder.last
        return Epoch(self.num_epochs, dict(train), dict(valid or {}), seconds)

    def postfix(self) -> str:
        """Return the last epoch's numbers, for a bar."""
        train, valid = self.point.recorder.last
        return format_epoch(train, valid)


def train_epochs(
    run: loop.Run,
    plan: TrainingPlan,
    train: Batch,
    valid: Batch | None,
    rng_key: RngKey,
    start: Params,
    description: DataDescription,
    *,
    bar: bool,
) -> Fitted:
    """Train to the end of the plan, or of what ends it before; data and options are checked."""
    begun = time.perf_counter()
    init_key, epoch_key, pass_key = jax.random.split(rng_key, 3)
    given = {"train": train, "validation": valid, "rng_key": rng_key, "init_params": start}
    first = first_batch(run, train)
    feed = feed_of(run, plan.devices, train, valid)
    with ExitStack() as held, note_signals(terminate=plan.checkpoints is not None) as asked:
        keeper, last = open_checkpoints(held, run, plan, given)
        state = loop.start(run, init_key, loop.observe_batch(run, init_key, first), start)
        check_guide_draws(run.vae, loop.parameters(run, state), first)
        fresh = dict(state.mutable_state or {})
        course = TrainingState(run, plan, start, EpochState(state, Recorder()), description)
        if last is not None:
            course.go_on_after(last)
        course.point = course.point._replace(state=plan.devices.copied(course.point.state))
        fresh, epoch_key, pass_key = plan.devices.copied((fresh, epoch_key, pass_key))
        _run_epochs(course, keeper, asked, (fresh, feed, epoch_key), bar=bar)
    if asked.by == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)  # who sent it expects an end
    fitted = replace(course.fitted(), seconds=time.perf_counter() - begun)
    if PASS not in fresh or initial_values.is_frozen(run.vae, PASS):
        return fitted
    gathered = feed.whole_pass(run, plan.devices.copied(fitted.values), fresh, pass_key)
    return fitted.with_values({**fitted.values, PASS: plan.devices.home(gathered)})


def _run_epochs(
    course: TrainingState, keeper: Keeper | None, asked: StopRequest, told: tuple, *, bar: bool
) -> None:
    """Take epochs until the course is over, or ended by a signal, and keep it as it goes."""
    seconds = float("inf")  # of the last epoch
    processes = processes_of(course.plan.devices)
    callbacks = course.plan.callbacks if processes.is_first else ()
    whole: dict[str, Any] = {"total": course.plan.epochs, "initial": course.num_epochs}
    with shown_as(**whole, unit="epoch", disable=not (bar and processes.is_first)) as shown:
        try:
            asked.by = processes.agreed(asked.by)
            while not (course.is_over or asked.by):
                begun = time.perf_counter()
                course.add(*take_epoch(course, told, patiently=seconds > SHORT))
                _check_bound(course, told)
                seconds = time.perf_counter() - begun
                callbacks = call_callbacks(callbacks, course.epoch(seconds))
                shown.set_postfix_str(course.postfix(), refresh=False)
                shown.update()
                if keeper is not None and keeper.is_due(course.num_epochs):
                    keeper.write(course.standing())
                asked.by = processes.agreed(asked.by)
        except KeyboardInterrupt:
            asked.by = asked.by or signal.SIGINT
        except DataError as fault:  # of data that are streamed: the epochs before are kept
            if keeper is not None:
                keeper.write(course.standing())
            fault.fitted = course.fitted()  # type: ignore[attr-defined]
            raise
        except OSError:
            processes.agreed(FAILED)
            raise
        except jax.errors.JaxRuntimeError as error:
            if processes.count == 1:
                raise
            if keeper is not None:
                keeper.write(course.standing())
            raise lost(course.num_epochs, kept=course.plan.checkpoints is not None) from error
        if keeper is not None:
            keeper.write(course.standing())
        kept = course.history().describe_kept_epoch()
        shown.set_postfix_str("; ".join(filter(None, [course.postfix(), kept])))
        if asked.by:
            shown.write(f"interrupted: {kept or f'epoch {course.num_epochs}, the last, is kept'}")


def _check_bound(course: TrainingState, told: tuple) -> None:
    """Warn of the rows behind a validation ELBO that is not finite, the first time that it is not."""
    infinite = ~np.isfinite(course.point.recorder.elbo)
    if infinite.sum() != 1 or not infinite[-1]:
        return
    _, feed, epoch_key = told
    values = loop.parameters(course.run, course.point.state)
    rows = feed.rows_without_bound(course.run, values, epoch_key)
    validation.warn_of_rows(rows, feed.num_valid, course.num_epochs - 1, course.point.recorder.elbo[-1])


def take_epoch(
    course: TrainingState, told: tuple, *, patiently: bool
) -> tuple[Any, tuple, tuple[Incident, ...]]:
    """Take the next epoch; where a step of it is bad, do what the plan says, and take it again.

    Raises:
        NonFiniteLossError: where the run cannot go on, and the plan says nothing, or this was done
            often enough.
    """
    index, recovery, state = course.num_epochs, course.plan.recovery, course.point.state
    fresh, feed, epoch_key = told
    incidents: tuple[Incident, ...] = ()
    guarded = False
    while True:
        options = {"guarded": True} if guarded else {}
        after, *looked = feed.epoch(course.run, state, fresh, epoch_key, index, **options)
        steps, valid = await_results(looked, patiently=patiently)
        if guarded:
            incidents = (*incidents, *_read_skipped(course, steps, told))
        found = _bad_step(course, state, after, steps, told, guarded=guarded)
        if found is None:
            break
        acts = recovery is not None and _acts(recovery, found)
        if recovery is not None and acts and _left(course) > len(incidents):
            if recovery.skips:
                guarded = True
                continue
            incidents = (*incidents, _incident(course, found, told, recovery.action))
            if found.kind != JUMP or found.at:
                state = recovery.changed(state)
                continue
            # The last update of the epoch before made the jump: the state to go back to is gone.
            after = recovery.changed(after)
            break
        if found.kind not in (JUMP, STILL):
            raise error(found, course.fitted())
        if found.kind not in course.warned:
            course.warned.add(found.kind)
            warn_of(found, CONTINUED, course.run.vae)
        incidents = (*incidents, _incident(course, found, told, CONTINUED))
        break
    return after, (steps, valid), incidents


def _bad_step(
    course: TrainingState, state: Any, after: Any, steps: dict[str, Any], told: tuple, *, guarded: bool
) -> BadStep | None:
    """Return the first step of an epoch to do something about; ``state`` is the one before it."""
    index, run, (_, feed, _) = course.num_epochs, course.run, told
    if not guarded:
        found = first_bad(steps, index)
        if found is not None:
            return found
        if not loop.is_finite(after):
            return last_update(steps, index)
        largest = np.abs(steps["loss"]).max()
        if largest > LARGE_LOSS and _moments_are_lost(state, after):
            return _locate_bad_step(course, state, told)
        if largest > HUGE_LOSS and loop.are_same(state, after):
            return standstill(steps, index)
    counted = feed.n if has_shared_latents(run.vae) else run.batch_size
    return jump(course.point.recorder.recent(FEWEST), steps, index, counted)


def _moments_are_lost(state: Any, after: Any) -> bool:
    """Say whether an epoch made the optimizer's state infinite: Adam then never moves again."""
    return not loop.is_finite(after, moments=True) and loop.is_finite(state, moments=True)


def _locate_bad_step(course: TrainingState, state: Any, told: tuple) -> BadStep:
    """Take an epoch again to find the step after which the optimizer's state is not finite."""
    (fresh, feed, epoch_key), index = told, course.num_epochs
    _, steps, _ = feed.epoch(course.run, state, fresh, epoch_key, index, guarded=True)
    steps = jax.device_get(steps)
    return bad_step(steps, index, int(np.argmin(steps["kept"])))


def _left(course: TrainingState) -> int:
    """Return how often the plan's recovery may still act."""
    recovery = course.plan.recovery
    return recovery.at_most - course.point.recorder.num_recovered if recovery else 0


def _acts(recovery: AbstractRecovery, found: BadStep) -> bool:
    if found.kind == JUMP:
        return recovery.acts_on_jumps
    if found.kind == STILL:
        return False
    return recovery.skips or not found.is_before_the_first_update


def _read_skipped(course: TrainingState, steps: dict[str, Any], told: tuple) -> tuple[Incident, ...]:
    """Return the steps that an epoch was taken without; raise where they are too many."""
    index, recovery = course.num_epochs, course.plan.recovery
    odd = [bad_step(steps, index, int(at)) for at in np.flatnonzero(~steps["kept"])]
    left = _left(course)
    if len(odd) > left or len(odd) == len(steps["kept"]):
        raise error(odd[min(left, len(odd) - 1)], course.fitted())
    action = recovery.action if recovery else ""
    return tuple(_incident(course, each, told, action) for each in odd)


def _incident(course: TrainingState, found: BadStep, told: tuple, action: str) -> Incident:
    _, feed, epoch_key = told
    return incident_of(found, action, epoch_key, feed.n, course.run.batch_size)
