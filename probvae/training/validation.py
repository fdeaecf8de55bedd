"""What an epoch sees of the validation data: means over all of them, whole or a part at a time."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.compilation import compile_program
from probvae.data_description import warn_user
from probvae.evidence import Batch
from probvae.objectives.terms import terms
from probvae.training.parallel.devices import gather_rows, num_rows, replicate
from probvae.typing import Params, RngKey

MOST_SHOWN = 10  # rows, in a warning


class Summary(NamedTuple):
    """Means over data, in nats per datum; mean standard deviations of p(x|z) and q(z|x).

    The two scales are means over the first data of each batch.
    """

    elbo: jax.Array
    log_likelihood: jax.Array
    kl: jax.Array
    scale_x: jax.Array
    scale_z: jax.Array


def summary(vae: Any, params: Params, rng_key: RngKey, data: Any, batch_size: int) -> Summary:
    """Return the mean ELBO (one particle), its two parts and the two scales over data."""
    n = num_rows(data)
    index = jnp.asarray(count_validation_rows(n, batch_size))
    look = _validate(vae, params, rng_key, n, len(index))

    def gathered(total: Summary, row: jax.Array) -> tuple[Summary, None]:
        return look(total, row, gather_rows(data, jnp.minimum(row, n - 1))), None

    return jax.lax.scan(gathered, empty_summary(), index)[0]


def empty_summary() -> Summary:
    """Return the summary of no data, to add to."""
    return Summary(*[jnp.zeros(())] * 5)


def count_validation_rows(n: int, batch_size: int) -> np.ndarray:
    """Return the rows of all batches of n data, in order; those of n and above do not count."""
    batches = -(-n // batch_size)
    return np.arange(batches * batch_size).reshape(batches, batch_size)


@partial(compile_program, static_argnames=("run", "n"))
def validate_rows(
    run: Any, params: Params, rng_key: RngKey, total: Summary, rows: Any, batches: Batch, n: int
) -> Summary:
    """Add to a summary some of the batches that ``summary`` looks at; n is the number of all data."""
    look = _validate(run.vae.eval(), params, rng_key, n, -(-n // run.batch_size))
    return jax.lax.scan(lambda s, at: (look(s, *at), None), total, (rows, batches))[0]


def _validate(vae: Any, params: Params, rng_key: RngKey, n: int, batches: int) -> Any:
    """Return a function that adds a batch to a summary of ``n`` data in so many batches."""

    def look(total: Summary, row: jax.Array, batch: Batch) -> Summary:
        read = terms(jax.random.fold_in(rng_key, row[0]), params, vae.model, vae.guide, *batch)
        counts = (row < n) / n
        log_likelihood, kl = (counts * read.log_likelihood).sum(), (counts * read.total_kl).sum()
        scales = read.scale_x / batches, read.scale_z / batches
        new = Summary(log_likelihood - kl, log_likelihood, kl, *scales)
        return jax.tree.map(jnp.add, total, new)

    return look


@partial(compile_program, static_argnames=("run",))
def have_bounds(run: Any, params: Params, rng_key: RngKey, row: jax.Array, data: Any) -> jax.Array:
    """Tell which of a batch's rows have a finite bound, with the draws that ``summary`` takes."""
    batch = gather_rows(data, jnp.minimum(row, num_rows(data) - 1))
    return replicate(data, _have_bounds(run, params, rng_key, row[0], batch))


@partial(compile_program, static_argnames=("run",))
def batch_has_bounds(
    run: Any, params: Params, rng_key: RngKey, first: jax.Array, batch: Batch
) -> jax.Array:
    """Do what ``have_bounds`` does for a batch that was read from streamed data."""
    return _have_bounds(run, params, rng_key, first, batch)


def _have_bounds(run: Any, params: Params, rng_key: RngKey, first: Any, batch: Batch) -> jax.Array:
    vae = run.vae.eval()
    read = terms(jax.random.fold_in(rng_key, first), params, vae.model, vae.guide, *batch)
    return jnp.isfinite(read.log_likelihood - read.total_kl)


def warn_of_rows(rows: list[int], num_rows: int, epoch: int, elbo: float) -> None:
    """Warn that the validation ELBO is not finite, and name the rows whose bounds are not."""
    shown = ", ".join(map(str, rows[:MOST_SHOWN])) + (", ..." if len(rows) > MOST_SHOWN else "")
    cause = (
        f"{len(rows):,} of its rows have no finite bound: {shown}" if rows else "each row has a bound"
    )
    if len(rows) == num_rows:
        warn_user(
            f"the validation ELBO of epoch {epoch + 1} is {elbo}: none of its {num_rows:,} rows has a "
            "finite bound, so the cause is the fit and no single row. Epochs like this one are never "
            "the best. Lower the learning rate, or let the run do so: recovery=HalveRate()."
        )
        return
    warn_user(
        f"the validation ELBO of epoch {epoch + 1} is {elbo}: {cause}. Epochs like this one are never "
        "the best. Look at x and the context of these validation rows for fill values and outliers. "
        "Mask the entries, Batch(x, mask=...), drop the rows, or take a likelihood with heavier tails "
        "(StudentT()) or with a scale that cannot run to 0."
    )
