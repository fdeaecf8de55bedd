"""Read what a user gives as a table: a frame, a dict of columns, or a file."""

import os
from pathlib import Path
from typing import Any

from probvae.data.frames import Columns, read_frame
from probvae.data.read_errors import DataError


def read_source(
    source: Any,
    *,
    sep: str | None = None,
    decimal: str = ".",
    encoding: str | None = None,
    header: bool = True,
    skip_rows: int = 0,
) -> Columns:
    """Return the columns of a frame, a dict of columns, or a CSV or parquet file."""
    if not isinstance(source, str | os.PathLike):
        return read_frame(source)
    path = Path(source)
    if path.suffix in (".parquet", ".pq"):
        raise DataError("parquet is not read yet")
    raise DataError("files are not read yet")
