"""Read delimited text files (CSV, TSV) with columns of any type."""

import csv
import gzip
import importlib.util
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from probvae.data.cells import LEADING_ZERO, MISSING_TEXT, Cells, is_number, parse_text
from probvae.data.frames import Columns, check_names
from probvae.data.read_errors import DataError, check_size, explain_read_errors

SEPARATORS = (";", "\t", "|", " ")
WORDS_FOR = {"\t": "tab", " ": "space"}
BY_WORD = {"tab": "\t", "\\t": "\t", "space": " "}  # easier to type in a shell
LOOKED_AT = 20  # lines, to find the separator
TRUTH = {"True": True, "False": False, "TRUE": True, "FALSE": False, "true": True, "false": False}
SIGNATURES = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"PK\x03\x04": "", b"PAR1": ""}


class Line(NamedTuple):
    """A line of a file: its number, from 1, and its cells."""

    number: int
    cells: list[str]


def read_delimited(
    path: Path,
    *,
    sep: str | None = None,
    decimal: str = ".",
    encoding: str | None = None,
    header: bool = True,
    skip_rows: int = 0,
) -> Columns:
    """Return the columns of a delimited text file, or of one that gzip packed.

    A first line of numbers is no header, and the columns are then column_1, column_2 and so on. A
    column holds numbers if each of its cells is one, or is missing. True and False are booleans.
    Everything else is text.

    Args:
        path: the file.
        sep: the separator, by default a comma, or a tab for ``.tsv``. A space stands for any number of
            spaces. "tab" and "space" work, too.
        decimal: the decimal mark.
        encoding: the encoding, UTF-8 by default.
        header: False if the first line has no names.
        skip_rows: the number of lines before the header.

    Raises:
        DataError: the file is no table with these options. The message names the line and the option
            that helps.
    """
    # Python's csv module needs no further package. pandas.read_csv would guess missing cells and types
    # by rules of its own, and numpy.loadtxt knows no text.
    text = _read_text_file(path, encoding)
    name = path.name.removesuffix(".gz")
    separator = (
        BY_WORD.get(sep, sep) if sep is not None else "\t" if name.endswith((".tsv", ".tab")) else ","
    )
    if len(separator) != 1:
        raise DataError(f"sep expects one character, such as ';'; got {separator!r}.")
    if decimal not in (".", ","):
        raise DataError(f"decimal expects '.' or ','; got {decimal!r}.")
    with explain_read_errors(path, expected="a delimited text file"):
        lines = list(_iterate_lines(text, separator, skip_rows))
    if not lines:
        raise DataError(f"{path}: expected a table; got no line of text{_after(skip_rows)}.")
    _check_lines(path, text, lines, separator=separator, skip_rows=skip_rows)
    names, notes = _find_names(path, lines, header=header)
    body = lines[1:] if names else lines
    if not body:
        raise DataError(f"{path}: expected rows below the header; got no rows.")
    names = names or [f"column_{i + 1}" for i in range(len(lines[0].cells))]
    check_names(names)
    columns = zip(*(line.cells for line in body), strict=True)
    cells = {
        label: _read_column(column, decimal=decimal)
        for label, column in zip(names, columns, strict=True)
    }
    library = "pandas" if importlib.util.find_spec("pandas") else "none"
    return Columns(cells, library, notes=notes)


def _after(skip_rows: int) -> str:
    return f" after the first {skip_rows}, which skip_rows skips" if skip_rows else ""


def _read_text_file(path: Path, encoding: str | None) -> str:
    if path.is_dir():
        raise DataError(f"expected the path of a CSV file; got the folder {path}.")
    if not path.exists():
        raise DataError(f"there is no file {path}. Check the path; the working folder is {Path.cwd()}.")
    with explain_read_errors(path, expected="a delimited text file"):
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(path, "rb") as packed:
                raw = packed.read(2**33 + 1)
    check_size(len(raw), what=str(path))
    try:
        return raw.decode(encoding or "utf-8-sig")
    except LookupError:
        raise DataError(
            f"encoding {encoding!r} is unknown. Common ones: utf-8, latin-1, cp1252."
        ) from None
    except UnicodeDecodeError as error:
        raise _explain_encoding(path, raw, error, encoding) from None


def _explain_encoding(
    path: Path, raw: bytes, error: UnicodeDecodeError, encoding: str | None
) -> DataError:
    for signature, other in SIGNATURES.items():
        if raw.startswith(signature):
            fix = (
                f"It begins as {other} does: encoding={other!r}."
                if other
                else "It is a spreadsheet, an archive or a parquet file. Export it as CSV in UTF-8."
            )
            return DataError(f"{path} is not in {encoding or 'UTF-8'}. {fix}")
    line = raw[: error.start].count(b"\n") + 1
    before = raw[max(0, error.start - 12) : error.start].split(b"\n")[-1]
    after = raw[error.start : error.start + 12].split(b"\n")[0]
    around = (before + after).decode("latin-1").strip()
    return DataError(
        f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not in {encoding or 'UTF-8'}. In "
        f'latin-1, the text there is {around!r}. If that reads well, say encoding="latin-1" '
        "(--encoding latin-1 on the command line). Or save "
        "the file in UTF-8."
    )


def _iterate_lines(text: str, separator: str, skip_rows: int) -> Iterator[Line]:
    """Yield the lines that are not blank."""
    source = io.StringIO(text, newline="")
    for _ in range(skip_rows):
        source.readline()
    stripped = (line.strip(" \r\n") + "\n" for line in source) if separator == " " else source
    reader = csv.reader(stripped, delimiter=separator, skipinitialspace=True)
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield Line(reader.line_num + skip_rows, cells)


def _check_lines(
    path: Path, text: str, lines: Sequence[Line], *, separator: str, skip_rows: int
) -> None:
    """Raise `DataError` if lines have different numbers of cells, or only one by a wrong separator."""
    widths = Counter(len(line.cells) for line in lines)
    if len(widths) == 1 and 1 not in widths:
        _check_counts(path, lines)
        return
    other = _find_separator(text, separator, skip_rows)
    if other is not None:
        rows = [line.cells for line in list(_iterate_lines(text, other, skip_rows))[1:LOOKED_AT]]
        commas = any(
            not is_number(c) and is_number(c.replace(",", ".", 1)) for row in rows for c in row
        )
        extra = ', decimal=","' if commas else ""
        flag = f"--sep {WORDS_FOR.get(other, repr(other))}"
        raise DataError(
            f"{path}: with {separator!r} as separator, lines have {_list_widths(widths)}. The "
            f"cells seem to be separated by {other!r}: say sep={other!r}{extra} ({flag} on the command "
            "line)."
        )
    if len(widths) == 1:
        return
    usual = widths.most_common(1)[0][0]
    odd = next(line for line in lines if len(line.cells) != usual)
    start = f"{path}, line {odd.number}: expected {usual} cells, as in most lines; got {len(odd.cells)}"
    if odd is lines[0]:
        skipped = next(line.number for line in lines if len(line.cells) == usual) - 1
        raise DataError(
            f"{start}. The file seems to begin with something else than a header: say "
            f"skip_rows={skipped} (--skip-rows {skipped} on the command line)."
        )
    raise DataError(
        f"{start}: {separator.join(odd.cells)[:60]!r}. Give every line the same number of cells, and "
        f"put text that contains {separator!r} in double quotes."
    )


def _list_widths(widths: Counter[int]) -> str:
    if len(widths) == 1:
        width = next(iter(widths))
        return f"{width} cell{'s' * (width > 1)} each"
    return f"from {min(widths)} to {max(widths)} cells"


def _check_counts(path: Path, lines: Sequence[Line]) -> None:
    """Raise `DataError` for a first line of counts and class names, as scikit-learn's files have."""
    first = lines[0].cells
    if is_number(first[0]) and not all(map(is_number, first)) and float(first[0]) == len(lines) - 1:
        raise DataError(
            f"{path}, line {lines[0].number}: expected names of columns; got {','.join(first)[:60]!r}, "
            f"which begins with the number of rows. Say skip_rows={lines[0].number} "
            f"(--skip-rows {lines[0].number} on the command line)."
        )


def _find_separator(text: str, separator: str, skip_rows: int) -> str | None:
    """Return a separator by which the first lines have equal numbers of cells, more than one."""
    head = "".join(text.splitlines(keepends=True)[: LOOKED_AT + skip_rows])
    for other in SEPARATORS:
        if other == separator:
            continue
        try:
            lines = list(_iterate_lines(head, other, skip_rows))
        except csv.Error:
            continue
        widths = {len(line.cells) for line in lines}
        # Words in a cell are no columns, so spaces separate numbers only
        numbers = other != " " or all(is_number(cell) for line in lines[1:] for cell in line.cells)
        if len(widths) == 1 and widths != {1} and numbers:
            return other
    return None


def _find_names(
    path: Path, lines: Sequence[Line], *, header: bool
) -> tuple[list[str], tuple[str, ...]]:
    """Return the names in the first line, or no names, and a note on the choice."""
    first = [cell.strip() for cell in lines[0].cells]
    if not header:
        return [], ()
    if all(is_number(cell) or cell in MISSING_TEXT for cell in first):
        note = (
            "The first line of the file holds numbers, so it counts as a row. The columns are named "
            "column_1, column_2 and so on."
        )
        return [], (note,)
    if any(map(is_number, first)):
        below = [{line.cells[i].strip() for line in lines[1:]} for i in range(len(first))]
        texts = [i for i, cell in enumerate(first) if not is_number(cell) and cell in below[i]]
        if texts:
            raise DataError(
                f"{path}, line {lines[0].number}: expected names of columns; got numbers, and "
                f"{first[texts[0]]!r}, which other rows have in column {texts[0] + 1}, too. Say "
                "header=False (--no-header on the command line)."
            )
    blank = [i + 1 for i, cell in enumerate(first) if not cell]
    return [cell or f"column_{i + 1}" for i, cell in enumerate(first)], (
        (f"Columns without a name are named by their place: {', '.join(map(str, blank))}.",)
        if blank
        else ()
    )


def _read_column(column: Sequence[str], *, decimal: str) -> Cells:
    numbers = _read_numbers(column) if decimal == "." else None
    if numbers is not None:
        return numbers
    values = np.empty(len(column), object)
    values[:] = column
    if decimal != ".":
        values[:] = [_replace_decimal(cell.strip(), decimal) for cell in column]
    cells = parse_text(values, np.zeros(len(column), bool), "str")
    if cells.values.dtype.kind != "O":
        return cells._replace(dtype=str(cells.values.dtype))
    if set(cells.observed) <= set(TRUTH) and not cells.missing.all():
        return Cells(np.array([TRUTH.get(cell, False) for cell in cells.values]), cells.missing, "bool")
    return cells


def _replace_decimal(cell: str, decimal: str) -> str:
    number = cell.replace(decimal, ".", 1)
    return number if decimal in cell and is_number(number) else cell


def _read_numbers(column: Sequence[str]) -> Cells | None:
    """Return a column of complete numbers by NumPy, or None. It is the fast path."""
    texts = np.array(column)
    for dtype in (np.int64, np.float64):
        try:
            values = texts.astype(dtype)
        except (ValueError, OverflowError):
            continue
        if np.isnan(values).any() or any("_" in cell or LEADING_ZERO.match(cell) for cell in column):
            return None
        return Cells(values, np.zeros(len(values), bool), str(np.dtype(dtype)))
    return None
