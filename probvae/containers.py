"""The containers that data come in, read as arrays: masked arrays, frames, sparse matrices, tensors."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.checks import format_value
from probvae.precision import to_jax_dtype

ONE_HOT = "Encode categories as one-hot columns: np.eye(levels)[codes], or pandas.get_dummies(frame)."


class Values(NamedTuple):
    """Real numbers, and which of them the container says are there: None where all are."""

    array: Any  # np.ndarray or jax.Array
    observed: np.ndarray | None = None


def read_values(name: str, value: Any) -> Values:
    """Return the numbers that a container holds, as NumPy's or JAX's array.

    Missing are the entries under the mask of ``numpy.ma``, ``pandas.NA`` and ``None``. NaN is a number
    here: whether it may stand there is for the caller to say.

    Raises:
        TypeError: for text, objects, complex numbers, dates, and containers that hold more than one
            array. The message names the container's own way to an array.
        ValueError: for rows of several lengths.
    """
    if isinstance(value, jax.Array):
        check_real(name, value.dtype)
        return Values(value)
    check_container(name, value)
    if _is_frame(value):
        array, observed = _read_frame(name, value)
    elif is_sparse(value):
        array, observed = value.toarray(), None
    else:
        array, observed = split_mask(_as_array(name, value))
    if array.dtype.kind == "O":
        array, missing = _read_objects(name, array)
        observed = _join_masks(observed, None if missing is None else ~missing)
    check_real(name, array.dtype)
    return Values(to_jax_dtype(array), observed)


def to_numbers(name: str, value: Any) -> Any:
    """Return an array of real numbers, as NumPy's or JAX's; a traced one is passed.

    Raises:
        TypeError: for text, objects, complex numbers and what is no array.
        ValueError: for lists of several lengths, and where entries are missing (``numpy.ma``).
    """
    array, observed = read_values(name, value)
    if observed is not None:
        raise ValueError(
            f"{name} holds {int((~observed).sum())} masked or missing entries; expected all of them "
            "here. Give values and mask apart, x.data and mask=~x.mask, or fill them in: x.filled(0)."
        )
    return array


def is_sparse(value: Any) -> bool:
    """Tell whether a value is a sparse matrix of SciPy's form."""
    return hasattr(value, "tocsr") and hasattr(value, "toarray")


def check_container(name: str, value: Any) -> None:
    """Raise TypeError for a container that holds no array, or more than one; name the way to one."""
    if value is None or isinstance(value, str | bytes | set | frozenset):
        raise TypeError(f"{name} expects an array of numbers; got {format_value(value)}.")
    kind = type(value).__name__
    if isinstance(value, Mapping):
        keys = ", ".join(repr(key) for key in list(value)[:5])
        raise TypeError(
            f"{name} expects one array of numbers; got a {kind} with the keys {keys}"
            f"{', ...' if len(value) > 5 else ''}. Put its columns side by side: "
            "np.column_stack(list(columns.values())). Or give the array of one key."
        )
    if all(hasattr(value, field) for field in ("X", "obs", "var")):
        raise TypeError(
            f"{name} expects an array of numbers; got a {kind}, which holds several. Give the one that "
            'is modelled: adata.X for its main matrix, adata.layers["counts"] for counts.'
        )
    if hasattr(value, "column_names") and not hasattr(value, "__array__"):
        columns = ", ".join(repr(column) for column in list(value.column_names)[:5])
        raise TypeError(
            f"{name} expects an array of numbers; got a {kind} with the columns {columns}. Give one "
            'column as an array, np.asarray(dataset.with_format("numpy")["counts"]), or all as a '
            "frame, dataset.to_pandas()."
        )
    if isinstance(value, Iterator):
        raise TypeError(
            f"{name} expects an array of numbers; got a {kind}, an iterator that can be read once. "
            "Stack its rows: np.stack(list(rows))."
        )
    if hasattr(value, "__iter__") and not hasattr(value, "__getitem__") and not _holds_array(value):
        raise TypeError(
            f"{name} expects an array of numbers; got a {kind}, which gives batches one after the "
            "other. Concatenate them, np.concatenate([np.asarray(x) for x in loader]) (x, _ where "
            "labels come with x), or give what it reads from, loader.dataset."
        )


def _holds_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def _as_array(name: str, value: Any) -> np.ndarray:
    """Return a container as NumPy's array; one of ``numpy.ma`` keeps its mask."""
    parts = value if isinstance(value, list | tuple) else ()
    try:
        if any(isinstance(part, np.ma.MaskedArray) for part in parts):
            array = np.ma.array(value)
        else:
            array = np.asanyarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} expects an array of numbers; got a {type(value).__name__} that makes none "
            f"({error}). Give every row the same length: np.stack(rows)."
        ) from None
    except Exception as error:
        raise TypeError(
            f"{name} expects an array of numbers; NumPy cannot read this {type(value).__name__} "
            f"({error}). Give a NumPy array; of a tensor, x.detach().cpu().numpy()."
        ) from error
    return array if isinstance(array, np.ma.MaskedArray) else np.asarray(array)


def split_mask(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an array without its mask, and where it is observed: None where nothing is masked."""
    if not isinstance(array, np.ma.MaskedArray):
        return array, None
    hidden = np.ma.getmask(array)
    observed = ~np.asarray(hidden) if hidden is not np.ma.nomask and np.any(hidden) else None
    return np.asarray(array.data), observed


def _join_masks(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return b if a is None else a if b is None else a & b


def _is_frame(value: Any) -> bool:
    return hasattr(value, "iloc") and (hasattr(value, "columns") or hasattr(value, "dtype"))


def _read_frame(name: str, frame: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a pandas frame or series as one array, and where it is observed.

    Columns are read one by one. NumPy's view of the whole is an array of objects as soon as one column
    is of an extension type, or bool beside float.
    """
    if not hasattr(frame, "columns"):
        return _read_column(name, frame.name, frame)
    dtypes = list(frame.dtypes)
    if dtypes and all(dtype == dtypes[0] and _is_plain(dtype) for dtype in dtypes):
        return frame.to_numpy(), None
    columns = [_read_column(name, c, frame.iloc[:, i]) for i, c in enumerate(frame.columns)]
    if not columns:
        raise ValueError(f"{name} expects at least one column of numbers; got a frame without columns.")
    array = np.empty(frame.shape, np.result_type(*(values for values, _ in columns)))
    observed = np.ones(frame.shape, bool)
    for i, (values, there) in enumerate(columns):
        array[:, i] = values
        observed[:, i] = True if there is None else there
    return array, None if observed.all() else observed


def _is_plain(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "buif"


def _read_column(name: str, label: Any, column: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a column of numbers and where it is observed; raise TypeError, by its name, for text."""
    dtype, place = column.dtype, f"{name}: column {_quote_names(label)}"
    if _is_plain(dtype):
        return column.to_numpy(), None
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        array, missing = _read_objects(place, column.to_numpy())
        return array, None if missing is None else ~missing
    if getattr(dtype, "kind", "O") not in tuple("buif"):
        check_real(place, dtype)
    missing = np.asarray(column.isna(), bool)
    if missing.any():
        return column.to_numpy(dtype=np.float64, na_value=np.nan), ~missing
    return column.to_numpy(dtype=getattr(dtype, "numpy_dtype", np.float64)), None


def _quote_names(label: Any) -> str:
    return f'"{label}"' if isinstance(label, str) else repr(label)


def _read_objects(name: str, array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an array of Python's numbers as floats, and where there is none: None or pandas.NA."""
    cells = array.reshape(-1)
    missing = np.fromiter((_is_missing(cell) for cell in cells), bool, len(cells))
    if missing.all() and len(cells):
        raise TypeError(f"{name} expects numbers; got dtype object, with no number among the values.")
    for cell in cells[~missing]:
        real = isinstance(cell, Number | Decimal | np.bool_) and not isinstance(cell, complex)
        if not real:
            raise TypeError(
                f"{name} expects numbers; got dtype object, with {format_value(cell)} among the values. "
                f"{ONE_HOT if isinstance(cell, str) else 'Give numbers in every entry.'}"
            )
    values = np.full(len(cells), np.nan)
    try:
        values[~missing] = cells[~missing].astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer beyond 1e308. Divide by a unit first.") from None
    return values.reshape(array.shape), missing.reshape(array.shape) if missing.any() else None


def _is_missing(cell: Any) -> bool:
    return cell is None or cell is np.ma.masked or type(cell).__name__ == "NAType"


def check_real(name: str, dtype: Any) -> None:
    """Raise TypeError unless a dtype is one of real numbers."""
    if isinstance(dtype, np.dtype) and dtype.names:
        fields = ", ".join(repr(field) for field in dtype.names[:5])
        raise TypeError(
            f"{name} expects an array of numbers; got a structured array with the fields {fields}. Put "
            "them side by side: numpy.lib.recfunctions.structured_to_unstructured(x)."
        )
    real = (jnp.floating, jnp.integer, jnp.bool_)
    plain = isinstance(dtype, np.dtype) or not hasattr(dtype, "na_value")
    if plain and any(jnp.issubdtype(dtype, kind) for kind in real):
        return
    kind = getattr(dtype, "kind", "O")
    remedy = {
        "c": "Give real and imaginary parts as columns of their own: x.view(float).",
        "M": "Subtract a start and divide by a unit: (x - x.min()) / np.timedelta64(1, 's').",
        "m": "Divide by a unit: x / np.timedelta64(1, 's').",
    }.get(kind, ONE_HOT)
    raise TypeError(f"{name} expects numbers; got dtype {dtype}. {remedy}")
