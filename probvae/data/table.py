"""Tables: named columns with types, as numbers and as the frame that came in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from probvae import html
from probvae.data.column_inference import TypeChoice, check_choices, infer_column
from probvae.data.column_types import AbstractLevels
from probvae.data.frames import Columns, write_frame
from probvae.data.read_errors import DataError
from probvae.data.schema import Schema, join_problems
from probvae.data.table_sources import is_path, read_source
from probvae.short_repr import short_repr

WIDTH = 44  # of the levels in print(table)


@short_repr
class TableSplit(NamedTuple):
    """Rows for training, validation and testing. The schema comes from the training rows only.

    Attributes:
        train: the `Table` of the rows for training.
        valid: the rows for validation, such as for early stopping.
        test: the rows that the final score is measured on.
    """

    train: "Table"
    valid: "Table"
    test: "Table"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Table:
    """A table: named columns of numbers, counts, levels and dates, with missing cells.

    ``print(table)`` shows the type of each column. ``x`` holds the numbers in the file's own units:
    a level is its index, and a date its distance in days from the first one. Real numbers far from 0
    have an origin, too, which changes no density. Empty cells, NaN, NaT,
    None, "NA" and "?" are missing.

    Types are inferred by these rules, in this order:

    1. A column with one distinct value is `Constant`.
    2. A categorical data type is `Ordinal` if it is ordered, else `Categorical`, with the levels
       that it declares. With two levels and no order it is `YesNo`.
    3. Booleans are `YesNo`.
    4. Dates are `Date`: a data type of dates, or text of which each cell is an ISO date such as
       2023-02-28, 2023-02-28 14:30 or 2023-02-28T14:30:00.
    5. Text with two levels is `YesNo`. Text is `Identifier` if there are more than 50 rows and more
       than half of the cells are distinct. Other text is `Categorical`, with sorted levels, at most
       1,000.
    6. Whole numbers, also in a data type of floats, because pandas turns integers with gaps into
       floats:

       - 0 and 1 are `YesNo`.
       - More than 50 cells that are all distinct and fill half of their range are `Identifier`, as
         row numbers are.
       - They are `Count` if all are >= 0 and at most 2**24, their variance is not clearly below
         their mean (a Poisson sample has so small a variance once in 1,000 times), and their mean
         is below 3 standard deviations.
       - Else at most 10 levels, with 5 rows each on average, are `Ordinal`, or `YesNo` if there are
         two.
       - Else they are `Positive` if all are above 0 and one is above 2**24.
       - Else they are `Real`. Draws are rounded to whole numbers.

    7. Other numbers are `Positive` if all are above 0 and their mean is below 100 standard
       deviations, else `Real`.

    A negative binomial cannot have a variance below its mean, and x given its code varies less than
    x. So rule 6 asks counts for room. Little is lost: if the mean of a count is 3 standard
    deviations, the KL to a rounded normal is 0.01 nats (Poisson) to 0.04 nats (negative binomial)
    per cell.

    Args:
        source: a frame of pandas or polars, a dict of columns, or the path of a CSV or parquet file.
        types: a type for some columns, by name: ``{"age": "real", "grade":
            data.Ordinal(("low", "mid", "high"))}``. Or the schema of another table, so that no type is
            inferred.
        sep: the separator of a CSV file. By default a comma, or a tab in a ``.tsv`` file.
        decimal: the decimal mark of a CSV file.
        encoding: the encoding of a CSV file. UTF-8 by default.
        header: False if the first line of a CSV file has no names.
        skip_rows: the number of lines before the header of a CSV file.

    Attributes:
        x: (n, D) float64, one column per modelled column. NaN where missing.
        mask: (n, D) bool, True where a cell is observed.
        schema: the `Schema`.
        frame: the frame that came in. A file becomes a pandas frame, or a dict of arrays without
            pandas.

    Raises:
        DataError: columns are bad. The message names each, with its rows and the remedy.

    Examples:
        >>> from probvae import data
        >>> people = {"height": [1.62, 1.8, None], "grade": ["low", "high", "mid"]}
        >>> table = data.Table(people, types={"grade": data.Ordinal(("low", "mid", "high"))})
        >>> print(table)
        Table(3 rows, 2 columns, 16.7% missing)
        column  type      range or levels  missing
        height  Positive  1.62 to 1.8        33.3%
        grade   Ordinal   low, mid, high      0.0%
    """

    x: np.ndarray = field(init=False)
    mask: np.ndarray = field(init=False)
    schema: Schema = field(init=False)
    columns_read: Columns = field(init=False)
    messages: tuple[str, ...] = field(init=False)
    _types: dict[str, TypeChoice] | Schema = field(init=False)

    def __init__(
        self,
        source: Any,
        *,
        types: Mapping[str, TypeChoice] | Schema | None = None,
        sep: str | None = None,
        decimal: str = ".",
        encoding: str | None = None,
        header: bool = True,
        skip_rows: int = 0,
    ) -> None:
        if isinstance(source, Table):
            columns, frame = source.columns_read, source.frame
        else:
            columns = read_source(
                source, sep=sep, decimal=decimal, encoding=encoding, header=header, skip_rows=skip_rows
            )
            frame = None if is_path(source) else source
        kept = types if isinstance(types, Schema) else dict(types or {})
        schema = kept if isinstance(kept, Schema) else infer_schema(columns, kept)
        _fill(self, columns, frame, schema, kept)

    @property
    def frame(self) -> Any:
        """The frame that came in, or the file as a frame."""
        frame = self.__dict__["_frame"]
        if frame is None:
            cells, library = self.columns_read.cells, self.columns_read.library
            frame = write_frame(cells, library, numbered=self.columns_read.numbered)
            self.__dict__["_frame"] = frame
        return frame

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> "Table":
        return self.take(rows)

    def take(self, rows: Any) -> "Table":
        """Return some rows, with the same schema.

        Args:
            rows: integers, a slice, or a mask (n,) of booleans.
        """
        index = np.atleast_1d(np.arange(len(self))[rows])
        columns = self.columns_read._replace(
            cells={name: cells.take(index) for name, cells in self.columns_read.cells.items()}
        )
        table = object.__new__(Table)
        _set(table, columns, _take_rows(self.__dict__["_frame"], index), self.schema, self._types)
        _set_numbers(table, self.x[index], self.mask[index], self.messages)
        return table

    def split(self, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> TableSplit:
        """Return rows for training, validation and testing, at random.

        Levels, ranges, means, scales and origins come from the training rows only. A level that only
        the other rows have counts as missing there, with a warning. Only the kind of a column, such as
        `Positive`, comes from all rows, because a 0 in other rows would have no density under it.

        Args:
            fractions: the shares of the three parts. They sum to 1.
            seed: the seed of the shuffle.
        """
        shares = np.asarray(fractions, float)
        if shares.shape != (3,) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
            raise ValueError(f"fractions must be three numbers >= 0 that sum to 1; got {fractions}.")
        order = np.random.default_rng(seed).permutation(len(self))
        ends = np.rint(np.cumsum(shares) * len(self)).astype(int)
        rows = np.split(order, ends[:2])
        if len(rows[0]) < 2:
            raise ValueError(
                f"fractions {fractions} leave {len(rows[0])} of {len(self)} rows for training."
            )
        train = self.take(rows[0])
        schema = self.schema
        if not isinstance(self._types, Schema):
            schema = infer_schema(train.columns_read, self._keep_kinds(train) | self._types)
        parts = []
        for index, name in zip(rows, ("train", "valid", "test"), strict=True):
            part = self.take(index)
            _fill(part, part.columns_read, part.__dict__["_frame"], schema, self._types, name=name)
            parts.append(part)
        return TableSplit(*parts)

    def _keep_kinds(self, train: "Table") -> dict[str, TypeChoice]:
        """Return the kinds of the columns that training rows can have, too."""
        kinds: dict[str, TypeChoice] = {}
        for column in self.schema.columns:
            cells = train.columns_read.cells[column.name]
            # With fewer levels, the kind is inferred anew: a category may be constant in these rows
            levels = cells.levels or set(cells.observed.tolist())
            if not isinstance(column, AbstractLevels) or len(levels) > 2:
                kinds[column.name] = type(column)
        return kinds

    def __repr__(self) -> str:
        missing = 0.0 if not self.mask.size else float(1 - self.mask.mean())
        return f"Table({len(self):,} rows, {len(self.schema.modelled)} columns, {missing:.1%} missing)"

    def __str__(self) -> str:
        rows = [("column", "type", "range or levels", "missing"), *self._list_columns()]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(
                [
                    *(text.ljust(width) for text, width in zip(row[:3], widths, strict=False)),
                    row[3].rjust(widths[3]),
                ]
            )
            for row in rows
        ]
        return "\n".join([repr(self), *lines, *self.messages])

    def _list_columns(self) -> list[tuple[str, str, str, str]]:
        rows = []
        for column in self.schema.columns:
            text = column.describe()
            text = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
            cells = self.columns_read.cells.get(column.name)
            share = 0.0 if cells is None or not len(cells.missing) else cells.missing.mean()
            kind = type(column).__name__
            rows.append((column.name, kind if column.modelled else f"({kind})", text, f"{share:.1%}"))
        return rows

    def _repr_html_(self) -> str:
        heads = ("column", "type", "range or levels", "missing")
        return html.block(
            html.lines([repr(self)]),
            html.columns(heads, self._list_columns(), num_text=3),
            html.lines(self.messages),
        )


def infer_schema(columns: Columns, types: Mapping[str, TypeChoice]) -> Schema:
    """Return the types of columns. All rows are training rows.

    Raises:
        DataError: the table has fewer than two rows or no column, or columns are bad. All are named.
    """
    if not columns.cells:
        raise DataError("expected a table with at least one column; got none.")
    if columns.num_rows < 2:
        raise DataError(
            f"expected at least two rows, from which the types are inferred; got {columns.num_rows}. "
            "For new rows of a table that was read before, use the schema of that table: "
            "Table(source, types=table.schema)."
        )
    check_choices(types, list(columns.cells))
    if all(cells.missing.all() for cells in columns.cells.values()):
        raise DataError(
            f"expected some values; got a table of {columns.num_rows:,} rows in which all cells are "
            "missing."
        )
    problems, types_found = [], []
    for name, cells in columns.cells.items():
        try:
            types_found.append(infer_column(name, cells, types.get(name)))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(join_problems(problems, "The table"))
    schema = Schema(tuple(types_found), columns.library, columns.numbered)
    if not schema.modelled:
        each = ", ".join(f'"{c.name}" ({type(c).__name__})' for c in schema.columns[:8])
        raise DataError(
            f"expected at least one column to model; got only constants and identifiers: {each}. Give "
            f'a type: types={{"{schema.columns[0].name}": "categorical"}}.'
        )
    return schema


def _fill(
    table: Table,
    columns: Columns,
    frame: Any,
    schema: Schema,
    types: dict[str, TypeChoice] | Schema,
    *,
    name: str = "the table",
) -> None:
    _set(table, columns, frame, schema, types)
    x, mask = schema.encode_columns(columns, name)
    _set_numbers(table, x, mask, tuple(_list_messages(columns, schema)))


def _set(
    table: Table, columns: Columns, frame: Any, schema: Schema, types: dict[str, TypeChoice] | Schema
) -> None:
    """Set the fields of a frozen table."""
    table.__dict__.update(columns_read=columns, schema=schema, _types=types, _frame=frame)


def _set_numbers(table: Table, x: np.ndarray, mask: np.ndarray, messages: tuple[str, ...]) -> None:
    table.__dict__.update(x=x, mask=mask, messages=messages)


def _list_messages(columns: Columns, schema: Schema) -> list[str]:
    """Return what the reader did to columns without being asked."""
    dropped = {
        kind: [column.name for column in schema.columns if type(column).__name__ == kind]
        for kind in ("Constant", "Identifier")
    }
    messages = list(columns.notes)
    if dropped["Constant"]:
        messages.append(
            f"{_quote(dropped['Constant'])}: one value in all rows, so x does not have it. Frames of "
            "draws have the value."
        )
    if dropped["Identifier"]:
        messages.append(
            f"{_quote(dropped['Identifier'])}: names rows, so x and frames of draws do not have it. "
            'Use types={"name": "categorical"} or another type to model it.'
        )
    marks = {
        name: cells.question_marks for name, cells in columns.cells.items() if cells.question_marks
    }
    if marks:
        each = ", ".join(f'"{name}" ({count:,})' for name, count in marks.items())
        messages.append(f'Cells with "?" count as missing: {each}.')
    return messages


def _quote(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _take_rows(frame: Any, index: np.ndarray) -> Any:
    if frame is None:
        return None
    if hasattr(frame, "iloc"):
        return frame.iloc[index]
    if isinstance(frame, Mapping):
        return {name: _take_column(column, index) for name, column in frame.items()}
    return frame[index]


def _take_column(column: Any, index: np.ndarray) -> Any:
    return (
        [column[i] for i in index] if isinstance(column, list | tuple) else np.asanyarray(column)[index]
    )
