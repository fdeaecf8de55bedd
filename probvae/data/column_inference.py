"""Infer the types of columns from their cells."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
from scipy.special import chdtr

from probvae.data.cells import CORRECT, Cells, is_number, list_cells
from probvae.data.column_types import (
    DAY,
    ISO_DATE,
    TYPE_NAMES,
    UNITS,
    AbstractColumn,
    AbstractLevels,
    AbstractNumber,
    Categorical,
    Constant,
    Count,
    Date,
    Identifier,
    Level,
    Ordinal,
    Positive,
    Real,
    YesNo,
    level_text,
    parse_dates,
)
from probvae.data.read_errors import DataError

TypeChoice = str | AbstractColumn | type[AbstractColumn]

MAX_LEVELS = 1000  # of an inferred categorical column
FEW_LEVELS = 10  # integers with at most so many distinct values can be ordinal
ROWS_PER_LEVEL = 5  # on average, so that each level of an ordinal column can be learned
MANY_ROWS = 50  # fewer rows cannot tell an identifier from a category
RARE = 1e-3  # of a Poisson sample with so small a variance
# float32, in which nets compute, has all integers up to here. The count likelihoods are exact to 1e-4
# nats until then: `NegativeBinomialLogMean` against SciPy, means 1e3 to 1e7.
LARGEST_COUNT = 2**24
SPREAD = 100  # means of positive numbers, in standard deviations
OFFSET = 1e3  # the same for real numbers. Beyond it, float32 has too few digits left for their spread.
EXACT = 2**53  # the largest integer up to which float64 has all of them


def infer_column(name: str, cells: Cells, choice: TypeChoice | None = None) -> AbstractColumn:
    """Return the type of a column.

    The docstring of `Table` has the rules.

    Args:
        name: the name of the column.
        cells: its cells. All of them are training rows.
        choice: a type that replaces the inferred one: a name such as ``"real"``, a class, or an
            instance such as ``Ordinal(("low", "mid", "high"))``.

    Raises:
        DataError: no type fits. The message names the column, the rows and the remedy.
    """
    if choice is not None:
        return _apply_choice(name, cells, choice)
    return _with_names(_infer(name, cells), name, cells)


def find_type(name: str, choice: TypeChoice) -> type[AbstractColumn]:
    """Return the column type that a user chose for a column, by name, class or instance."""
    if isinstance(choice, AbstractColumn):
        return type(choice)
    if (
        isinstance(choice, type)
        and issubclass(choice, AbstractColumn)
        and choice in TYPE_NAMES.values()
    ):
        return choice
    known = sorted({*TYPE_NAMES} - {"yes_no", "yesno"})
    if isinstance(choice, str):
        word = choice.lower().replace(" ", "_")
        if word in TYPE_NAMES:
            return TYPE_NAMES[word]
        close = difflib.get_close_matches(word, TYPE_NAMES, n=1, cutoff=0.4)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        raise DataError(
            f'types: column "{name}" expects one of {", ".join(known)}; got "{choice}".{hint}'
        )
    raise DataError(
        f'types: column "{name}" expects a name ({", ".join(known)}), or a type such as '
        f"data.Ordinal(('low', 'high')); got {choice!r}."
    )


def _with_names(column: AbstractColumn, name: str, cells: Cells) -> AbstractColumn:
    return replace(column, name=name, dtype=cells.dtype)


def _refuse(name: str, what: str) -> DataError:
    return DataError(f'Column "{name}" {what}')


def _infer(name: str, cells: Cells) -> AbstractColumn:
    observed = cells.observed
    if not len(observed):
        raise _refuse(
            name,
            f"has no value: all {len(cells.missing):,} cells are missing. Drop the column, or say "
            f'types={{"{name}": "identifier"}}, which excludes it from the model.',
        )
    if cells.levels is not None and len(cells.levels) > 1:
        if not cells.ordered and len(cells.levels) == 2:
            return YesNo(cells.levels)
        return (Ordinal if cells.ordered else Categorical)(cells.levels)
    kind = observed.dtype.kind
    if kind == "O":
        return _infer_text(name, cells)
    if kind == "M":
        return _infer_date(cells.values, cells.missing, form="")
    if kind == "b":
        return _constant(observed) if observed.all() or not observed.any() else YesNo((False, True))
    if kind in "iuf":
        return _infer_number(name, cells)
    raise _refuse(
        name,
        f"has the data type {cells.dtype}, which no column type reads. Convert it to numbers, text or "
        f'dates, or say types={{"{name}": "identifier"}}, which excludes it from the model.',
    )


def _constant(observed: np.ndarray) -> Constant:
    value = observed[0]
    if observed.dtype.kind == "M":
        return Constant(value=str(value), is_date=True)
    return Constant(value=value.item() if isinstance(value, np.generic) else value)


def _infer_text(name: str, cells: Cells) -> AbstractColumn:
    _check_text(name, cells)
    levels = sorted(set(cells.observed))
    if len(levels) == 1:
        return Constant(value=levels[0])
    date_like = np.array([bool(ISO_DATE.fullmatch(level)) for level in levels])
    if date_like.all():
        dates, wrong = parse_dates(cells)
        if len(wrong):
            raise _refuse(
                name,
                f"has dates that do not exist: {list_cells(cells, wrong)}. {CORRECT} "
                f'For text, say types={{"{name}": "categorical"}}.',
            )
        forms = {(len(level), level[10:11]) for level in levels}
        if len(forms) == 1:
            return _infer_date(dates, cells.missing, form=levels[0])
    if len(levels) == 2:
        return YesNo(tuple(levels))
    if len(cells.missing) > MANY_ROWS and len(levels) > len(cells.observed) / 2:
        return Identifier(levels=len(levels))
    if len(levels) > MAX_LEVELS:
        raise _refuse(
            name,
            f"has {len(levels):,} levels in {len(cells.observed):,} cells, more than {MAX_LEVELS:,}. "
            "Most would have too few rows to learn from. Merge rare levels into one, or say "
            f'types={{"{name}": "identifier"}}, which leaves the column out of the model. '
            f'types={{"{name}": "categorical"}} keeps all levels.',
        )
    return Categorical(tuple(levels))


def _check_text(name: str, cells: Cells) -> None:
    """Raise `DataError` if a column holds numbers and text, decimal commas, or other objects."""
    rows = np.flatnonzero(~cells.missing)
    values = cells.values
    is_text = np.array([isinstance(values[row], str) for row in rows])
    if not is_text.any():
        raise _refuse(
            name,
            f"has cells that no column type reads: {list_cells(cells, rows)}. Convert them to numbers, "
            f'text or dates, or leave the column out: types={{"{name}": "identifier"}}.',
        )
    # Levels repeat, so each is looked at once: a column of 30,000 cells often has 10
    levels = {level: is_number(level) for level in set(values[rows[is_text]])}
    if is_text.all() and not any(levels.values()) and not any("," in level for level in levels):
        return
    is_word = np.array([isinstance(values[row], str) and not levels[values[row]] for row in rows])
    words, numeric = rows[is_word], rows[~is_word]
    commas = [row for row in words if is_number(values[row].replace(",", ".", 1))]
    if len(words) and len(commas) == len(words):
        raise _refuse(
            name,
            f'has decimal commas: {list_cells(cells, commas)}. For a file, say decimal="," '
            "(--decimal , on the command line). For a frame, use "
            f'frame["{name}"].str.replace(",", ".").astype(float).',
        )
    if len(words) and len(numeric):
        few, many = sorted((words, numeric), key=len)
        raise _refuse(
            name,
            f"mixes numbers and text. Most cells are like {list_cells(cells, many[:1])}; others are "
            f"{list_cells(cells, few)}. {CORRECT} "
            f'If all cells are names of levels, say types={{"{name}": "categorical"}}.',
        )


def _infer_date(dates: np.ndarray, missing: np.ndarray, *, form: str) -> AbstractColumn:
    observed = dates[~missing]
    first = observed.min()
    steps = (observed - first).astype("m8[us]").astype(np.int64)
    start = first.astype("M8[us]").astype(np.int64)
    if not steps.any() and not form:
        return _constant(observed)
    unit = next(unit for unit, size in UNITS.items() if not ((steps + start) % size).any())
    days = steps / DAY
    origin = str(first.astype(f"M8[{unit}]"))
    return Date(
        origin=origin,
        unit=unit,
        form=form,
        high=float(days.max()),
        mean=float(days.mean()),
        sd=float(days.std()),
    )


def _infer_number(name: str, cells: Cells) -> AbstractColumn:
    observed = cells.observed.astype(np.float64)
    infinite = np.flatnonzero(~cells.missing & ~np.isfinite(np.where(cells.missing, 0, cells.values)))
    if len(infinite):
        raise _refuse(
            name,
            f"has infinite numbers: {list_cells(cells, infinite)}. {CORRECT}",
        )
    low, high = observed.min(), observed.max()
    if low == high and len(np.unique(cells.observed)) == 1:
        return _constant(cells.observed)
    if max(-low, high) > EXACT and cells.values.dtype.kind in "iu":
        if len(np.unique(cells.observed)) == len(observed):
            return Identifier(levels=len(observed))
        raise _refuse(
            name,
            f"has integers beyond 2**53, which floats merge. For the names of levels, say "
            f'types={{"{name}": "categorical"}}. To leave the column out, say "identifier".',
        )
    # Whether numbers are whole is a property of the file, as its data types are: training rows that
    # happen to be whole would make a likelihood under which the other rows are impossible.
    if cells.has_fractions or not _is_whole(observed):
        # Far from 0, the lognormal is the normal distribution, and its log scale would round to 0.
        is_positive = low > 0 and observed.mean() < SPREAD * observed.std()
        return _measure(Positive if is_positive else Real, observed, whole=False)
    return _infer_whole(observed, is_integer=cells.values.dtype.kind in "iu")


def _infer_whole(observed: np.ndarray, *, is_integer: bool) -> AbstractColumn:
    low, high = observed.min(), observed.max()
    levels = np.unique(observed)
    if len(levels) == 2 and (low, high) == (0, 1):
        return YesNo(_list_levels(levels, is_integer=is_integer))
    n = len(observed)
    if n > MANY_ROWS and len(levels) == n and high - low + 1 <= 2 * n:
        return Identifier(levels=n)
    mean, variance = observed.mean(), observed.var(ddof=1)
    # The chance that a Poisson sample of this mean has a variance as small as this one's
    chance = chdtr(n - 1, (n - 1) * variance / mean) if low >= 0 else 0.0
    if low >= 0 and high <= LARGEST_COUNT and chance > RARE and mean < 3 * np.sqrt(variance):
        return _measure(Count, observed)
    if len(levels) <= FEW_LEVELS and n >= ROWS_PER_LEVEL * len(levels):
        return (YesNo if len(levels) == 2 else Ordinal)(_list_levels(levels, is_integer=is_integer))
    return _measure(Positive if low > 0 and high > LARGEST_COUNT else Real, observed)


def _is_whole(x: np.ndarray) -> bool:
    return bool((x == np.rint(x)).all())


def _list_levels(levels: np.ndarray, *, is_integer: bool) -> tuple[Level, ...]:
    return tuple(int(level) if is_integer else float(level) for level in levels)


def _measure(
    cls: type[AbstractNumber], x: np.ndarray, *, whole: bool = True, **given: Any
) -> AbstractNumber:
    if not len(x):
        return cls(**given)
    if cls is Real and abs(x.mean()) > OFFSET * (x.std() or np.inf):
        given = {"origin": float(np.rint(x.mean())), **given}
    return cls(
        whole=whole and _is_whole(x) or cls is Count,
        low=float(x.min()),
        high=float(x.max()),
        mean=float(x.mean()),
        sd=float(x.std()) or 1.0,
        **given,
    )


def _apply_choice(name: str, cells: Cells, choice: TypeChoice) -> AbstractColumn:
    """Return the type that a user chose, completed from the cells."""
    cls = find_type(name, choice)
    given = choice if isinstance(choice, AbstractColumn) else None
    if issubclass(cls, Identifier):
        return _with_names(Identifier(levels=len({*map(str, cells.observed)})), name, cells)
    if not len(cells.observed):
        raise _refuse(name, "has no value: all cells are missing. Drop the column.")
    if issubclass(cls, Constant):
        if len({*map(str, cells.observed)}) > 1:
            raise _refuse(name, 'has several values; "constant" expects one.')
        column: AbstractColumn = _constant(cells.observed)
    elif issubclass(cls, AbstractNumber):
        draft = _with_names(cls(), name, cells)
        x = draft.encode(cells)
        column = _measure(cls, x[~np.isnan(x)], whole=not cells.has_fractions)
    elif issubclass(cls, Date):
        column = _choose_date(name, cells)
    else:
        column = _choose_levels(name, cells, cast(type[AbstractLevels], cls), given)
    return _with_names(column, name, cells)


def _choose_date(name: str, cells: Cells) -> AbstractColumn:
    if cells.values.dtype.kind == "M":
        return _infer_date(cells.values, cells.missing, form="")
    if cells.values.dtype.kind == "O":
        dates, wrong = parse_dates(cells)
        if not len(wrong):
            return _infer_date(dates, cells.missing, form=str(cells.observed[0]))
        rows: Any = wrong
    else:
        rows = np.flatnonzero(~cells.missing)
    raise _refuse(
        name,
        f"expects dates such as 2023-02-28 14:30; got {list_cells(cells, rows)}. Correct these cells.",
    )


def _choose_levels(
    name: str, cells: Cells, cls: type[AbstractLevels], given: AbstractColumn | None
) -> AbstractColumn:
    levels = getattr(given, "levels", ())
    if not levels and cells.levels is not None:
        levels = cells.levels
    if not levels:
        observed = cells.observed
        if observed.dtype.kind == "M":
            observed = np.datetime_as_string(observed)
        values = {value.item() if isinstance(value, np.generic) else value for value in observed}
        if len({type(value) for value in values}) > 1:
            values = {level_text(value) for value in values}
        levels = tuple(sorted(values))
    if cls is YesNo and len(levels) != 2:
        raise _refuse(name, f'has {len(levels)} levels; "yes/no" expects two. Say "categorical".')
    if len(levels) < 2:
        raise _refuse(name, f"has one level, {levels[0]!r}. Leave its type out: it is constant.")
    column = cls(tuple(levels))
    unknown = np.flatnonzero(np.isnan(column.encode(cells)) & ~cells.missing)
    if len(unknown):
        raise _refuse(
            name,
            f"has cells of no level of {cls.__name__}: {list_cells(cells, unknown)}. The levels are "
            f"{column.describe()}. Add the missing levels to types, or correct these cells.",
        )
    return column


def check_choices(types: Mapping[str, TypeChoice], names: list[str]) -> None:
    """Raise `DataError` if ``types`` names a column that is not there, or an unknown type."""
    problems = []
    for name, choice in types.items():
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            problems.append(
                f'types: there is no column "{name}". The columns are {_quote(names)}.{hint}'
            )
            continue
        try:
            find_type(name, choice)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))


def _quote(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names[:8]) + (", ..." if len(names) > 8 else "")
