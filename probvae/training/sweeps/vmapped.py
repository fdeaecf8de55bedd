"""Trainings side by side in one program: ``jax.vmap`` of an epoch, each with its own end."""

from collections.abc import Iterable
from functools import partial
from inspect import unwrap
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.compilation import compile_program
from probvae.evidence import explain_no_density
from probvae.fitted.fitted import Fitted
from probvae.fitted.history import CONTINUED, Incident, Recorder, find_best_epoch, summarize_epoch
from probvae.objectives.swept_weights import set_swept_weights
from probvae.tracing import has_shared_latents
from probvae.training import loop, validation
from probvae.training.early_stopping import EarlyStopping
from probvae.training.feeds import rows_without_bound
from probvae.training.initial_values import PASS_STATE
from probvae.training.interrupts import StopRequest
from probvae.training.loss_jumps import FEWEST
from probvae.training.parallel.devices import num_rows
from probvae.training.recovery import (
    ENDED,
    JUMP,
    LOSS,
    first_bad,
    incident_of,
    jump,
    last_update,
    warn_of,
)
from probvae.typing import Params, RngKey

one_epoch = unwrap(loop.epoch)  # not compiled: what was cached would hold the weights of others


class MemberGroup(NamedTuple):
    """Of each training, along the first axis: its state, the values to keep and their validation ELBO.

    ``fresh`` is what a value of the whole training set is gathered anew from, at every epoch.
    """

    state: Any
    kept: dict[str, Any]
    elbo: jax.Array
    fresh: dict[str, Any]


class Member(NamedTuple):
    """What a training has of its own: its keys, weights of the objective, numbers of the optimizer.

    ``keep_best`` says whether the epoch with the best validation ELBO is kept, or the last.
    """

    init_key: jax.Array
    epoch_key: jax.Array
    pass_key: jax.Array
    weights: dict[str, jax.Array]
    hyperparams: dict[str, jax.Array]
    keep_best: jax.Array


def make_member(
    key: RngKey,
    numbers: dict[str, float],
    weights: Iterable[str],
    hyperparams: Iterable[str],
    *,
    keep_best: bool,
) -> Member:
    """Return what a training is told: its key, numbers by the kind that they are of, what it keeps."""
    init_key, epoch_key, pass_key = jax.random.split(key, 3)  # as ``fit`` does
    arrays = {name: jnp.asarray(value, float) for name, value in numbers.items()}
    ours, theirs = ({k: arrays[k] for k in part} for part in (weights, hyperparams))
    return Member(init_key, epoch_key, pass_key, ours, theirs, jnp.asarray(keep_best))


def stack_members(each: list[Member]) -> Member:
    """Return several as one, along a first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def train_group(
    run: loop.Run,
    each: Member,
    start: Params,
    data: tuple,
    *,
    epochs: int,
    early: EarlyStopping | None,
    bar: Any,
    asked: StopRequest,
) -> list[Fitted]:
    """Train side by side, all from the values of ``start``, until all are over, or Ctrl-C."""
    n = len(each.init_key)
    now, recorders, live = _start(run, each, data[0], start), [Recorder()] * n, np.ones(n, bool)
    told_of_bound = False
    for index in range(epochs):
        args = (now, each, jnp.asarray(live), *data, index)
        now, looked = _epoch(run, *args)
        looked = jax.device_get(looked)
        for at in np.flatnonzero(live):
            seen = jax.tree.map(lambda a, at=at: a[at], looked)
            keys = each.epoch_key[at]
            row, incidents = _record_member(run, recorders[at], seen, keys, num_rows(data[0]))
            recorders[at] = recorders[at].with_epoch(row, incidents)
            if any(row) and not told_of_bound and not np.isfinite(recorders[at].elbo[-1:]).all():
                told_of_bound = True
                state = jax.tree.map(lambda a, at=at: a[at], now.state)
                rows = rows_without_bound(run, loop.parameters(run, state), keys, data[1])
                validation.warn_of_rows(rows, num_rows(data[1]), index, recorders[at].elbo[-1])
            stops = early is not None and early.is_over(recorders[at].elbo)
            live[at] = any(row) and not stops
        bar.update()
        if asked.by or not live.any():
            bar.update(epochs - index - 1)
            break
    parts = jax.device_get((now.kept, now.fresh))
    found = []
    for member, recorder in enumerate(recorders):
        last, fresh = jax.tree.map(lambda a, member=member: jnp.asarray(a[member]), parts)
        values = _gather_values(run, last, fresh, data[0], each.pass_key[member])
        best = find_best_epoch(recorder.elbo) if each.keep_best[member] else None
        found.append(Fitted(run.vae, values, recorder.history()._replace(best_epoch=best)))
    return found


def _record_member(
    run: loop.Run, recorder: Recorder, seen: tuple, epoch_key: RngKey, n: int
) -> tuple[tuple, tuple[Incident, ...]]:
    """Return the row of an epoch and its incidents; no row where the training is over with it."""
    (steps, valid, usable, sound), index = seen, recorder.num_epochs
    found = first_bad(steps, index)
    if found is None and not sound:
        found = last_update({**steps, "usable": np.full(len(steps["loss"]), usable)}, index)
    row: tuple = (None, None, None)
    if found is None:
        row = summarize_epoch((steps, valid), bounded=explain_no_density(run.vae) is None)
        counted = n if has_shared_latents(run.vae) else run.batch_size
        found = jump(recorder.recent(FEWEST), steps, index, counted)
    if found is None:
        return row, ()
    action = CONTINUED if found.kind == JUMP else ENDED
    if found.kind != LOSS:
        warn_of(found, action, run.vae)
    return row, (incident_of(found, action, epoch_key, n, run.batch_size),)


def _gather_values(run: loop.Run, values: Params, fresh: Params, train: Any, key: RngKey) -> Params:
    """Return values with that of the whole training set, where there is one: as ``fit`` ends."""
    if not fresh:
        return values
    return {**values, PASS_STATE: loop.evaluate_all(run, values, fresh, train, key)}


@partial(compile_program, static_argnames=("run",))
def _start(run: loop.Run, each: Member, train: Any, values: Params) -> MemberGroup:
    first = jax.tree.map(lambda a: a[: run.batch_size], train)

    def one(each: Member) -> MemberGroup:
        key = each.init_key
        state = loop.init_state(run, key, loop.observe_batch(run, key, first), values)
        state = _with_hyperparams(state, each.hyperparams)
        fresh = {k: v for k, v in (state.mutable_state or {}).items() if k == PASS_STATE}
        return MemberGroup(state, loop.parameters(run, state), jnp.full((), -jnp.inf, float), fresh)

    return jax.vmap(one)(each)


@partial(compile_program, static_argnames=("run",), donate_argnums=(1,))
def _epoch(
    run: loop.Run,
    now: MemberGroup,
    each: Member,
    live: Any,
    train: Any,
    valid: Any,
    index: Any,
) -> tuple[MemberGroup, tuple]:
    """Take an epoch of all; what is kept of a training that is over stays.

    Beside what ``loop.epoch`` sees it tells of each whether its parameters, and whether its optimizer's
    state too, are finite after the epoch.
    """

    def one(now: MemberGroup, each: Member, live: jax.Array) -> tuple[MemberGroup, tuple]:
        with set_swept_weights(each.weights):
            args: tuple = (now.state, now.fresh, train, valid, each.epoch_key, index)
            state, steps, seen = one_epoch(run, *args)
        usable = loop.all_finite(state.optim_state[1][0])
        sound = loop.all_finite(state.optim_state) | ~loop.all_finite(now.state.optim_state)
        finite = jnp.isfinite(steps["loss"]).all() & usable & sound
        # An ELBO that is not finite is never the best: until one is finite, the newest epoch is kept.
        reached = jnp.where(jnp.isfinite(seen.elbo), seen.elbo, -jnp.inf)
        better = (reached > now.elbo) | jnp.isneginf(now.elbo) | ~each.keep_best
        new, old = (loop.parameters(run, state), reached), (now.kept, now.elbo)
        kept, elbo = jax.tree.map(lambda a, b: jnp.where(live & finite & better, a, b), new, old)
        return MemberGroup(state, kept, elbo, now.fresh), (steps, seen, usable, sound & usable)

    return jax.vmap(one)(now, each, live)


def _with_hyperparams(state: Any, values: dict[str, jax.Array]) -> Any:
    """Put numbers in their places in the optimizer's state."""

    def put(leaf: Any) -> Any:
        if not hasattr(leaf, "hyperparams"):
            return leaf
        here = {
            k: v.astype(leaf.hyperparams[k].dtype) for k, v in values.items() if k in leaf.hyperparams
        }
        return leaf._replace(hyperparams={**leaf.hyperparams, **here})

    return jax.tree.map(put, state, is_leaf=lambda leaf: hasattr(leaf, "hyperparams"))
