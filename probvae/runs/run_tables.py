"""The table of a run: its file, its options and its columns."""

import csv
import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from probvae.data import Data
from probvae.data.table_data import load_table


def load_run_table(
    source: str | os.PathLike, options: Mapping[str, Any], *, binarize: str | None
) -> Data:
    """Load the file of a run as tables.

    Args:
        source: the path of the file.
        options: arguments of ``data.Table`` by name.
        binarize: as in ``Settings``. A table has no grey levels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no table, or ``binarize`` is "static" or "dynamic".
    """
    if binarize in ("static", "dynamic"):
        raise ValueError(f"binarize={binarize!r} expects grey levels; got a table, {source}.")
    return load_table(source, **options)


def describe_columns(data: Data) -> str:
    """Return the number of columns of a table by type, and the share of missing cells."""
    table = data.tables["train"]
    counts: dict[str, int] = {}
    for column in table.schema.columns:
        kind = type(column).__name__
        counts[kind] = counts.get(kind, 0) + 1
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{len(table.schema.columns)} columns: {kinds}; {1 - table.mask.mean():.1%} of cells missing"


def record_columns(data: Data) -> list[dict[str, Any]]:
    """Return name, type, range or levels, and missing share of each column, for a run's record."""
    table = data.tables["train"]
    missing = dict(zip(table.schema.names, (1 - table.mask.mean(axis=0)).tolist(), strict=True))
    return [
        {
            "name": column.name,
            "type": type(column).__name__,
            "range": column.describe(),
            "missing": missing.get(column.name),
        }
        for column in table.schema.columns
    ]


def frame_to_csv(frame: Any) -> str:
    """Return a frame of pandas, or a dict of arrays, as CSV. Missing cells are empty.

    Numbers have seven digits, as those of JAX have.
    """
    if hasattr(frame, "to_csv"):
        return str(frame.to_csv(index=False, lineterminator="\n", float_format="%.7g"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame)
    for cells in zip(*(np.asarray(column).tolist() for column in frame.values()), strict=True):
        writer.writerow("" if cell is None or cell != cell else cell for cell in cells)
    return text.getvalue()
