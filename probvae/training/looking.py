"""What an epoch sees of the validation data: means over all of them, whole or a part at a time."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.evidence import Batch
from probvae.objectives.terms import terms
from probvae.tracing import compiled
from probvae.training.devices import num_rows, taken
from probvae.typing import Params, RngKey


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
    index = jnp.asarray(rows_looked_at(n, batch_size))
    look = _look(vae, params, rng_key, n, len(index))

    def gathered(total: Summary, row: jax.Array) -> tuple[Summary, None]:
        return look(total, row, taken(data, jnp.minimum(row, n - 1))), None

    return jax.lax.scan(gathered, nothing(), index)[0]


def nothing() -> Summary:
    """Return the summary of no data, to add to."""
    return Summary(*[jnp.zeros(())] * 5)


def rows_looked_at(n: int, batch_size: int) -> np.ndarray:
    """Return the rows of all batches of n data, in order; those of n and above do not count."""
    batches = -(-n // batch_size)
    return np.arange(batches * batch_size).reshape(batches, batch_size)


@partial(compiled, static_argnames=("run", "n"))
def some_looked_at(
    run: Any, params: Params, rng_key: RngKey, total: Summary, rows: Any, batches: Batch, n: int
) -> Summary:
    """Add to a summary some of the batches that ``summary`` looks at; n is the number of all data."""
    look = _look(run.vae.eval(), params, rng_key, n, -(-n // run.batch_size))
    return jax.lax.scan(lambda s, at: (look(s, *at), None), total, (rows, batches))[0]


def _look(vae: Any, params: Params, rng_key: RngKey, n: int, batches: int) -> Any:
    """Return a function that adds a batch to a summary of ``n`` data in so many batches."""

    def look(total: Summary, row: jax.Array, batch: Batch) -> Summary:
        read = terms(jax.random.fold_in(rng_key, row[0]), params, vae.model, vae.guide, *batch)
        counts = (row < n) / n
        log_likelihood, kl = (counts * read.log_likelihood).sum(), (counts * read.total_kl).sum()
        scales = read.scale_x / batches, read.scale_z / batches
        new = Summary(log_likelihood - kl, log_likelihood, kl, *scales)
        return jax.tree.map(jnp.add, total, new)

    return look
