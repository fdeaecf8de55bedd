"""The training loop: one epoch after another, with recovery, checkpoints and early stopping."""

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import numpy as np
from numpyro.infer.svi import SVIState

from probvae.data import DataError
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
from probvae.progress import progress_bar
from probvae.tracing import has_shared_latents
from probvae.training import bad_steps, loop, validation
from probvae.training.bad_steps import BadStep
from probvae.training.callbacks import Epoch, call_callbacks
from probvae.training.checkpointing.checkpoints import CheckpointWriter, open_checkpoints
from probvae.training.checkpointing.file_format import (
    SavedState,
    flatten_leaves,
    restore_best,
    restore_leaves,
)
from probvae.training.feeds import EpochResult, ResidentFeed, StreamedFeed, first_batch, make_feed
from probvae.training.initial_values import PASS_STATE, is_frozen
from probvae.training.interrupts import SHORT_WAIT, StopRequest, await_results, record_signals
from probvae.training.parallel.processes import FAILED, Processes, find_processes, lost_process_error
from probvae.training.preparation import PreparedRun
from probvae.typing import Metrics, Params, RngKey


class EpochState(NamedTuple):
    """All that changes with an epoch. It is replaced at once, so no interrupt leaves half of it."""

    svi_state: SVIState
    recorder: Recorder
    best: Params | None = None  # values of the best validation epoch


class EpochOutcome(NamedTuple):
    """An epoch that the run continues from: the state after it, its numbers, its bad steps."""

    svi_state: SVIState
    steps: Metrics
    summary: validation.ValidationSummary | None
    incidents: tuple[Incident, ...]


@dataclass
class TrainingState:
    """A run after its last epoch so far.

    Attributes:
        prepared: settings and data.
        feed: the data of each epoch.
        fresh: the running state with which each epoch's training-set values start.
        epoch_key: all epochs derive their keys from it.
        current: all that changes with an epoch.
        warned_kinds: the kinds of bad steps that a warning has named.
    """

    prepared: PreparedRun
    feed: ResidentFeed | StreamedFeed
    fresh: Params
    epoch_key: RngKey
    current: EpochState
    warned_kinds: set[str] = field(default_factory=set)

    @property
    def num_epochs(self) -> int:
        """The number of epochs so far."""
        return self.current.recorder.num_epochs

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the highest validation ELBO. None if the run returns the last epoch."""
        return find_best_epoch(self.current.recorder.elbo) if self.prepared.keep_best else None

    @property
    def is_finished(self) -> bool:
        """Whether there is no further epoch."""
        config = self.prepared.config
        early, elbo = config.early_stopping, self.current.recorder.elbo
        return self.num_epochs >= config.epochs or (early is not None and early.should_stop(elbo))

    @property
    def history(self) -> History:
        """The record so far, with the epoch that the run would return."""
        return self.current.recorder.history()._replace(best_epoch=self.best_epoch)

    def add_epoch(self, outcome: EpochOutcome) -> None:
        """Add an epoch."""
        run, (_, recorder, best) = self.prepared.run, self.current
        is_density = run.vae.likelihood.is_density and run.vae.posterior.is_density
        row = summarize_epoch(outcome.steps, outcome.summary, bounded=is_density)
        recorder = recorder.with_epoch(row, outcome.incidents)
        if find_best_epoch(recorder.elbo) == self.num_epochs:
            best = loop.extract_values(run, outcome.svi_state)
        self.current = EpochState(outcome.svi_state, recorder, best)

    def to_saved(self) -> SavedState:
        """Return the content of a checkpoint."""
        state, recorder, best = self.current
        arrays = flatten_leaves("state", state) | flatten_leaves("best", dict(best or {}))
        return SavedState(arrays, recorder.history())

    def restore(self, saved: SavedState) -> None:
        """Continue from a checkpoint."""
        state = restore_leaves("state", self.current.svi_state, saved.arrays)
        best = restore_best(loop.extract_values(self.prepared.run, state), saved.arrays)
        self.current = EpochState(state, Recorder.resume(saved.history), best)

    def to_fitted(self) -> Fitted:
        """Return the VAE with the values of the epoch to return.

        Values of frozen parts are those that the user passed. The optimizer works on the unconstrained
        scale, and the way there and back would round them.
        """
        run, values = self.prepared.run, self.current.best
        if values is None or self.best_epoch is None:
            values = loop.extract_values(run, self.current.svi_state)
        values = self.prepared.config.devices.to_default_device(values)
        init_values = self.prepared.init_values
        frozen = {name: value for name, value in init_values.items() if is_frozen(run.vae, name)}
        vae = replace(run.vae, frozen=()) if run.vae.frozen else run.vae
        return Fitted(vae, {**values, **frozen}, self.history, data=self.prepared.description)

    def last_epoch(self, seconds: float) -> Epoch:
        """Return the last epoch, which took ``seconds``, for callbacks."""
        train, valid = self.current.recorder.last
        return Epoch(self.num_epochs, dict(train), dict(valid or {}), seconds)

    def make_incident(self, bad_step: BadStep, action: str) -> Incident:
        """Return the record of a bad step, and of the action after it."""
        n, batch_size = self.feed.n, self.prepared.config.batch_size
        return bad_steps.make_incident(bad_step, action, self.epoch_key, n, batch_size)


def train_epochs(prepared: PreparedRun) -> Fitted:
    """Train until the last epoch, early stopping or a signal, and return the fitted VAE."""
    start_time = time.perf_counter()
    config, run, devices = prepared.config, prepared.run, prepared.config.devices
    init_key, epoch_key, pass_key = jax.random.split(config.rng_key, 3)
    batch = first_batch(run, prepared.train)
    feed = make_feed(run, devices, prepared.train, prepared.validation)
    processes = find_processes(devices)
    with ExitStack() as stack, record_signals(terminate=config.checkpoints is not None) as stop:
        writer, saved = open_checkpoints(
            stack, config.checkpoints, processes, config.epochs, prepared.identity
        )
        observed = loop.observe_batch(run, init_key, batch)
        state = loop.initialize(run, init_key, observed, prepared.init_values)
        check_guide_draws(run.vae, loop.extract_values(run, state), batch)
        fresh, epoch_key, pass_key = devices.replicate(
            (dict(state.mutable_state or {}), epoch_key, pass_key)
        )
        training = TrainingState(prepared, feed, fresh, epoch_key, EpochState(state, Recorder()))
        if saved is not None:
            training.restore(saved)
        state = devices.replicate(training.current.svi_state)
        training.current = training.current._replace(svi_state=state)
        _run_epochs(training, writer, stop, processes)
    if stop.signal == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)  # the sender expects the process to end
    fitted = replace(training.to_fitted(), seconds=time.perf_counter() - start_time)
    if PASS_STATE not in fresh or is_frozen(run.vae, PASS_STATE):
        return fitted
    # The training-set value so far belongs to parameters that moved. Compute it for the final ones.
    pass_state = feed.run_state_pass(run, devices.replicate(fitted.values), fresh, pass_key)
    return fitted.with_values({**fitted.values, PASS_STATE: devices.to_default_device(pass_state)})


def _run_epochs(
    training: TrainingState, writer: CheckpointWriter | None, stop: StopRequest, processes: Processes
) -> None:
    """Run epochs until the run is finished or a signal stops it. Write checkpoints on the way."""
    config = training.prepared.config
    seconds = float("inf")  # of the last epoch
    callbacks = tuple(config.callbacks) if processes.is_first else ()
    bar = progress_bar(
        total=config.epochs,
        initial=training.num_epochs,
        unit="epoch",
        disable=not (config.progress and processes.is_first),
    )
    with bar:
        try:
            stop.signal = processes.agree_on(stop.signal)
            while not (training.is_finished or stop.signal):
                start_time = time.perf_counter()
                training.add_epoch(run_epoch(training, poll=seconds > SHORT_WAIT))
                _warn_of_infinite_elbo(training)
                seconds = time.perf_counter() - start_time
                callbacks = call_callbacks(callbacks, training.last_epoch(seconds))
                bar.set_postfix_str(format_epoch(*training.current.recorder.last), refresh=False)
                bar.update()
                if writer is not None and writer.is_due(training.num_epochs):
                    writer.write(training.to_saved())
                stop.signal = processes.agree_on(stop.signal)
        except KeyboardInterrupt:
            stop.signal = stop.signal or signal.SIGINT
        except DataError as error:  # streamed data failed: keep the epochs before
            if writer is not None:
                writer.write(training.to_saved())
            error.fitted = training.to_fitted()  # type: ignore[attr-defined]
            raise
        except OSError:
            processes.agree_on(FAILED)
            raise
        except jax.errors.JaxRuntimeError as error:
            if processes.count == 1:
                raise
            if writer is not None:
                writer.write(training.to_saved())
            has_checkpoints = config.checkpoints is not None
            raise lost_process_error(training.num_epochs, has_checkpoints=has_checkpoints) from error
        if writer is not None:
            writer.write(training.to_saved())
        kept_epoch = training.history.describe_kept_epoch()
        last = format_epoch(*training.current.recorder.last) if training.num_epochs else ""
        bar.set_postfix_str("; ".join(filter(None, [last, kept_epoch])))
        if stop.signal:
            bar.write(f"interrupted: {kept_epoch or f'epoch {training.num_epochs}, the last, is kept'}")


def _warn_of_infinite_elbo(training: TrainingState) -> None:
    """Warn of the rows behind the first validation ELBO that is not finite."""
    elbo = training.current.recorder.elbo
    infinite = ~np.isfinite(elbo)
    if infinite.sum() != 1 or not infinite[-1]:
        return
    run, feed = training.prepared.run, training.feed
    values = loop.extract_values(run, training.current.svi_state)
    rows = feed.find_infinite_rows(run, values, training.epoch_key)
    validation.warn_of_rows(rows, feed.num_valid, training.num_epochs - 1, elbo[-1])


# Recovery


def run_epoch(training: TrainingState, *, poll: bool) -> EpochOutcome:
    """Run the next epoch. After a bad step, do what the recovery says, and run it again.

    Raises:
        NonFiniteLossError: if the run cannot continue, and there is no recovery or it has acted
            ``at_most`` times.
    """
    # An epoch is one compiled program, so its numbers arrive after all its steps. Checking them here
    # costs nothing in a good epoch. The state before the epoch is still in memory (nothing donates it),
    # so a bad epoch is simply run again from there. The keys depend on the epoch's number alone, so the
    # batches and draws are the same, and only the recovery makes a difference:
    # - `guarded`: the program itself skips every step that is not finite.
    # - a changed state: it carries a smaller factor of the learning rate.
    prepared, recovery = training.prepared, training.prepared.config.recovery
    state = training.current.svi_state
    incidents: tuple[Incident, ...] = ()
    guarded = False
    while True:
        after, steps, summary = _run_once(training, state, guarded=guarded)
        steps, summary = await_results((steps, summary), poll=poll)
        if guarded:
            incidents = (*incidents, *_record_skipped(training, steps))
        bad_step = _find_bad_step(training, state, after, steps, guarded=guarded)
        if bad_step is None:
            break
        can_act = recovery is not None and recovery.acts_on(bad_step)
        if recovery is not None and can_act and _actions_left(training) > len(incidents):
            if recovery.skips:
                guarded = True
                continue
            incidents = (*incidents, training.make_incident(bad_step, recovery.action))
            if bad_step.kind != "jump" or bad_step.position:
                state = recovery.change_state(state)
                continue
            # The last update of the epoch before caused the jump, and the state before that epoch is
            # gone. Continue from the state after this one, at a lower rate.
            after = recovery.change_state(after)
            break
        if bad_step.kind not in ("jump", "standstill"):
            raise bad_steps.make_error(bad_step, training.to_fitted())
        if bad_step.kind not in training.warned_kinds:
            training.warned_kinds.add(bad_step.kind)
            bad_steps.warn_of_step(bad_step, CONTINUED, prepared.run.vae)
        incidents = (*incidents, training.make_incident(bad_step, CONTINUED))
        break
    return EpochOutcome(after, steps, summary, incidents)


def _run_once(training: TrainingState, state: SVIState, *, guarded: bool) -> EpochResult:
    options = {"guarded": True} if guarded else {}  # one more argument would compile once more
    run, fresh, key = training.prepared.run, training.fresh, training.epoch_key
    return training.feed.run_epoch(run, state, fresh, key, training.num_epochs, **options)


def _find_bad_step(
    training: TrainingState, state: SVIState, after: SVIState, steps: Metrics, *, guarded: bool
) -> BadStep | None:
    """Return an epoch's first bad step, if any. ``state`` precedes the epoch, ``after`` follows it."""
    index, run = training.num_epochs, training.prepared.run
    if not guarded:
        bad_step = bad_steps.find_bad_loss(steps, index)
        if bad_step is not None:
            return bad_step
        if not loop.is_state_finite(after):
            return bad_steps.describe_last_step(steps, index)
        largest = np.abs(steps["loss"]).max()
        if largest > bad_steps.LARGE_LOSS and _lost_moments(state, after):
            # Repeat the epoch, guarded, to find the step that overflowed.
            _, guarded_steps, _ = _run_once(training, state, guarded=True)
            guarded_steps = jax.device_get(guarded_steps)
            return bad_steps.describe_step(guarded_steps, index, int(np.argmin(guarded_steps["kept"])))
        if largest > bad_steps.HUGE_LOSS and loop.have_same_params(state, after):
            return bad_steps.describe_standstill(steps, index)
    num_data = training.feed.n if has_shared_latents(run.vae) else run.batch_size
    before = training.current.recorder.recent(bad_steps.MIN_STEPS)
    return bad_steps.find_jump(before, steps, index, num_data)


def _lost_moments(state: SVIState, after: SVIState) -> bool:
    """Return whether an epoch made the optimizer's state infinite. Adam then never moves again."""
    return not loop.is_state_finite(after, moments=True) and loop.is_state_finite(state, moments=True)


def _actions_left(training: TrainingState) -> int:
    """Return how often the recovery may still act."""
    recovery = training.prepared.config.recovery
    return recovery.at_most - training.current.recorder.num_recovered if recovery else 0


def _record_skipped(training: TrainingState, steps: Metrics) -> tuple[Incident, ...]:
    """Return the skipped steps of an epoch. Raise if they are too many."""
    index, recovery = training.num_epochs, training.prepared.config.recovery
    skipped = [bad_steps.describe_step(steps, index, int(at)) for at in np.flatnonzero(~steps["kept"])]
    left = _actions_left(training)
    if len(skipped) > left or len(skipped) == len(steps["kept"]):
        raise bad_steps.make_error(skipped[min(left, len(skipped) - 1)], training.to_fitted())
    action = recovery.action if recovery else ""
    return tuple(training.make_incident(each, action) for each in skipped)
