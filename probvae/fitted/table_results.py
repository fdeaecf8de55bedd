"""Results of a VAE that was trained on a table, as frames."""

import os
import warnings
from typing import Any

import numpy as np

from probvae.data import Schema, Table
from probvae.data.frames import is_frame
from probvae.data.schema import read_columns
from probvae.data_description import DataDescription
from probvae.evidence import Batch
from probvae.fitted.queries import Samples
from probvae.typing import ArrayLike, DataLike


class TableSamples(Samples):
    """Draws from a VAE that was trained on a table.

    Attributes:
        schema: the columns of the table.
    """

    schema: Schema

    @classmethod
    def of(cls, draws: Samples, schema: Schema) -> "TableSamples":
        """Return draws with the columns of their table."""
        samples = cls(*draws)
        samples.schema = schema
        return samples

    @property
    def frame(self) -> Any:
        """The draws as a frame with the names, types and levels of the table."""
        return self.schema.decode(self.x.reshape(-1, self.x.shape[-1]))


def read_schema(description: DataDescription | None) -> Schema:
    """Return the columns of the training table. Raise ValueError if the training data were an array."""
    schema = None if description is None else description.schema
    if schema is None:
        raise ValueError(
            "expected a VAE that was trained on a table, fit(vae, data.Table(frame), ...). This one "
            "was trained on an array, whose columns have no names or types."
        )
    return schema


def is_table(x: DataLike, description: DataDescription | None) -> bool:
    """Return whether x is a table in the columns of the training table."""
    if description is None or description.schema is None:
        return False
    x = x.x if isinstance(x, Batch) else x
    return isinstance(x, Table | str | os.PathLike) or is_frame(x)


class CompletedFrames:
    """Completed data as frames: observed cells as they were given, and the columns that name rows.

    Args:
        schema: the columns of the training table.
        x: the table that was given, with gaps.
        mask: True where x is observed, ``(n, columns)``.
    """

    def __init__(self, schema: Schema, x: DataLike, mask: np.ndarray) -> None:
        given = x.x if isinstance(x, Batch) else x
        self._schema, self._index, self._mask = schema, find_index(x), np.asarray(mask)
        self._columns = read_columns(given)
        with warnings.catch_warnings():  # the query has warned of unknown levels already
            warnings.simplefilter("ignore")
            self._x = schema.encode_columns(self._columns).x

    def __call__(self, x: ArrayLike) -> Any:
        # x went through float32, which has other digits than the file.
        completed = np.where(self._mask, self._x, np.asarray(x, np.float64))
        return self._schema.decode(completed, self._index, self._columns.cells)


def find_index(x: DataLike) -> Any:
    """Return the index of a pandas frame, or None."""
    x = x.x if isinstance(x, Batch) else x
    frame = x.frame if isinstance(x, Table) else x
    return getattr(frame, "index", None) if hasattr(frame, "iloc") else None
