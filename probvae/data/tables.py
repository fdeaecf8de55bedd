"""Tables of numbers: CSV, one datum a row."""

import csv
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from probvae.data.read_errors import DataError, check_size, reading

ENCODING = "utf-8-sig"


def read_csv(path: Path) -> np.ndarray:
    """Read a comma-separated table as float32 (rows, columns).

    The first row is a header where none of its cells is a number. ValueError, with line and column,
    where another cell is not a number or a row has another number of cells.
    """
    check_size(path.stat().st_size, what=str(path))
    with reading(path, expected="comma-separated numbers in UTF-8"):
        header = _header(path)
        _check_any_row(path, header=header)
        with suppress(ValueError):
            return _parse(path, skip=1 if header else 0)
        raise _first_fault(path, header=header)


def _parse(path, *, skip):
    with path.open(encoding=ENCODING, newline="") as lines, np.errstate(over="ignore"):
        rows = (line for line in lines if line.strip())
        return np.loadtxt(
            rows, np.float32, delimiter=",", quotechar='"', comments=None, ndmin=2, skiprows=skip
        )


def _rows(path):
    """Yield line number and cells of each row that is not blank."""
    with path.open(encoding=ENCODING, newline="") as lines:
        reader = csv.reader(lines)
        for cells in reader:
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                yield reader.line_num, cells


def _header(path):
    cells = next(_rows(path), (0, []))[1]
    return [] if any(_is_number(cell) for cell in cells) else cells


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _check_any_row(path, *, header):
    rows = _rows(path)
    if header:
        next(rows)
    if next(rows, None) is None:
        raise DataError(f"{path}: expected at least one row of numbers, got none")


def _first_fault(path, *, header):
    width = 0
    for line, cells in islice(_rows(path), 1 if header else 0, None):
        width = width or len(cells)
        if len(cells) != width:
            return DataError(
                f"{path}, line {line}: expected {width} cells, as in the first row of numbers, got "
                f"{len(cells)}; usual fix: give every row the same number of cells"
            )
        for column, cell in enumerate(cells):
            if not _is_number(cell):
                if _other_separator(cells):
                    return DataError(
                        f"{path}, line {line}: expected cells separated by commas, got "
                        f"{','.join(cells)[:40]!r}; usual fix: export it with commas between cells and "
                        "points in numbers"
                    )
                name = f" ({header[column]})" if column < len(header) else ""
                return DataError(
                    f"{path}, line {line}, column {column + 1}{name}: expected a number, got "
                    f"{cell!r}; usual fix: {_fix(cell)}"
                )
    return DataError(f"{path}: expected comma-separated numbers, one row a line")


def _other_separator(cells):
    return any(mark in cell for cell in cells for mark in ";\t")


def _fix(cell):
    if cell.strip():
        return "drop that column, or encode it as numbers"
    return (
        "leave out rows with empty cells; or fill them, and say in Python which entries are observed: "
        "fit(vae, Batch(x, mask=mask), ...)"
    )
