"""Validation: means over the validation data after every epoch."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.compilation import compile_program
from probvae.evidence import Batch
from probvae.faq import cite
from probvae.objectives.terms import terms
from probvae.training.parallel.devices import DeviceBatch, constrain_replicated, gather_rows, num_rows
from probvae.typing import ArrayLike, Params, RngKey
from probvae.user_warnings import warn_user
from probvae.vae import VAE

if TYPE_CHECKING:
    from probvae.training.loop import Run

MAX_LISTED = 10  # rows in a warning


class ValidationSummary(NamedTuple):
    """Means over data, in nats per datum, and mean standard deviations of p(x|z) and q(z|x).

    The two scales are means over the first data of each batch.
    """

    elbo: jax.Array
    log_likelihood: jax.Array
    kl: jax.Array
    scale_x: jax.Array
    scale_z: jax.Array


def summarize(
    vae: VAE, params: Params, rng_key: RngKey, data: DeviceBatch, batch_size: int
) -> ValidationSummary:
    """Return the mean ELBO (one particle), its two parts and the two scales over data."""
    n = num_rows(data)
    index = jnp.asarray(index_batches(n, batch_size))
    add_batch = _make_add_batch(vae, params, rng_key, n, len(index))

    def step(total: ValidationSummary, row: jax.Array) -> tuple[ValidationSummary, None]:
        return add_batch(total, row, gather_rows(data, jnp.minimum(row, n - 1))), None

    return jax.lax.scan(step, empty_summary(), index)[0]


def empty_summary() -> ValidationSummary:
    """Return the summary of no data, the start of a sum."""
    return ValidationSummary(*[jnp.zeros(())] * 5)


def index_batches(n: int, batch_size: int) -> np.ndarray:
    """Return the rows of all batches, ``(batches, batch_size)``. Rows above n - 1 are padding."""
    batches = -(-n // batch_size)
    return np.arange(batches * batch_size).reshape(batches, batch_size)


@partial(compile_program, static_argnames=("run", "n"))
def summarize_more(
    run: "Run",
    params: Params,
    rng_key: RngKey,
    total: ValidationSummary,
    rows: ArrayLike,  # (batches, batch_size)
    batches: Batch,
    n: int,
) -> ValidationSummary:
    """Add some of the batches of ``summarize`` to a summary. ``n`` counts all data."""
    add_batch = _make_add_batch(run.vae.eval(), params, rng_key, n, -(-n // run.batch_size))
    return jax.lax.scan(lambda s, at: (add_batch(s, *at), None), total, (rows, batches))[0]


def _make_add_batch(
    vae: VAE, params: Params, rng_key: RngKey, n: int, num_batches: int
) -> Callable[..., ValidationSummary]:
    """Return a function that adds a batch to a summary of ``n`` data in ``num_batches`` batches."""

    def add_batch(total: ValidationSummary, row: ArrayLike, batch: Batch) -> ValidationSummary:
        # The key is that of the batch's first row: the draws are the same at every epoch, and streamed
        # data need no other keys. The last batch repeats the last row, with weight 0.
        read = terms(jax.random.fold_in(rng_key, row[0]), params, vae.model, vae.guide, *batch)
        weights = (row < n) / n  # (batch,)
        log_likelihood, kl = (weights * read.log_likelihood).sum(), (weights * read.total_kl).sum()
        scales = read.scale_x / num_batches, read.scale_z / num_batches
        new = ValidationSummary(log_likelihood - kl, log_likelihood, kl, *scales)
        return jax.tree.map(jnp.add, total, new)

    return add_batch


@partial(compile_program, static_argnames=("run",))
def find_finite_bounds(
    run: "Run", params: Params, rng_key: RngKey, first: ArrayLike, row: ArrayLike, data: DeviceBatch
) -> jax.Array:
    """Return which rows of a batch have a finite bound, with the draws of ``summarize``.

    Args:
        run: the training run.
        params: parameters and running state.
        rng_key: the key of the epochs.
        first: the first row of the batch within all validation data.
        row: the rows of the batch within ``data``.
        data: all validation data, or those of the batch.
    """
    batch, vae = gather_rows(data, jnp.minimum(row, num_rows(data) - 1)), run.vae.eval()
    read = terms(jax.random.fold_in(rng_key, first), params, vae.model, vae.guide, *batch)
    return constrain_replicated(data, jnp.isfinite(read.log_likelihood - read.total_kl))


def warn_of_rows(rows: list[int], num_rows: int, epoch: int, elbo: float) -> None:
    """Warn that the validation ELBO is not finite, and name the rows whose bounds are not."""
    problem = f"the validation ELBO of epoch {epoch + 1} is {elbo}"
    if len(rows) == num_rows:
        warn_user(
            f"{problem}: none of its {num_rows:,} rows has a finite bound, so the cause is the fit, "
            "not a single row. Such an epoch is never the best. Lower the learning rate, or use "
            f"recovery=HalveRate(), which lowers it in the run. {cite('validation-elbo-not-finite')}"
        )
        return
    listed = ", ".join(map(str, rows[:MAX_LISTED])) + (", ..." if len(rows) > MAX_LISTED else "")
    cause = (
        f"{len(rows):,} of its rows have no finite bound: {listed}" if rows else "each row has a bound"
    )
    warn_user(
        f"{problem}: {cause}. Such an epoch is never the best. Check x and the context of these "
        "validation rows for fill values and outliers. Then mask the entries with Batch(x, mask=...), "
        "drop the rows, or use a likelihood with heavier tails, such as StudentT(), or with a lower "
        f"bound on its scale. {cite('validation-elbo-not-finite')}"
    )
