"""Frames in and out: pandas, polars, and dicts of arrays.

Narwhals reads pandas and polars through one interface. It has no dependencies of its own.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np

from probvae.data.cells import Cells, parse_text, read_cells
from probvae.data.read_errors import DataError

INSTALL = "Install it: pip install {}"


class Columns(NamedTuple):
    """The columns of a frame.

    Fields:
        cells: the cells of each column, by name, in the frame's order.
        library: ``"pandas"``, ``"polars"`` or ``"none"`` (a dict of arrays).
        numbered: True if the frame's names are integers.
        notes: what the reader of a file decided.
    """

    cells: dict[str, Cells]
    library: str
    numbered: bool = False
    notes: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.cells.values())).missing) if self.cells else 0


def is_frame(value: object) -> bool:
    """Tell whether a value is a frame of pandas or polars, a dict of columns, or a list of records."""
    is_native = hasattr(value, "columns") and hasattr(value, "dtypes")
    return isinstance(value, Mapping) or is_native or _is_records(value)


def _is_records(value: object) -> bool:
    is_list = isinstance(value, list | tuple) and bool(value)
    return is_list and all(isinstance(row, Mapping) for row in value)  # type: ignore[attr-defined]


def read_frame(frame: Any) -> Columns:
    """Return the columns of a frame of pandas or polars, or of a dict of arrays or lists.

    Raises:
        DataError: two columns have one name, or the columns of a dict have different lengths.
        TypeError: the value is no frame.
    """
    if _is_records(frame):
        keys = dict.fromkeys(key for row in frame for key in row)
        frame = {key: [row.get(key) for row in frame] for key in keys}
    if isinstance(frame, Mapping):
        return _read_dict(frame)
    if hasattr(type(frame), "collect_schema") and hasattr(type(frame), "collect"):
        raise TypeError("expected a frame; got a lazy one. Collect it first: frame.collect().")
    if not is_frame(frame):
        raise TypeError(
            "expected a pandas or polars frame, a dict of columns, or the path of a CSV or parquet "
            f"file; got {type(frame).__name__}. For an array, name its columns: "
            'pandas.DataFrame(x, columns=["a", "b"]).'
        )
    labels = list(frame.columns)
    names = [str(label) for label in labels]
    check_names(names)
    numbered = all(isinstance(label, int | np.integer) for label in labels) and bool(labels)
    if numbered:
        frame = frame.set_axis(names, axis=1)
    elif any(isinstance(label, tuple) for label in labels):
        raise DataError(
            "expected one name per column; got the tuples of a MultiIndex. Join them: "
            'frame.columns = ["_".join(map(str, c)) for c in frame.columns].'
        )
    try:
        rows = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise TypeError(
            f"expected a pandas or polars frame; got {type(frame).__module__}.{type(frame).__name__}. "
            "Convert it first: frame.to_pandas()."
        ) from None
    library = "polars" if rows.implementation.is_polars() else "pandas"
    cells = {name: _read_series(rows[name]) for name in rows.columns}
    return Columns(cells, library, numbered)


def check_names(names: Sequence[str]) -> None:
    """Raise `DataError` if two columns have one name."""
    twice = [i for i, name in enumerate(names) if name in names[:i]]
    if twice:
        each = ", ".join(
            f'"{names[i]}" (columns {names.index(names[i]) + 1} and {i + 1})' for i in twice[:3]
        )
        raise DataError(
            f"expected a different name for each column; got two columns of one name: {each}. "
            "Rename one of them."
        )


def _read_dict(columns: Mapping[Any, Any]) -> Columns:
    arrays = {str(name): np.ma.asarray(_to_array(values)) for name, values in columns.items()}
    wrong = {name: array.shape for name, array in arrays.items() if array.ndim != 1}
    if wrong:
        raise DataError(f"expected one-dimensional columns in the dict; got the shapes {wrong}.")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"expected columns of one length in the dict; got {lengths}.")
    cells = {}
    for name, array in arrays.items():
        missing = np.ma.getmaskarray(array).copy()
        values = np.asarray(array.data)
        if values.dtype.kind == "O":
            missing |= np.array([value is None for value in values], bool)
        dtype = "str" if values.dtype.kind in "US" else str(values.dtype)
        cells[name] = read_cells(values, missing, dtype)
    return Columns(cells, "none")


def _to_array(values: Any) -> np.ndarray:
    if isinstance(values, list | tuple) and any(isinstance(v, str) or v is None for v in values):
        out = np.empty(len(values), object)
        out[:] = values
        return out
    return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _read_series(series: Any) -> Cells:
    """Return a narwhals series as cells."""
    native = series.to_native()
    dtype = str(native.dtype)
    missing = np.asarray(series.is_null().to_numpy(), bool)
    kind = series.dtype
    if kind in (nw.Categorical, nw.Enum):
        return _read_levels(series, native, missing)
    if kind == nw.String:
        return parse_text(series.to_numpy(), missing, dtype)
    if kind == nw.Boolean:
        values = np.asarray(series.fill_null(value=False).to_numpy(), bool) if missing.any() else None
        return Cells(series.to_numpy().astype(bool) if values is None else values, missing, dtype)
    if kind.is_integer() and missing.any():
        # Integers stay integers: a detour through floats would merge those above 2**53
        return Cells(np.asarray(series.fill_null(0).to_numpy()), missing, dtype)
    values = np.asarray(series.to_numpy())
    if kind.is_decimal():
        values = values.astype(np.float64)
    elif kind in (nw.Datetime, nw.Date) and values.dtype.kind != "M":
        values = values.astype("M8[us]")
    if values.ndim != 1:  # a struct of polars
        values = np.empty(len(missing), object)
        values[:] = native.to_list()
    return read_cells(values, missing, dtype)


def _read_levels(series: Any, native: Any, missing: np.ndarray) -> Cells:
    """Return a series of a categorical data type as cells of its levels."""
    levels: tuple[Any, ...] | None
    if hasattr(native, "iloc"):
        ordered = bool(native.dtype.ordered)
        levels = tuple(_to_python(level) for level in native.cat.categories)
        codes = native.cat.codes.to_numpy()
        dtype = "category"
        cells = [None if hole else levels[code] for code, hole in zip(codes, missing, strict=True)]
    else:
        # The Categorical of polars declares no levels: any text may follow.
        ordered, dtype, cells = False, str(native.dtype), native.to_list()
        levels = tuple(native.dtype.categories) if series.dtype == nw.Enum else None
    if not {type(level) for level in levels or ()} <= {str, int, float, bool}:
        levels = tuple(map(str, levels or ()))
        cells = [None if cell is None else str(cell) for cell in cells]
    values = np.empty(len(cells), object)
    values[:] = cells
    return Cells(values, missing, dtype, levels or None, ordered)


def _to_python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def write_frame(cells: Mapping[str, Cells], library: str, *, numbered: bool, index: Any = None) -> Any:
    """Return cells as a frame of a library, with the data types that they name.

    Args:
        cells: the cells of each column, by name.
        library: ``"pandas"``, ``"polars"`` or ``"none"``.
        numbered: True for integers as the names of columns.
        index: the index of a pandas frame.
    """
    if library == "pandas":
        pandas = import_library("pandas")
        columns = {name: _pandas_series(pandas, column, index) for name, column in cells.items()}
        frame = pandas.DataFrame(columns, index=index)
        return frame.set_axis([int(name) for name in cells], axis=1) if numbered else frame
    if library == "polars":
        polars = import_library("polars")
        return polars.DataFrame(
            [_polars_series(polars, name, column) for name, column in cells.items()]
        )
    return {name: _numpy_array(column) for name, column in cells.items()}


def import_library(name: str) -> Any:
    """Import pandas or polars, or raise ImportError with an install hint."""
    try:
        # by name, so that no text of a file chooses what is imported
        if name == "polars":
            import polars

            return polars
        import pandas

        return pandas
    except ImportError:
        raise ImportError(
            f"the table came as a {name} frame, so {name} is needed to return one. "
            f"{INSTALL.format(name)}"
        ) from None


def _to_objects(cells: Cells, *, blank: Any = None) -> np.ndarray:
    """Return cells as Python objects, with ``blank`` where they are missing."""
    values = np.empty(len(cells.values), object)
    values[:] = cells.values.tolist() if cells.values.dtype.kind != "M" else list(cells.values)
    values[cells.missing] = blank
    return values


def _to_text(cells: Cells) -> np.ndarray:
    whole = cells.values.dtype.kind == "f" and bool((cells.observed == np.rint(cells.observed)).all())
    values = np.where(cells.missing, 0, cells.values).astype(np.int64) if whole else cells.values
    texts = [None if hole else str(v) for v, hole in zip(values.tolist(), cells.missing, strict=True)]
    return np.array([*texts, None], object)[:-1]


def _cast_numbers(cells: Cells, dtype: np.dtype) -> np.ndarray:
    """Return numbers in a data type of NumPy. Integers are clipped to its range."""
    values = np.where(cells.missing, 0, cells.values) if cells.missing.any() else cells.values
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.rint(values) if values.dtype.kind == "f" else values
        values = values.clip(limits.min, limits.max)
    return values.astype(dtype)


def _pandas_series(pandas: Any, cells: Cells, index: Any) -> Any:
    """Return cells as a pandas series of the data type that they name."""
    dtype, missing = cells.dtype, cells.missing
    make = pandas.Series
    if dtype == "category":
        levels = cells.levels
        if levels is None:
            levels = tuple(dict.fromkeys(cells.observed.tolist()))
        values = pandas.Categorical(_to_objects(cells), categories=list(levels), ordered=cells.ordered)
        return make(values, index=index)
    if dtype.startswith("object of "):
        dates = cells.values.astype("M8[D]" if dtype.endswith("date") else "M8[us]").astype(object)
        values = np.empty(len(dates), object)
        values[:] = list(dates)
        values[missing] = None
        return make(values, index=index, dtype=object)
    if dtype in ("str", "string") or dtype.startswith("string["):
        return make(_to_text(cells), index=index, dtype=dtype)
    if dtype == "object":
        return make(_to_objects(cells), index=index, dtype=object)
    if cells.values.dtype.kind == "M":
        return _pandas_dates(make, cells, index)
    if dtype == "bool":
        return make(_to_objects(cells) if missing.any() else cells.values.astype(bool), index=index)
    resolved = pandas.api.types.pandas_dtype(dtype)
    if isinstance(resolved, np.dtype):
        if not missing.any():
            return make(_cast_numbers(cells, resolved), index=index)
        # as pandas does: integers with gaps become floats
        float_dtype = resolved if resolved.kind == "f" else np.dtype(float)
        values = _cast_numbers(cells, float_dtype)
        values[missing] = np.nan
        return make(values, index=index)
    plain = getattr(resolved, "numpy_dtype", None)  # of Int64, boolean and int64[pyarrow], too
    if isinstance(plain, np.dtype) and plain.kind in "iu":
        cells = cells._replace(values=_cast_numbers(cells, plain))
    elif isinstance(plain, np.dtype) and plain.kind == "b":
        cells = cells._replace(values=cells.values.astype(bool))
    return make(pandas.array(_to_objects(cells, blank=pandas.NA), dtype=resolved), index=index)


def _pandas_dates(make: Any, cells: Cells, index: Any) -> Any:
    """Return dates as a series. The zone of a data type such as ``datetime64[ns, UTC]`` is restored."""
    zone = re.fullmatch(r"datetime64\[(\w+), (.+)\]", cells.dtype)
    dates = cells.values.astype(f"M8[{zone[1]}]" if zone else "M8[us]")
    dates[cells.missing] = "NaT"
    series = make(dates, index=index)
    if zone:
        return series.dt.tz_localize("UTC").dt.tz_convert(zone[2])
    return series.astype(cells.dtype)


def _polars_series(polars: Any, name: str, cells: Cells) -> Any:
    """Return cells as a polars series of the data type that they name."""
    dtype = cells.dtype
    if dtype.startswith("Enum"):
        return polars.Series(
            name, _to_objects(cells).tolist(), dtype=polars.Enum(list(cells.levels or ()))
        )
    if dtype == "String":
        return polars.Series(name, _to_text(cells).tolist(), dtype=polars.String)
    if dtype.startswith("Categorical"):  # polars 1 adds an ordering
        return polars.Series(name, _to_objects(cells).tolist(), dtype=polars.Categorical)
    if cells.values.dtype.kind == "M":
        dates = cells.values.astype("M8[us]")
        dates[cells.missing] = "NaT"
        series = polars.Series(name, dates)
        time = re.fullmatch(r"Datetime\(time_unit='(\w+)', time_zone=(None|'.*')\)", dtype)
        if time is None:
            return series.cast(getattr(polars, dtype, polars.Date))
        series = series.cast(polars.Datetime(time[1]))
        zone = time[2].strip("'")
        return (
            series if zone == "None" else series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        )
    decimal = re.fullmatch(r"Decimal\(precision=(\d+), scale=(\d+)\)", dtype)
    if decimal:
        target = polars.Decimal(int(decimal[1]), int(decimal[2]))
        return polars.Series(name, _to_objects(cells).tolist(), dtype=polars.Float64).cast(target)
    target = getattr(polars, dtype, polars.Float64)
    if re.fullmatch(r"U?Int\d+", dtype):
        whole = _cast_numbers(cells, np.dtype(dtype.lower()))
        cells = cells._replace(values=whole)
    return polars.Series(name, _to_objects(cells).tolist(), dtype=target)


def _numpy_array(cells: Cells) -> np.ndarray:
    """Return cells as an array of NumPy of the data type that they name."""
    dtype = cells.dtype
    if dtype == "str":
        return _to_text(cells)
    if dtype.startswith("object"):
        return _to_objects(cells)
    resolved = np.dtype(dtype)
    if cells.values.dtype.kind == "M":
        dates = cells.values.astype(resolved)
        dates[cells.missing] = "NaT"
        return dates
    if resolved.kind in "US":
        return _to_text(cells)
    if not cells.missing.any():
        return _cast_numbers(cells, resolved)
    if resolved.kind == "b":
        return _to_objects(cells)
    values = _cast_numbers(cells, resolved if resolved.kind == "f" else np.dtype(float))
    values[cells.missing] = np.nan
    return values
