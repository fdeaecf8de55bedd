"""Trainings side by side in one program: ``jax.vmap`` over an epoch."""

from collections.abc import Iterable
from functools import partial
from inspect import unwrap
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.svi import SVIState
from tqdm.auto import tqdm

from probvae.compilation import compile_program
from probvae.evidence import Batch, explain_no_density
from probvae.fitted.fitted import Fitted
from probvae.fitted.history import (
    CONTINUED,
    EpochRecord,
    Incident,
    Recorder,
    find_best_epoch,
    summarize_epoch,
)
from probvae.objectives.swept_weights import set_swept_weights
from probvae.progress import ProgressLines
from probvae.tracing import has_shared_latents
from probvae.training import bad_steps, loop, validation
from probvae.training.feeds import find_infinite_rows
from probvae.training.initial_values import PASS_STATE
from probvae.training.interrupts import StopRequest
from probvae.training.preparation import PreparedRun
from probvae.typing import ArrayLike, Metrics, Params, PyTree, RngKey

ENDED = "this training ended"

# Not compiled by itself: a cached trace of it would contain the swept weights of other members.
run_member_epoch = unwrap(loop.run_epoch)


class GroupState(NamedTuple):
    """The state of several trainings. Every array has a first axis over them.

    Attributes:
        svi_state: of each training.
        best_values: the values to return.
        elbo: the validation ELBO of ``best_values``.
        fresh: the running state with which each epoch's training-set values start.
    """

    svi_state: SVIState
    best_values: dict[str, Any]
    elbo: jax.Array
    fresh: dict[str, Any]


class Member(NamedTuple):
    """The keys, weights and hyperparameters of a training, or of several along a first axis.

    Attributes:
        init_key: for the initial values.
        epoch_key: for all epochs.
        pass_key: for training-set values.
        weights: of the objective, by name.
        hyperparams: of the optimizer, by name.
        keep_best: whether to return the epoch with the best validation ELBO instead of the last.
    """

    init_key: jax.Array
    epoch_key: jax.Array
    pass_key: jax.Array
    weights: dict[str, jax.Array]
    hyperparams: dict[str, jax.Array]
    keep_best: jax.Array


class MemberNumbers(NamedTuple):
    """The numbers of an epoch.

    Attributes:
        steps: terms of every step.
        summary: of the validation data.
        params_finite: whether the parameters are finite after the epoch.
        state_finite: whether the optimizer's state is, too, unless it was not before.
    """

    steps: Metrics
    summary: validation.ValidationSummary
    params_finite: jax.Array
    state_finite: jax.Array


def make_member(
    key: RngKey,
    numbers: dict[str, float],
    weights: Iterable[str],
    hyperparams: Iterable[str],
    *,
    keep_best: bool,
) -> Member:
    """Return a training with these numbers, of which some are weights and some hyperparameters."""
    init_key, epoch_key, pass_key = jax.random.split(key, 3)  # as ``fit`` does
    arrays = {name: jnp.asarray(value, float) for name, value in numbers.items()}
    ours, theirs = ({k: arrays[k] for k in part} for part in (weights, hyperparams))
    return Member(init_key, epoch_key, pass_key, ours, theirs, jnp.asarray(keep_best))


def stack_members(members: list[Member]) -> Member:
    """Stack trainings along a first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def train_group(
    prepared: PreparedRun,
    members: Member,
    data: tuple[Batch, Batch],
    bar: "tqdm | ProgressLines",
    stop: StopRequest,
) -> list[Fitted]:
    """Train members side by side until all are finished or a signal stops them."""
    # All members run in every call, because the program has one shape. A finished member keeps
    # computing, and `_run_epoch` discards its result by `live`. The ends differ per member, so they are
    # decided here, between epochs: early stopping and bad steps, by the rules of `fit`.
    run, config, (train, valid) = prepared.run, prepared.config, data
    early, num_members = config.early_stopping, len(members.init_key)
    group = _start_group(run, members, train, prepared.init_values)
    recorders, live = [Recorder()] * num_members, np.ones(num_members, bool)
    has_warned = False
    for index in range(config.epochs):
        group, numbers = _run_epoch(run, group, members, jnp.asarray(live), train, valid, index)
        numbers = jax.device_get(numbers)
        for at in map(int, np.flatnonzero(live)):
            key, own = members.epoch_key[at], _select_member(numbers, at)
            row, incidents = _record_epoch(prepared, recorders[at], own, key)
            recorders[at] = recorders[at].with_epoch(row, incidents)
            elbo = recorders[at].elbo
            if row is not None and not has_warned and not np.isfinite(elbo[-1:]).all():
                has_warned = True
                values = loop.extract_values(run, _select_member(group.svi_state, at))
                rows = find_infinite_rows(run, values, key, valid)
                validation.warn_of_rows(rows, len(valid.x), index, elbo[-1])
            live[at] = row is not None and not (early is not None and early.should_stop(elbo))
        bar.update()
        if stop.signal or not live.any():
            bar.update(config.epochs - index - 1)
            break
    best_values, fresh = jax.device_get((group.best_values, group.fresh))
    fitted = []
    for at, recorder in enumerate(recorders):
        values, own_fresh = jax.tree.map(jnp.asarray, _select_member((best_values, fresh), at))
        if own_fresh:  # a training-set value, for the final parameters
            pass_state = loop.run_state_pass(run, values, own_fresh, train, members.pass_key[at])
            values = {**values, PASS_STATE: pass_state}
        best = find_best_epoch(recorder.elbo) if members.keep_best[at] else None
        history = recorder.history()._replace(best_epoch=best)
        fitted.append(Fitted(run.vae, values, history, data=prepared.description))
    return fitted


def _select_member(tree: PyTree, at: int) -> PyTree:
    return jax.tree.map(lambda a: a[at], tree)


def _record_epoch(
    prepared: PreparedRun, recorder: Recorder, numbers: MemberNumbers, epoch_key: RngKey
) -> tuple[EpochRecord | None, tuple[Incident, ...]]:
    """Return the record of an epoch and its incidents. The record is empty if it ends the training."""
    run, index, n = prepared.run, recorder.num_epochs, len(prepared.train.x)
    steps = numbers.steps
    bad_step = bad_steps.find_bad_loss(steps, index)
    if bad_step is None and not numbers.state_finite:
        usable = np.full(len(steps["loss"]), numbers.params_finite)
        bad_step = bad_steps.describe_last_step({**steps, "usable": usable}, index)
    row: EpochRecord | None = None
    if bad_step is None:
        is_density = explain_no_density(run.vae) is None
        row = summarize_epoch(steps, numbers.summary, bounded=is_density)
        num_data = n if has_shared_latents(run.vae) else run.batch_size
        before = recorder.recent(bad_steps.MIN_STEPS)
        bad_step = bad_steps.find_jump(before, steps, index, num_data)
    if bad_step is None:
        return row, ()
    action = CONTINUED if bad_step.kind == "jump" else ENDED
    if bad_step.kind != "loss":
        bad_steps.warn_of_step(bad_step, action, run.vae)
    return row, (bad_steps.make_incident(bad_step, action, epoch_key, n, run.batch_size),)


@partial(compile_program, static_argnames=("run",))
def _start_group(run: loop.Run, members: Member, train: Batch, values: Params) -> GroupState:
    first = jax.tree.map(lambda a: a[: run.batch_size], train)

    def start(member: Member) -> GroupState:
        key = member.init_key
        state = loop.init_state(run, key, loop.observe_batch(run, key, first), values)
        state = _set_hyperparams(state, member.hyperparams)
        fresh = {k: v for k, v in (state.mutable_state or {}).items() if k == PASS_STATE}
        return GroupState(state, loop.extract_values(run, state), jnp.full((), -jnp.inf, float), fresh)

    return jax.vmap(start)(members)


@partial(compile_program, static_argnames=("run",), donate_argnums=(1,))
def _run_epoch(
    run: loop.Run,
    group: GroupState,
    members: Member,
    live: jax.Array,
    train: Batch,
    valid: Batch,
    index: ArrayLike | int,
) -> tuple[GroupState, MemberNumbers]:
    """Run an epoch of all members. The values to return change only for live members."""

    def run_one(now: GroupState, member: Member, live: jax.Array) -> tuple[GroupState, MemberNumbers]:
        # Members differ in keys and numbers, which are arrays with an axis for `vmap`. The objective is
        # one static object for all, so its swept weights reach it through a context variable: while the
        # epoch is traced, a swept weight returns the member's traced number.
        with set_swept_weights(member.weights):
            state, steps, summary = run_member_epoch(
                run, now.svi_state, now.fresh, train, valid, member.epoch_key, index
            )
        params_finite = loop.all_finite(state.optim_state[1][0])
        was_infinite = ~loop.all_finite(now.svi_state.optim_state)
        state_finite = loop.all_finite(state.optim_state) | was_infinite
        is_good = jnp.isfinite(steps["loss"]).all() & params_finite & state_finite
        # An ELBO that is not finite is never the best. Until one is finite, keep the newest epoch.
        elbo = jnp.where(jnp.isfinite(summary.elbo), summary.elbo, -jnp.inf)
        is_better = (elbo > now.elbo) | jnp.isneginf(now.elbo) | ~member.keep_best
        new, old = (loop.extract_values(run, state), elbo), (now.best_values, now.elbo)
        best_values, best_elbo = jax.tree.map(
            lambda a, b: jnp.where(live & is_good & is_better, a, b), new, old
        )
        numbers = MemberNumbers(steps, summary, params_finite, state_finite & params_finite)
        return GroupState(state, best_values, best_elbo, now.fresh), numbers

    return jax.vmap(run_one)(group, members, live)


def _set_hyperparams(state: SVIState, values: dict[str, jax.Array]) -> SVIState:
    """Replace the hyperparameters in the state of ``optax.inject_hyperparams``."""

    def replace_in(leaf: PyTree) -> PyTree:
        if not hasattr(leaf, "hyperparams"):
            return leaf
        own = {
            k: v.astype(leaf.hyperparams[k].dtype) for k, v in values.items() if k in leaf.hyperparams
        }
        return leaf._replace(hyperparams={**leaf.hyperparams, **own})

    return jax.tree.map(replace_in, state, is_leaf=lambda leaf: hasattr(leaf, "hyperparams"))
