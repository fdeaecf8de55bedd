"""A reader of CSV tables of numbers, one datum per row."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from probvae.data.read_errors import DataError, check_size, explain_read_errors
from probvae.faq import cite

ENCODING = "utf-8-sig"
# cells that pandas.read_csv reads as missing. R and spreadsheets write them too.
MISSING_CELLS = {
    *("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA"),
    *("NaN", "-NaN", "nan", "-nan", "NULL", "null", "None"),
}


def read_csv(path: Path) -> np.ndarray:
    """Read a comma-separated table as float32 (rows, columns).

    The first row is a header if it has names, and none of its cells is a number.

    Raises:
        ValueError: another cell is missing or not a number, or a row has another number of cells. The
            message names line and column.
    """
    check_size(path.stat().st_size, what=str(path))
    with explain_read_errors(path, expected="comma-separated numbers in UTF-8"):
        header = _read_header(path)
        num_skipped = 1 if header else 0
        if next(islice(_iterate_rows(path), num_skipped, None), None) is None:
            raise DataError(f"{path}: expected at least one row of numbers; got none.")
        with suppress(ValueError):
            table = _parse_numbers(path, skip=num_skipped)
            if not np.isnan(table).any():
                return table
        raise _find_error(path, header=header)


def _parse_numbers(path: Path, *, skip: int) -> np.ndarray:
    with path.open(encoding=ENCODING, newline="") as lines, np.errstate(over="ignore"):
        rows = (line for line in lines if line.strip())
        return np.loadtxt(
            rows, np.float32, delimiter=",", quotechar='"', comments=None, ndmin=2, skiprows=skip
        )


def _iterate_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank."""
    with path.open(encoding=ENCODING, newline="") as lines:
        reader = csv.reader(lines)
        for cells in reader:
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                yield reader.line_num, cells


def _read_header(path: Path) -> list[str]:
    cells = next(_iterate_rows(path), (0, []))[1]
    no_names = all(cell.strip() in MISSING_CELLS for cell in cells)
    return [] if no_names or any(_is_number(cell) for cell in cells) else cells


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _find_error(path: Path, *, header: list[str]) -> DataError:
    """Return the error for the first row that NumPy cannot parse. NumPy's own names no cell."""
    width = 0
    for line, cells in islice(_iterate_rows(path), 1 if header else 0, None):
        width = width or len(cells)
        if len(cells) != width:
            expected = f"{width} cells, as in the first row of numbers"
            got = f"{len(cells)}. Give every row the same number of cells."
            return DataError(f"{path}, line {line}: expected {expected}; got {got}")
        for column, cell in enumerate(cells):
            if not _is_number(cell) or np.isnan(float(cell)):
                if any(mark in other for other in cells for mark in ";\t"):
                    fix = "Export the table with commas between cells and points in numbers."
                    got = f"{','.join(cells)[:40]!r}. {fix}"
                    return DataError(
                        f"{path}, line {line}: expected cells separated by commas; got {got}"
                    )
                name = f" ({header[column]})" if column < len(header) else ""
                place = f"{path}, line {line}, column {column + 1}{name}"
                fix = _suggest_fix(cell, path, header=header)
                return DataError(f"{place}: expected a number; got {cell!r}. {fix}")
    return DataError(f"{path}: expected comma-separated numbers, one row per line.")


def _suggest_fix(cell: str, path: Path, *, header: list[str]) -> str:
    if cell.strip() not in MISSING_CELLS and not _is_number(cell):
        return (
            "Read the file as a table, which has columns of any type: "
            f"probvae.data.Table({path.name!r}). Or drop that column."
        )
    options = "" if header else ", header=None"
    if cell[:1].isspace():
        options += ", skipinitialspace=True"
    return (
        "The cell seems missing. Read the table with pandas, and mark missing entries: frame = "
        f"pandas.read_csv({path.name!r}{options}).convert_dtypes(), then fit(vae, frame, ...). For an "
        f"array, use Batch(x, mask=np.isfinite(x)). {cite('nan-in-the-data')}"
    )
