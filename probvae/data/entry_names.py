"""Words for an entry of x in messages: of an array by its index, of a table by its column's name."""

import numpy as np

from probvae.data.column_types import Date
from probvae.data.schema import Schema


def name_entry(entry: int, schema: Schema | None) -> str:
    """Return ``entry 3``, or ``column "age"`` for a table."""
    return f"entry {entry}" if schema is None else f'column "{schema.names[entry]}"'


def remove_value(schema: Schema | None) -> str:
    """Return how a user marks one value as missing."""
    if schema is None:
        return "give a mask of x that is False there, Batch(x, mask=...)"
    return "leave that cell empty (None)"


def format_cell(value: float, entry: int, schema: Schema | None, digits: int) -> str:
    """Return a number of x as text. A date of a table is written as a date."""
    if schema is not None and isinstance(schema.modelled[entry], Date):
        return str(schema.modelled[entry].decode(np.array([value])).values[0])
    return f"{value:.{digits}g}"
