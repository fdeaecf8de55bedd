"""Trainings side by side in one program: ``jax.vmap`` of an epoch, each with its own end."""

from collections.abc import Iterable
from functools import partial
from inspect import unwrap
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.evidence import no_density
from probvae.objectives.swept import told
from probvae.structure import shares_latents
from probvae.tracing import compiled
from probvae.training import looking, loop
from probvae.training.devices import num_rows
from probvae.training.finite import JUMP, LOSS, first_bad, incident_of, jump, last_update, warn_of
from probvae.training.fitted import Fitted
from probvae.training.history import Recorder, row_of
from probvae.training.jumps import FEWEST
from probvae.training.recovery import ENDED, WENT_ON, Incident
from probvae.training.signals import Asked
from probvae.training.start_values import PASS_STATE
from probvae.training.stopping import EarlyStopping, best_epoch
from probvae.training.streaming import rows_without_bound
from probvae.typing import Params, RngKey

one_epoch = unwrap(loop.epoch)  # not compiled: what was cached would hold the weights of others


class Together(NamedTuple):
    """Of each training, along the first axis: its state, the values to keep and their validation ELBO.

    ``fresh`` is what a value of the whole training set is gathered anew from, at every epoch.
    """

    state: Any
    kept: dict[str, Any]
    elbo: jax.Array
    fresh: dict[str, Any]


class Told(NamedTuple):
    """What a training has of its own: its keys, weights of the objective, numbers of the optimizer.

    ``keep_best`` says whether the epoch with the best validation ELBO is kept, or the last.
    """

    init_key: jax.Array
    epoch_key: jax.Array
    pass_key: jax.Array
    weights: dict[str, jax.Array]
    hyperparams: dict[str, jax.Array]
    keep_best: jax.Array


def told_of(
    key: RngKey,
    numbers: dict[str, float],
    weights: Iterable[str],
    hyperparams: Iterable[str],
    *,
    keep_best: bool,
) -> Told:
    """Return what a training is told: its key, numbers by the kind that they are of, what it keeps."""
    init_key, epoch_key, pass_key = jax.random.split(key, 3)  # as ``fit`` does
    arrays = {name: jnp.asarray(value, float) for name, value in numbers.items()}
    ours, theirs = ({k: arrays[k] for k in part} for part in (weights, hyperparams))
    return Told(init_key, epoch_key, pass_key, ours, theirs, jnp.asarray(keep_best))


def stacked(each: list[Told]) -> Told:
    """Return several as one, along a first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def trained_group(
    run: loop.Run,
    each: Told,
    start: Params,
    data: tuple,
    *,
    epochs: int,
    early: EarlyStopping | None,
    bar: Any,
    asked: Asked,
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
            row, incidents = _recorded(run, recorders[at], seen, keys, num_rows(data[0]))
            recorders[at] = recorders[at].with_epoch(row, incidents)
            if any(row) and not told_of_bound and not np.isfinite(recorders[at].elbo[-1:]).all():
                told_of_bound = True
                state = jax.tree.map(lambda a, at=at: a[at], now.state)
                rows = rows_without_bound(run, loop.parameters(run, state), keys, data[1])
                looking.warn_of_rows(rows, num_rows(data[1]), index, recorders[at].elbo[-1])
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
        values = _gathered(run, last, fresh, data[0], each.pass_key[member])
        best = best_epoch(recorder.elbo) if each.keep_best[member] else None
        found.append(Fitted(run.vae, values, recorder.history()._replace(best_epoch=best)))
    return found


def _recorded(
    run: loop.Run, recorder: Recorder, seen: tuple, epoch_key: RngKey, n: int
) -> tuple[tuple, tuple[Incident, ...]]:
    """Return the row of an epoch and its incidents; no row where the training is over with it."""
    (steps, valid, usable, sound), index = seen, recorder.num_epochs
    found = first_bad(steps, index)
    if found is None and not sound:
        found = last_update({**steps, "usable": np.full(len(steps["loss"]), usable)}, index)
    row: tuple = (None, None, None)
    if found is None:
        row = row_of((steps, valid), bounded=no_density(run.vae) is None)
        counted = n if shares_latents(run.vae) else run.batch_size
        found = jump(recorder.recent(FEWEST), steps, index, counted)
    if found is None:
        return row, ()
    action = WENT_ON if found.kind == JUMP else ENDED
    if found.kind != LOSS:
        warn_of(found, action, run.vae)
    return row, (incident_of(found, action, epoch_key, n, run.batch_size),)


def _gathered(run: loop.Run, values: Params, fresh: Params, train: Any, key: RngKey) -> Params:
    """Return values with that of the whole training set, where there is one: as ``fit`` ends."""
    if not fresh:
        return values
    return {**values, PASS_STATE: loop.whole_pass(run, values, fresh, train, key)}


@partial(compiled, static_argnames=("run",))
def _start(run: loop.Run, each: Told, train: Any, values: Params) -> Together:
    first = jax.tree.map(lambda a: a[: run.batch_size], train)

    def one(each: Told) -> Together:
        key = each.init_key
        state = loop.started(run, key, loop.observed(run, key, first), values)
        state = _with_hyperparams(state, each.hyperparams)
        fresh = {k: v for k, v in (state.mutable_state or {}).items() if k == PASS_STATE}
        return Together(state, loop.parameters(run, state), jnp.full((), -jnp.inf, float), fresh)

    return jax.vmap(one)(each)


@partial(compiled, static_argnames=("run",), donate_argnums=(1,))
def _epoch(
    run: loop.Run,
    now: Together,
    each: Told,
    live: Any,
    train: Any,
    valid: Any,
    index: Any,
) -> tuple[Together, tuple]:
    """Take an epoch of all; what is kept of a training that is over stays.

    Beside what ``loop.epoch`` sees it tells of each whether its parameters, and whether its optimizer's
    state too, are finite after the epoch.
    """

    def one(now: Together, each: Told, live: jax.Array) -> tuple[Together, tuple]:
        with told(each.weights):
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
        return Together(state, kept, elbo, now.fresh), (steps, seen, usable, sound & usable)

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
