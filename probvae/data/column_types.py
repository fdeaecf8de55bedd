"""The types of a table's columns: how cells become numbers, and numbers cells.

A column type knows one column: its name, the data type that the file has for it, and its levels or
range. ``encode`` returns numbers in the file's own units. ``decode`` is its inverse.
"""

import re
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from probvae.checks import Checked
from probvae.data.cells import CORRECT, Cells, list_cells
from probvae.data.read_errors import DataError

Level = str | int | float | bool
Column = TypeVar("Column", bound="AbstractColumn")
# Microseconds, because float64 days resolve no nanosecond after 1970, and datetime64[ns] ends in 2262.
DAY = 86_400_000_000
UNITS = {"D": DAY, "h": DAY // 24, "m": DAY // 1440, "s": 10**6, "ms": 10**3, "us": 1}
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
SHOWN_LEVELS = 6


@dataclass(frozen=True)
class AbstractColumn(Checked):
    """The type of a column.

    Args:
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type in the frame, in its library's words. ``Table`` fills it in.
    """

    modelled: ClassVar[bool] = True  # a column of x

    name: str = field(default="", kw_only=True)
    dtype: str = field(default="", kw_only=True)

    def encode(self, cells: Cells) -> np.ndarray:
        """Return the cells as numbers (n,) float64, with NaN where missing or of an unknown level.

        Raises:
            DataError: a cell is of another type, or outside the support, such as a negative count.
        """
        raise NotImplementedError

    def decode(self, x: np.ndarray) -> Cells:
        """Return numbers (n,) as cells. NaN becomes a missing cell."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return the range or the levels."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the type as a dict for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"type": type(self).__name__} | values

    def refuse(self, what: str) -> DataError:
        """Return an error about the column."""
        return DataError(f'Column "{self.name}": {what}')


@dataclass(frozen=True)
class AbstractNumber(AbstractColumn):
    """A column of numbers.

    Args:
        whole: True if all numbers are whole. ``decode`` then rounds to whole numbers.
        low: the lowest number of the training rows.
        high: their highest number.
        mean: their mean.
        sd: their standard deviation.
    """

    support: ClassVar[str] = "a number"

    whole: bool = field(default=False, kw_only=True)
    low: float = field(default=0.0, kw_only=True)
    high: float = field(default=0.0, kw_only=True)
    mean: float = field(default=0.0, kw_only=True)
    sd: float = field(default=1.0, kw_only=True)

    def encode(self, cells: Cells) -> np.ndarray:
        x = self._to_floats(cells)
        outside = np.flatnonzero(~cells.missing & ~(np.isfinite(x) & self._is_inside(x)))
        if len(outside):
            other = f' Or read the table with types={{"{self.name}": "real"}}.'
            raise self.refuse(
                f"expected {self.support} in each cell; got {list_cells(cells, outside)}. {CORRECT}"
                f"{other if np.isfinite(x[outside]).all() else ''}"
            )
        return x

    def _to_floats(self, cells: Cells) -> np.ndarray:
        if cells.missing.all():
            return np.full(len(cells.missing), np.nan)
        if cells.values.dtype.kind not in "buif":
            wrong = ~cells.missing
            if cells.values.dtype.kind == "O":
                wrong &= np.array([not _is_real(cell) for cell in cells.values], bool)
            if wrong.any():
                raise self.refuse(
                    f"expected {self.support} in each cell; got "
                    f"{list_cells(cells, np.flatnonzero(wrong))}. {CORRECT}"
                )
        x = np.where(cells.missing, 0, cells.values).astype(np.float64)
        x[cells.missing] = np.nan
        return x

    def _is_inside(self, x: np.ndarray) -> np.ndarray:
        return np.ones(len(x), bool)

    def decode(self, x: np.ndarray) -> Cells:
        x = np.array(x, np.float64)
        missing = np.isnan(x)
        if self.whole:
            x = self._clip(np.rint(x))
        return Cells(x, missing, self.dtype)

    def _clip(self, x: np.ndarray) -> np.ndarray:
        return x

    def describe(self) -> str:
        unit = " (whole)" if self.whole else ""
        return f"{_format(self.low)} to {_format(self.high)}{unit}"


@dataclass(frozen=True)
class Real(AbstractNumber):
    """Real numbers, such as temperatures. If all are whole, ``decode`` rounds to whole numbers.

    Args:
        whole: True if all numbers are whole. ``decode`` then rounds to whole numbers.
        low: the lowest number of the training rows, in the file's units, as are the next three.
        high: their highest number.
        mean: their mean.
        sd: their standard deviation.
        name: the name of the column. ``Table`` fills it in.
        origin: what x is a distance from, in the file's units. It is 0, or the rounded mean where the
            numbers are so far from 0 that float32 has too few digits for their spread.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.

    ``Table`` infers them all. You give at most the class, as in ``types={"age": data.Real}``.
    """

    origin: float = field(default=0.0, kw_only=True)

    def encode(self, cells: Cells) -> np.ndarray:
        return super().encode(cells) - self.origin

    def decode(self, x: np.ndarray) -> Cells:
        return super().decode(np.asarray(x, np.float64) + self.origin)


@dataclass(frozen=True)
class Positive(AbstractNumber):
    """Numbers above 0, such as amounts. If all are whole, ``decode`` rounds to 1, 2 and so on.

    Args:
        whole: True if all numbers are whole. ``decode`` then rounds to whole numbers.
        low: the lowest number of the training rows, in the file's units, as are the next three.
        high: their highest number.
        mean: their mean.
        sd: their standard deviation.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.

    ``Table`` infers them all. You give at most the class, as in ``types={"age": data.Positive}``.
    """

    support: ClassVar[str] = "a number above 0"

    def _is_inside(self, x: np.ndarray) -> np.ndarray:
        return x > 0

    def _clip(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 1)


@dataclass(frozen=True)
class Count(AbstractNumber):
    """Counts: 0, 1, 2 and so on.

    Args:
        whole: always True.
        low: the lowest number of the training rows, in the file's units, as are the next three.
        high: their highest number.
        mean: their mean.
        sd: their standard deviation.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.

    ``Table`` infers them all. You give at most the class, as in ``types={"visits": data.Count}``.
    """

    support: ClassVar[str] = "a whole number >= 0"

    whole: bool = field(default=True, kw_only=True)

    def _is_inside(self, x: np.ndarray) -> np.ndarray:
        return (x >= 0) & (x == np.rint(x))

    def _clip(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)


@dataclass(frozen=True)
class AbstractLevels(AbstractColumn):
    """A column of levels.

    Args:
        levels: the levels. A cell becomes the index of its level.
    """

    levels: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        levels = tuple(self.levels)
        if len(set(levels)) != len(levels):
            raise ValueError(f"levels must be distinct; got {levels}.")
        object.__setattr__(self, "levels", levels)

    def encode(self, cells: Cells) -> np.ndarray:
        x = np.full(len(cells.missing), np.nan)
        observed = cells.observed
        if observed.dtype.kind == "M":
            observed = np.datetime_as_string(observed)
        if observed.dtype.kind == "O" or not self.levels or isinstance(self.levels[0], str):
            index = {level: i for i, level in enumerate(self.levels)}
            texts = bool(self.levels) and all(isinstance(level, str) for level in self.levels)
            if texts and not all(kind is str for kind in set(map(type, observed))):
                observed = np.array([level_text(cell) for cell in observed], object)
            x[~cells.missing] = [index.get(cell, np.nan) for cell in observed]
        else:
            order = np.argsort(np.array(self.levels))
            ordered = np.array(self.levels)[order]
            place = np.searchsorted(ordered, observed).clip(max=len(ordered) - 1)
            x[~cells.missing] = np.where(ordered[place] == observed, order[place], np.nan)
        return x

    def decode(self, x: np.ndarray) -> Cells:
        x = np.asarray(x, np.float64)
        missing = np.isnan(x)
        index = np.rint(np.where(missing, 0, x)).astype(int).clip(0, len(self.levels) - 1)
        kinds = {type(level) for level in self.levels}
        levels = np.array(self.levels, None if len(kinds) == 1 and kinds != {str} else object)
        ordered = isinstance(self, Ordinal)
        return Cells(levels[index], missing, self.dtype, self.levels, ordered)

    def describe(self) -> str:
        names = ", ".join(map(str, self.levels[:SHOWN_LEVELS]))
        more = len(self.levels) - SHOWN_LEVELS
        return f"{names}, ... ({len(self.levels)} levels)" if more > 0 else names


@dataclass(frozen=True)
class YesNo(AbstractLevels):
    """Two levels. In x, 0 is the first and 1 the second.

    Args:
        levels: the two levels, such as ``("no", "yes")``. Without them, ``Table`` reads them off the
            training rows.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.
    """


@dataclass(frozen=True)
class Categorical(AbstractLevels):
    """Levels without an order, such as colours. In x, a cell is the index of its level.

    Args:
        levels: the levels, such as ``("red", "green", "blue")``. Without them, ``Table`` reads them off
            the training rows.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.
    """


@dataclass(frozen=True)
class Ordinal(AbstractLevels):
    """Levels with an order. In x, a cell is the index of its level.

    Args:
        levels: the levels from the lowest to the highest, such as ``("low", "mid", "high")``.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.
    """


@dataclass(frozen=True)
class Date(AbstractColumn):
    """Dates and times. x has days since the origin.

    Args:
        origin: the first date of the training rows, in ISO format. It is 0 in x.
        unit: the coarsest unit that holds all dates: "D", "h", "m", "s", "ms" or "us".
            ``decode`` rounds to it, so that whole days stay whole days.
        form: how the file writes a date: "" for a data type of dates, or the text of one date.
        high: the last date of the training rows, in days since the origin.
        mean: their mean, in days since the origin.
        sd: their standard deviation, in days.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.
    """

    origin: str = field(default="1970-01-01", kw_only=True)
    unit: str = field(default="D", kw_only=True)
    form: str = field(default="", kw_only=True)
    high: float = field(default=0.0, kw_only=True)
    mean: float = field(default=0.0, kw_only=True)
    sd: float = field(default=1.0, kw_only=True)

    def encode(self, cells: Cells) -> np.ndarray:
        dates = cells.values
        if dates.dtype.kind != "M" and not cells.missing.all():
            if dates.dtype.kind != "O":
                raise self.refuse(
                    f"expected dates; got {list_cells(cells, np.flatnonzero(~cells.missing))}."
                )
            dates, wrong = parse_dates(cells)
            if len(wrong):
                raise self.refuse(
                    f"expected dates such as {self.form or self.origin}; got "
                    f"{list_cells(cells, wrong)}. {CORRECT}"
                )
        x = np.full(len(cells.missing), np.nan)
        elapsed = (dates[~cells.missing] - np.datetime64(self.origin)).astype("m8[us]")
        x[~cells.missing] = elapsed.astype(np.int64) / DAY
        return x

    def decode(self, x: np.ndarray) -> Cells:
        x = np.asarray(x, np.float64)
        missing = np.isnan(x)
        steps = np.rint(np.where(missing, 0, x) * (DAY / UNITS[self.unit])).astype(np.int64)
        dates = np.datetime64(self.origin) + steps.astype(f"m8[{self.unit}]")
        if not self.form:
            return Cells(dates, missing, self.dtype)
        return Cells(_write_dates(dates, self.form), missing, self.dtype)

    def describe(self) -> str:
        last = self.decode(np.array([self.high])).values[0]
        return f"{self.origin} to {last}"


@dataclass(frozen=True)
class Constant(AbstractColumn):
    """A column with one distinct value. x does not have it, and ``decode`` writes the value back.

    Args:
        value: the value. A date is in ISO format.
        is_date: True if the value is a date.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.
    """

    modelled: ClassVar[bool] = False

    value: Level | None = field(default=None, kw_only=True)
    is_date: bool = field(default=False, kw_only=True)

    def decode(self, x: np.ndarray) -> Cells:
        """Return the value in each row of x."""
        if self.is_date:
            values = np.full(len(x), np.datetime64(str(self.value)))
        else:
            values = np.full(len(x), self.value, object if isinstance(self.value, str) else None)
        levels = (self.value,) if isinstance(self.value, str) else None
        return Cells(values, np.zeros(len(x), bool), self.dtype, levels)

    def describe(self) -> str:
        return f"always {self.value}"


@dataclass(frozen=True)
class Identifier(AbstractColumn):
    """A column that names rows. Neither x nor a frame that ``decode`` returns has it.

    Args:
        levels: the number of distinct values in the training rows.
        name: the name of the column. ``Table`` fills it in.
        dtype: the data type of the cells in the frame, such as ``"int64"``. ``Table`` fills it in.
    """

    modelled: ClassVar[bool] = False

    levels: int = field(default=0, kw_only=True)

    def describe(self) -> str:
        return f"{self.levels:,} distinct values"


COLUMN_TYPES = (Real, Positive, Count, YesNo, Categorical, Ordinal, Date, Constant, Identifier)
TYPE_NAMES = {cls.__name__.lower(): cls for cls in COLUMN_TYPES} | {"yes/no": YesNo, "yes_no": YesNo}


def column_from_dict(values: dict[str, Any]) -> AbstractColumn:
    """Return the column type that ``to_dict`` wrote."""
    values = dict(values)
    cls = TYPE_NAMES.get(str(values.pop("type", "")).lower())
    known = {each.name for each in fields(cls)} if cls else set()
    if cls is None or set(values) - known:
        raise DataError(f"expected a column type that probvae wrote; got {values}. Update probvae.")
    if isinstance(values.get("levels"), list):
        values["levels"] = tuple(values["levels"])
    return cls(**values)


def parse_dates(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Return text as datetime64[us] (n,), and the rows that are no date: (rows,) integers."""
    dates = np.full(len(cells.values), "NaT", "M8[us]")
    wrong = []
    for row in np.flatnonzero(~cells.missing):
        text = cells.values[row]
        try:
            if not ISO_DATE.fullmatch(text):
                raise ValueError(text)
            dates[row] = np.datetime64(text)
        except (ValueError, TypeError):
            wrong.append(row)
    return dates, np.array(wrong, int)


def _write_dates(dates: np.ndarray, form: str) -> np.ndarray:
    """Return dates as text with the length and the separator of one date."""
    unit = {10: "D", 16: "m", 19: "s", 23: "ms"}.get(len(form), "us")
    texts = np.datetime_as_string(dates.astype(f"M8[{unit}]")).astype(object)
    return np.array([text.replace("T", form[10:11]) for text in texts], object)


def _is_real(cell: object) -> bool:
    return isinstance(cell, int | float | np.number | np.bool_)


def level_text(cell: object) -> str:
    """Return a cell as the text of a level. 1.0 is "1": a gap turns integers of pandas into floats."""
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def _format(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"
