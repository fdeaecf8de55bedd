"""Results of a VAE that was trained on a table, as frames."""

import os
from typing import Any

from probvae.data import Schema, Table
from probvae.data.frames import is_frame
from probvae.data_description import DataDescription
from probvae.evidence import Batch
from probvae.fitted.queries import Samples
from probvae.typing import DataLike


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
            "to_frame expects a VAE that was trained on a table, fit(vae, data.Table(frame), ...). "
            "This one was trained on an array, so it knows no column names."
        )
    return schema


def is_table(x: DataLike, description: DataDescription | None) -> bool:
    """Return whether x is a table in the columns of the training table."""
    if description is None or description.schema is None:
        return False
    x = x.x if isinstance(x, Batch) else x
    return isinstance(x, Table | str | os.PathLike) or is_frame(x)


def find_index(x: DataLike) -> Any:
    """Return the index of a pandas frame, or None."""
    x = x.x if isinstance(x, Batch) else x
    frame = x.frame if isinstance(x, Table) else x
    return getattr(frame, "index", None) if hasattr(frame, "iloc") else None
