"""`load_table`: the rows of a file as tables for training, validation and testing."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probvae.data.column_inference import TypeChoice
from probvae.data.dataset import Data
from probvae.data.files import RULE, split_rows
from probvae.data.read_errors import DataError
from probvae.data.table import Table

TABLE_SUFFIXES = (
    *(f"{kind}{packed}" for kind in (".csv", ".tsv", ".tab", ".txt") for packed in ("", ".gz")),
    *(".parquet", ".pq"),
)
ARRAYS = (".npy", ".npz", ".idx", ".idx.gz", "-ubyte", "-ubyte.gz")


def is_table_file(path: str | os.PathLike[str]) -> bool:
    """Tell whether the name of a file is that of a table: CSV, TSV or parquet."""
    return Path(path).name.lower().endswith(TABLE_SUFFIXES)


def load_table(
    path: str | os.PathLike[str],
    *,
    types: Mapping[str, TypeChoice] | None = None,
    **options: Any,
) -> Data:
    """Load a CSV, TSV or parquet file as tables for training, validation and testing.

    The rows are shuffled and split 80 / 10 / 10, as `load` does. Types, levels, means and scales come
    from the training rows only.

    Args:
        path: the file.
        types: a type for some columns, by name, as for `Table`.
        options: how to read the file: ``sep``, ``decimal``, ``encoding``, ``header``, ``skip_rows``.

    Returns:
        data with ``tables`` and a ``schema``. The arrays have NaN where a cell is missing.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is no table, or has bad columns. The message names each.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(
            f"expected a table at {file.absolute()}; got nothing. Give the path of a CSV, TSV or "
            "parquet file."
        )
    if file.is_dir() or file.name.lower().endswith(ARRAYS):
        got = "a folder" if file.is_dir() else "a file of arrays"
        raise DataError(
            f"{file}: expected a table, such as a file that ends in .csv, .tsv or .parquet; got {got}. "
            "Use a model file whose function takes an event_shape, such as models/vae.py."
        )
    table = Table(file, types=types, **options)
    rows = split_rows(len(table), what=str(file))
    # The types of the whole file are not used: a level, or a maximum, that only test rows have must
    # not be known in training.
    train = Table(table.take(rows["train"]), types=types)
    tables = {
        split: Table(table.take(index), types=train.schema) if split != "train" else train
        for split, index in rows.items()
    }
    return make_table_data(file.name, tables, description=f"table of {file}; {RULE}")


def make_table_data(name: str, tables: Mapping[str, Table], *, description: str = "") -> Data:
    """Return tables as data.

    Args:
        name: the name of the data.
        tables: "train", "test", and perhaps "valid", all with the schema of "train".
        description: what the data are, and how they were split.
    """
    return Data(
        name,
        train=tables["train"].x,
        valid=tables["valid"].x if "valid" in tables else None,
        test=tables["test"].x,
        tables=dict(tables),
        description=description,
    )
