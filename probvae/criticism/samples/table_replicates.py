"""Tables of the same size as the data, drawn from the model, with the same missing cells."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from probvae.checks import check_draw_arguments
from probvae.data import Schema
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.fitted.table_results import read_schema
from probvae.typing import DataLike, RngKey


class Rows(NamedTuple):
    """A table as numbers ``(n, D)``, with NaN where missing, and its columns."""

    x: np.ndarray
    schema: Schema


def read_rows(fitted: Fitted, x: DataLike) -> tuple[Rows, np.ndarray | None]:
    """Return the rows of a table, and their context.

    Raises:
        ValueError: if the VAE was not trained on a table.
    """
    check_fitted(fitted)
    data = fitted.check_data(x)
    schema = read_schema(fitted.data)
    rows = np.asarray(data.x, np.float64)
    if data.mask is not None:
        rows = np.where(data.mask, rows, np.nan)
    return Rows(rows, schema), data.context


def draw_tables(
    fitted: Fitted, rows: Rows, context: np.ndarray | None, *, rng_key: RngKey, num_replicates: int
) -> Iterator[np.ndarray]:
    """Yield tables ``(n, D)`` of the model, x ~ p(x|z), z ~ p(z), with NaN where the data have it."""
    check_draw_arguments(rng_key, num_replicates=num_replicates)
    missing = np.isnan(rows.x)
    for i in range(num_replicates):
        key = jax.random.fold_in(rng_key, i)
        draws = fitted.sample(len(rows.x) if context is None else 1, rng_key=key, context=context)
        x = np.asarray(draws.x if context is None else draws.x[0], np.float64)
        yield np.where(missing, np.nan, x)
