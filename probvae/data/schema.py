"""The schema of a table: its column types in the file's order, and frames to numbers and back."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np

from probvae.checks import Checked
from probvae.data.cells import Cells
from probvae.data.column_types import AbstractColumn, AbstractLevels, column_from_dict
from probvae.data.frames import Columns, write_frame
from probvae.data.read_errors import DataError
from probvae.data.table_sources import read_source
from probvae.short_repr import short_repr
from probvae.user_warnings import warn_user

SHOWN_NAMES = 8
LIBRARIES = ("pandas", "polars", "none")


@short_repr
class EncodedTable(NamedTuple):
    """A table as numbers.

    Fields:
        x: (n, D) float64, one column per modelled column, in the file's own units. NaN where missing.
        mask: (n, D) bool, True where a cell is observed.
    """

    x: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Schema(Checked):
    """The column types of a table, in the file's order.

    Args:
        columns: one type per column.
        library: what ``decode`` returns: ``"pandas"``, ``"polars"`` or ``"none"`` (a dict of arrays).
        numbered: True if the file's names are integers.

    Raises:
        TypeError: ``columns`` has other objects than column types.
        ValueError: ``library`` is another word.
    """

    columns: tuple[AbstractColumn, ...]
    library: str = "pandas"
    numbered: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.columns, tuple | list) or not all(
            isinstance(column, AbstractColumn) for column in self.columns
        ):
            raise TypeError(
                f"columns expects column types, such as (data.Real(name='age'),); got {self.columns!r}."
            )
        object.__setattr__(self, "columns", tuple(self.columns))
        if self.library not in LIBRARIES:
            raise ValueError(f"library expects one of {LIBRARIES}; got {self.library!r}.")

    @property
    def modelled(self) -> tuple[AbstractColumn, ...]:
        """The columns of x: all but constants and identifiers, in the file's order."""
        return tuple(column for column in self.columns if column.modelled)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the modelled columns."""
        return tuple(column.name for column in self.modelled)

    def __getitem__(self, name: str) -> AbstractColumn:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(
            f'there is no column "{name}". The columns are {_quote(c.name for c in self.columns)}.'
        )

    def encode(self, frame: Any, name: str = "x") -> EncodedTable:
        """Return a table as numbers. Columns are matched by name, in any order.

        A level that the training rows do not have counts as missing, with a warning. Other columns are
        ignored, with a warning. Constants and identifiers are not needed.

        Args:
            frame: a frame of pandas or polars, a dict of columns, a `Table`, or the path of a file.
            name: the word for the frame in messages.

        Raises:
            DataError: a column is missing, or has cells of another type. All such columns are named.
        """
        return self.encode_columns(read_columns(frame), name)

    def encode_columns(self, columns: Columns, name: str = "x") -> EncodedTable:
        """Return columns that were read as numbers. See ``encode``."""
        modelled = self.modelled
        self._check_names(columns, name)
        x = np.empty((columns.num_rows, len(modelled)))
        mask = np.empty(x.shape, bool)
        problems, unknown = [], []
        for i, column in enumerate(modelled):
            cells = columns.cells[column.name]
            try:
                x[:, i] = column.encode(cells)
            except DataError as error:
                problems.append(str(error))
                continue
            mask[:, i] = ~np.isnan(x[:, i])
            if isinstance(column, AbstractLevels):
                unknown += _describe_unknown(column, cells, mask[:, i])
        if problems:
            raise DataError(join_problems(problems, name))
        if unknown:
            warn_user(
                f"{name} has levels that the training rows do not have: {'; '.join(unknown)}. These "
                "cells count as missing. Rows count from 0."
            )
        return EncodedTable(x, mask)

    def _check_names(self, columns: Columns, name: str) -> None:
        lacking = [column for column in self.names if column not in columns.cells]
        if lacking:
            is_are = (
                f'Column "{lacking[0]}" is' if len(lacking) == 1 else f"Columns {_quote(lacking)} are"
            )
            raise DataError(
                f"{is_are} missing from {name}. The model was trained on {len(self.names)} columns: "
                f"{_quote(self.names)}; got {_quote(columns.cells)}. Columns are matched by name. For "
                "a column whose values are unknown, add it with empty cells (None)."
            )
        known = {column.name for column in self.columns}
        extra = [column for column in columns.cells if column not in known]
        if extra:
            warn_user(
                f"{name} has columns that the model does not know. They are ignored: {_quote(extra)}."
            )

    def decode(self, x: Any, index: Any = None, identifiers: Mapping[str, Cells] | None = None) -> Any:
        """Return numbers as a frame with the file's names, data types and levels.

        Constants get their value. Identifiers are not in it, because a draw is no row of the file,
        unless you give their cells.

        Args:
            x: (n, D) numbers, one column per modelled column. NaN becomes a missing cell.
            index: the index of a pandas frame.
            identifiers: the cells of columns that name rows, by name.

        Raises:
            DataError: x has another shape, or infinite numbers.
        """
        cells = self.decode_columns(x, identifiers)
        return write_frame(cells, self.library, numbered=self.numbered, index=index)

    def decode_columns(
        self, x: Any, identifiers: Mapping[str, Cells] | None = None
    ) -> dict[str, Cells]:
        """Return numbers as the cells of each column. See ``decode``."""
        x = np.asarray(x, np.float64)
        modelled = self.modelled
        if x.ndim != 2 or x.shape[1] != len(modelled):
            raise DataError(
                f"x has the shape {x.shape}; expected (rows, {len(modelled)}), one column for each of "
                f"{_quote(self.names)}."
            )
        infinite = np.argwhere(np.isinf(x))
        if len(infinite):
            row, i = infinite[0]
            raise DataError(
                f'x is infinite in row {row}, column "{modelled[i].name}"; expected numbers.'
            )
        place = {column.name: i for i, column in enumerate(modelled)}
        cells = {}
        for column in self.columns:
            if column.name in place:
                cells[column.name] = column.decode(x[:, place[column.name]])
            elif hasattr(column, "value"):
                cells[column.name] = column.decode(x)
            elif identifiers and column.name in identifiers:
                cells[column.name] = identifiers[column.name]
        return cells

    def to_json(self) -> str:
        """Return the schema as JSON."""
        values = {
            "columns": [column.to_dict() for column in self.columns],
            "library": self.library,
            "numbered": self.numbered,
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> "Schema":
        """Return the schema that ``to_json`` wrote."""
        try:
            values = json.loads(text)
            columns = tuple(column_from_dict(each) for each in values["columns"])
            return cls(columns, str(values["library"]), bool(values["numbered"]))
        except (TypeError, KeyError, AttributeError, json.JSONDecodeError) as error:
            raise DataError(
                f"expected a schema that probvae wrote as JSON; got {text[:60]!r} ({error})."
            ) from None

    def replace_library(self, library: str) -> "Schema":
        """Return the schema with another library for ``decode``."""
        return replace(self, library=library)


def read_columns(frame: Any) -> Columns:
    """Return the columns of a frame, a dict, a `Table` or the path of a file."""
    columns = getattr(frame, "columns_read", None)
    return cast(Columns, columns) if isinstance(columns, Columns) else read_source(frame)


def join_problems(problems: list[str], name: str) -> str:
    """Return one message for all bad columns."""
    if len(problems) == 1:
        return f"{problems[0]} Rows count from 0."
    lines = "\n".join(f"- {problem}" for problem in problems)
    return f"{name} has {len(problems)} bad columns. Rows count from 0.\n{lines}"


def _describe_unknown(column: AbstractLevels, cells: Cells, observed: np.ndarray) -> list[str]:
    rows = np.flatnonzero(~observed & ~cells.missing)
    if not len(rows):
        return []
    counts = Counter(str(cells.values[row]) for row in rows)
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(str(cells.values[row]), int(row))
    some = [
        f'"{level}" ({count:,} {"cell" if count == 1 else "cells"}, first in row {first[level]})'
        for level, count in counts.most_common(3)
    ]
    more = f" and {len(counts) - 3} more levels" if len(counts) > 3 else ""
    return [f'column "{column.name}" has {", ".join(some)}{more}']


def _quote(names: Any) -> str:
    names = list(names)
    return ", ".join(f'"{name}"' for name in names[:SHOWN_NAMES]) + (
        f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    )
