"""Several trainings of one VAE in one program: on a GPU, which one small VAE leaves idle.

Every training has its own key, its own best epoch and its own end, as by ``fit`` with early stopping,
of which these are the epochs under ``jax.vmap``; products summed in another order round otherwise, so
that the numbers agree with those of ``fit`` to rounding, not to the bit.
"""

import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from probvae import EarlyStopping, Fitted
from probvae.data import Cast
from probvae.training import checks, loop
from probvae.training.history import Recorder, row_of
from probvae.training.stopping import best_epoch


class Together(NamedTuple):
    """States, and of each training the best epoch's values and its ELBO, along the first axis."""

    state: Any
    best: dict[str, Any]
    elbo: jax.Array


def trained_together(
    run: loop.Run,
    train: np.ndarray,
    validation: np.ndarray,
    keys: list[jax.Array],
    *,
    epochs: int,
    early_stopping: EarlyStopping | None,
    seconds: float = float("inf"),
) -> list[Fitted]:
    """Train from each key, to the last epoch, to the stop, or to the first epoch's end after so long.

    With early stopping the values are the best epoch's, else the last one's.
    """
    train = checks.checked_batch(run.vae, train, "train", run.observation)
    valid = checks.checked_batch(run.vae, validation, "validation", Cast())
    train, valid = jax.device_put((train, valid))
    first = jax.tree.map(lambda a: a[: run.batch_size], train)
    # of each training: where it starts, and its epochs, by the keys that ``fit`` takes
    init_keys, epoch_keys, _ = jnp.stack([jax.random.split(key, 3) for key in keys]).T

    def start(key: jax.Array) -> Together:
        state = loop._start(run, key, loop.observed(run, key, first), {})
        return Together(state, loop.parameters(run, state), jnp.full((), -jnp.inf, float))

    now, recorders = jax.jit(jax.vmap(start))(init_keys), [Recorder() for _ in keys]
    live, began = np.ones(len(keys), bool), time.monotonic()
    for index in tqdm(range(epochs)):
        told = (jnp.asarray(live), train, valid, epoch_keys, index)
        now, looked = _epoch(run, now, *told, best_kept=early_stopping is not None)
        looked = jax.device_get(looked)
        for at in np.flatnonzero(live):
            row = row_of(jax.tree.map(lambda a, at=at: a[at], looked), bounded=True)
            recorders[at] = recorders[at].with_epoch(row, ())
            live[at] = not (early_stopping and early_stopping.is_over(recorders[at].elbo))
        if not live.any() or time.monotonic() - began > seconds:
            break
    return [
        _fitted(run, jax.tree.map(lambda a, at=at: a[at], now.best), recorder, early_stopping)
        for at, recorder in enumerate(recorders)
    ]


def _fitted(run: loop.Run, values: dict, recorder: Recorder, early: EarlyStopping | None) -> Fitted:
    best = best_epoch(recorder.elbo) if early else None
    return Fitted(run.vae, values, recorder.history()._replace(best_epoch=best))


@partial(jax.jit, static_argnames=("run", "best_kept"), donate_argnums=(1,))
def _epoch(
    run: loop.Run,
    now: Together,
    live: Any,
    train: Any,
    valid: Any,
    keys: Any,
    index: Any,
    best_kept: bool,  # noqa: FBT001  a static argument
) -> tuple[Together, tuple]:
    """Take an epoch of all; a training that is over goes on in vain, and what is kept of it stays."""

    def one(now: Together, live: jax.Array, key: jax.Array) -> tuple[Together, tuple]:
        state, steps, seen = loop.epoch(run, now.state, {}, train, valid, key, index)
        better = live & ((seen.elbo > now.elbo) if best_kept else True)
        values, elbo = loop.parameters(run, state), seen.elbo
        kept = (values, elbo), (now.best, now.elbo)
        best, elbo = jax.tree.map(lambda new, old: jnp.where(better, new, old), *kept)
        return Together(state, best, elbo), (steps, seen)

    return jax.vmap(one)(now, live, keys)
