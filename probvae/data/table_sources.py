"""Read what a user gives as a table: a frame, a dict of columns, or a file."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from probvae.data.delimited_files import read_delimited
from probvae.data.frames import Columns, read_frame
from probvae.data.read_errors import DataError, check_size, explain_read_errors


def read_source(
    source: Any,
    *,
    sep: str | None = None,
    decimal: str = ".",
    encoding: str | None = None,
    header: bool = True,
    skip_rows: int = 0,
) -> Columns:
    """Return the columns of a frame, a dict of columns, or a CSV or parquet file.

    The options are those of a CSV file. See `read_delimited`.
    """
    if not is_path(source):
        return read_frame(source)
    path = Path(source).expanduser()
    if path.suffix in (".parquet", ".pq"):
        return _read_parquet(path)
    return read_delimited(
        path, sep=sep, decimal=decimal, encoding=encoding, header=header, skip_rows=skip_rows
    )


def is_path(source: object) -> bool:
    """Tell whether a table is given as a path."""
    return isinstance(source, str | os.PathLike)


def _read_parquet(path: Path) -> Columns:
    if not path.is_file():
        raise DataError(f"there is no file {path}. Check the path; the working folder is {Path.cwd()}.")
    check_size(path.stat().st_size, what=str(path))
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError(
            "reading parquet files needs pyarrow. Install it: pip install 'probvae[parquet]'"
        ) from None
    with explain_read_errors(path, expected="a parquet file"):
        table = parquet.read_table(path)
        if importlib.util.find_spec("pandas"):
            return read_frame(table.to_pandas())
        columns = {}
        for name, column in zip(table.column_names, table.columns, strict=True):
            values = column.to_numpy()
            columns[name] = np.ma.array(values, mask=np.asarray(column.is_null()))
        return read_frame(columns)
