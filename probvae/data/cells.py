"""The cells of one column: their values as one NumPy array, and which of them are missing."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from probvae.data.tables import MISSING_CELLS

MISSING_TEXT = MISSING_CELLS | {"?", "NaT"}
SHOWN = 3  # cells that a message quotes
CORRECT = "Correct these cells, or empty them: an empty cell counts as missing."
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
# 007 is a code, not the number 7
LEADING_ZERO = re.compile(r"[+-]?0\d+")


class Cells(NamedTuple):
    """The cells of one column.

    Fields:
        values: (n,) booleans, integers, floats, datetime64, or objects: text, or a mix.
        missing: (n,) bool, True where a cell is missing. The value there means nothing.
        dtype: the data type in the words of the frame's library, such as "Int64".
        levels: the levels that a categorical data type declares, in its order.
        ordered: True if the declared levels have an order.
        question_marks: the number of missing cells that were written as "?".
        has_fractions: True if the rows of the frame that these were taken from have a number that is
            not whole. These rows alone may not show it.
    """

    values: np.ndarray
    missing: np.ndarray
    dtype: str
    levels: tuple[str | int | float | bool, ...] | None = None
    ordered: bool = False
    question_marks: int = 0
    has_fractions: bool = False

    def take(self, rows: np.ndarray) -> "Cells":
        """Return the cells of some rows."""
        fractions = self.has_fractions
        if self.values.dtype.kind == "f":
            observed = self.observed
            fractions = fractions or bool((observed != np.rint(observed)).any())
        values, missing = self.values[rows], self.missing[rows]
        return self._replace(values=values, missing=missing, has_fractions=fractions)

    @property
    def observed(self) -> np.ndarray:
        """The values that are not missing."""
        return self.values[~self.missing]


NO_VALUE = ("NAType", "NaTType")  # of pandas


def read_cells(values: np.ndarray, missing: np.ndarray, dtype: str) -> Cells:
    """Return the cells of an array of NumPy.

    Text that is a number becomes a number, and Python's dates become datetime64. Leading and trailing
    blanks of text are stripped, and text such as ``"NA"`` or ``"?"`` is missing.

    Args:
        values: (n,) array of any data type.
        missing: (n,) bool. NaN and NaT are missing in addition.
        dtype: the data type in the words of the frame's library.
    """
    if values.dtype.kind == "f":
        return Cells(values, missing | np.isnan(values), dtype)
    if values.dtype.kind == "M":
        return Cells(values, missing | np.isnat(values), dtype)
    if values.dtype.kind in "US":
        values = values.astype(object)
    if values.dtype.kind == "O":
        return _read_objects(values, missing, dtype)
    return Cells(values, missing, dtype)


def _read_objects(values: np.ndarray, missing: np.ndarray, dtype: str) -> Cells:
    kinds = set(map(type, values[~missing]))
    if any(issubclass(kind, float | Decimal) or kind.__name__ in NO_VALUE for kind in kinds):
        # NaN, and pandas.NA and pandas.NaT, which cannot be compared
        blank = [type(v).__name__ in NO_VALUE or (not isinstance(v, str) and v != v) for v in values]
        missing = missing | np.array(blank, bool)
        kinds = set(map(type, values[~missing]))
    if kinds and all(issubclass(kind, str) for kind in kinds):
        return parse_text(values, missing, dtype)
    if kinds and all(issubclass(kind, bool | np.bool_) for kind in kinds):
        return Cells(_convert(values, missing, bool), missing, dtype)
    if kinds and all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        return Cells(_convert(values, missing, np.int64), missing, dtype)
    number = int | float | Decimal | np.number
    if kinds and all(issubclass(kind, number) and kind is not bool for kind in kinds):
        return Cells(_convert(values, missing, np.float64), missing, dtype)
    if kinds and all(issubclass(kind, date) for kind in kinds):
        is_time = any(issubclass(kind, datetime) for kind in kinds)
        dates = np.full(len(values), "NaT", "M8[us]" if is_time else "M8[D]")
        dates[~missing] = values[~missing].astype(dates.dtype)
        return Cells(dates, missing, f"{dtype} of {'datetime' if is_time else 'date'}")
    return Cells(values, missing, dtype)


def _convert(values: np.ndarray, missing: np.ndarray, dtype: type) -> np.ndarray:
    out: np.ndarray = np.zeros(len(values), dtype)
    out[~missing] = values[~missing].astype(dtype)
    return out


def parse_text(values: np.ndarray, missing: np.ndarray, dtype: str) -> Cells:
    """Return the cells of a column of text: numbers if all of them are, text if not.

    Text with a leading zero, such as the postal code 01234, stays text.
    """
    texts = [None if hole else str(text).strip() for text, hole in zip(values, missing, strict=True)]
    missing = np.fromiter((text is None or text in MISSING_TEXT for text in texts), bool, len(texts))
    question_marks = sum(text == "?" for text in texts)
    clean = np.empty(len(texts), object)
    clean[:] = [None if hole else text for text, hole in zip(texts, missing, strict=True)]
    # Levels repeat, so each is looked at once. A column of n numbers has up to n levels.
    levels = set(clean[~missing])
    if levels and all(map(is_number, levels)):
        clean = _parse_numbers(clean, missing)
    return Cells(clean, missing, dtype, question_marks=question_marks)


def is_number(text: object) -> bool:
    """Tell whether text is a number, written as computers do: 3, -0.5, 1e6, inf. 007 is a code."""
    return isinstance(text, str) and bool(NUMBER.fullmatch(text)) and not LEADING_ZERO.fullmatch(text)


def _parse_numbers(texts: np.ndarray, missing: np.ndarray) -> np.ndarray:
    for dtype in (np.int64, np.float64):
        try:
            return _convert(texts, missing, dtype)
        except (ValueError, OverflowError):
            continue
    raise AssertionError("each text is a number")


def list_cells(cells: Cells, rows: Iterable[int | np.integer]) -> str:
    """Return the first few of some rows and their values, for an error message."""
    rows = list(rows)
    some = ", ".join(f"row {row}: {_show(cells.values[row])}" for row in rows[:SHOWN])
    more = len(rows) - SHOWN
    return some + (f" and {more:,} more" if more > 0 else "")


def _show(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)
