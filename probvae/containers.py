"""Convert containers of data to arrays: masked arrays, frames, sparse matrices, tensors and lists."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.checks import format_value
from probvae.faq import cite
from probvae.precision import to_jax_dtype
from probvae.typing import DataLike

ONE_HOT = (
    "Encode categories as one-hot columns: np.eye(levels)[codes], or pandas.get_dummies(frame, "
    "columns=[...]) with the text columns alone. Missing text becomes zeros unless you drop these rows "
    f"first or set dummy_na=True. {cite('text-columns')}"
)
TABLE = (
    "Read text, dates and numbers as a table: table = data.Table(frame), vae = VAE.for_table(table), "
    "fit(vae, table, ...). Or in one call: fit_table(frame, rng_key=key). An array needs names first: "
    "frame = pandas.DataFrame(x).infer_objects(). If you keep this VAE, encode the text as you did for "
    f"its training data. {cite('text-columns')}"
)


def _text_remedy(name: str) -> str:
    """Return the advice for text: a table, but for a context or a mask, which are arrays."""
    is_part = name.split(":")[0].endswith(("context", "mask"))
    return ONE_HOT if is_part else TABLE


class Values(NamedTuple):
    """Real numbers, and a mask that is True where they are observed. None if all are."""

    array: Any  # np.ndarray or jax.Array
    observed: np.ndarray | None = None


def read_values(name: str, value: DataLike) -> Values:
    """Return the numbers in a container as an array of NumPy or JAX.

    Entries are missing under the mask of a ``numpy.ma`` array, and if they are ``pandas.NA`` or
    ``None``. NaN is a number here. The caller decides whether NaN is allowed.

    Raises:
        TypeError: for text, objects, complex numbers, dates, and containers of several arrays. The
            error says how to get an array from the container.
        ValueError: for rows of different lengths.
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


def to_numbers(name: str, value: DataLike) -> Any:
    """Return an array of real numbers, of NumPy or JAX. It may be traced.

    Raises:
        TypeError: for text, objects, complex numbers, and for anything but one array.
        ValueError: for lists of different lengths, and for missing entries (``numpy.ma``).
    """
    array, observed = read_values(name, value)
    if observed is not None:
        raise ValueError(
            f"{name} expects complete data; got {int((~observed).sum())} masked or missing entries. "
            "Pass values and mask separately, x.data and mask=~x.mask, or fill them: x.filled(0)."
        )
    return array


def is_sparse(value: DataLike) -> bool:
    """Tell whether a value is a sparse matrix with SciPy's methods."""
    return hasattr(value, "tocsr") and hasattr(value, "toarray")


def check_container(name: str, value: DataLike) -> None:
    """Raise TypeError for a container that holds no array, or several. The error names the remedy."""
    problem = _container_problem(value)
    if problem is not None:
        raise TypeError(f"{name} expects an array of numbers; got {problem} {cite('not-one-array')}")


def _container_problem(value: DataLike) -> str | None:
    """Return why a container is not one array, and how to get one from it. None if it is."""
    kind = type(value).__name__
    if value is None or isinstance(value, str | bytes | set | frozenset):
        return f"{format_value(value)}."
    if isinstance(value, Mapping):
        return (
            f"a {kind} with the keys {_list_names(value)}. Put its columns side by side: "
            "np.column_stack(list(columns.values())). Or give the array of one key. For text, dates "
            "and numbers, use fit_table(columns, rng_key=key)."
        )
    if all(hasattr(value, field) for field in ("X", "obs", "var")):
        return (
            f"a {kind}, which holds several. Give the one to model: adata.X for its main matrix, "
            'adata.layers["counts"] for counts.'
        )
    if hasattr(value, "column_names") and not hasattr(value, "__array__"):
        return (
            f"a {kind} with the columns {_list_names(value.column_names)}. Give one as an array: "
            'np.asarray(dataset.with_format("numpy")["counts"]). Or give all: dataset.to_pandas().'
        )
    if isinstance(value, Iterator):
        return f"a {kind}, an iterator that can be read once. Stack its rows: np.stack(list(rows))."
    if hasattr(value, "__iter__") and not hasattr(value, "__getitem__") and not _holds_array(value):
        return (
            f"a {kind}, which yields batches. Concatenate them, np.concatenate([np.asarray(x) for x in "
            "loader]) (x, _ if labels come with x), or give its data set, loader.dataset."
        )
    return None


def _list_names(names: Iterable) -> str:
    """Return the first five names, quoted."""
    first = list(islice(names, 6))
    return ", ".join([repr(name) for name in first[:5]] + ["..."] * (len(first) > 5))


def _holds_array(value: DataLike) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def _as_array(name: str, value: DataLike) -> np.ndarray:
    """Return a container as a NumPy array. A ``numpy.ma`` array keeps its mask."""
    parts = value if isinstance(value, list | tuple) else ()
    try:
        if any(isinstance(part, np.ma.MaskedArray) for part in parts):
            array = np.ma.array(value)
        else:
            array = np.asanyarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} expects an array of numbers; a {type(value).__name__} could not be converted "
            f"({error}). Give every row the same length: np.stack(rows)."
        ) from None
    except Exception as error:
        raise TypeError(
            f"{name} expects an array of numbers; NumPy cannot read this {type(value).__name__} "
            f"({error}). Give a NumPy array; of a tensor, x.detach().cpu().numpy()."
        ) from error
    return array if isinstance(array, np.ma.MaskedArray) else np.asarray(array)


def split_mask(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an array without its mask, and where it is observed. None if nothing is masked."""
    if not isinstance(array, np.ma.MaskedArray):
        return array, None
    hidden = np.ma.getmask(array)
    observed = ~np.asarray(hidden) if hidden is not np.ma.nomask and np.any(hidden) else None
    return np.asarray(array.data), observed


def _join_masks(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return b if a is None else a if b is None else a & b


def _is_frame(value: DataLike) -> bool:
    return hasattr(value, "iloc") and (hasattr(value, "columns") or hasattr(value, "dtype"))


def _read_frame(name: str, frame: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a pandas frame or series as one array, and where it is observed.

    It reads columns one by one. NumPy would make an array of objects from a frame with a column of an
    extension type, or with bool and float columns.
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
    for i, (values, observed_column) in enumerate(columns):
        array[:, i] = values
        observed[:, i] = True if observed_column is None else observed_column
    return array, None if observed.all() else observed


def _is_plain(dtype: object) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "buif"


def _read_column(name: str, label: object, column: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a column of numbers and where it is observed. Raise TypeError with its name for text."""
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


def _quote_names(label: object) -> str:
    return f'"{label}"' if isinstance(label, str) else repr(label)


def _read_objects(name: str, array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an array of Python numbers as floats, and where they are missing: None or pandas.NA."""
    cells = array.reshape(-1)
    missing = np.fromiter((_is_missing(cell) for cell in cells), bool, len(cells))
    if missing.all() and len(cells):
        raise TypeError(f"{name} expects numbers; got dtype object without a number.")
    for cell in cells[~missing]:
        real = isinstance(cell, Number | Decimal | np.bool_) and not isinstance(cell, complex)
        if not real:
            raise TypeError(
                f"{name} expects numbers; got dtype object with the value {format_value(cell)}. "
                f"{_text_remedy(name) if isinstance(cell, str) else 'Give numbers in every entry.'}"
            )
    values = np.full(len(cells), np.nan)
    try:
        values[~missing] = cells[~missing].astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer above 1e308. Divide by a unit first.") from None
    return values.reshape(array.shape), missing.reshape(array.shape) if missing.any() else None


def _is_missing(cell: object) -> bool:
    return cell is None or cell is np.ma.masked or type(cell).__name__ == "NAType"


def check_real(name: str, dtype: Any) -> None:
    """Raise TypeError unless a dtype holds real numbers."""
    if isinstance(dtype, np.dtype) and dtype.names:
        fields = _list_names(dtype.names)
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
        "c": "Give real and imaginary parts as separate columns: x.view(float).",
        "M": "Subtract a start and divide by a unit: (x - x.min()) / np.timedelta64(1, 's'). Or read "
        "the frame as a table, data.Table(frame).",
        "m": "Divide by a unit: x / np.timedelta64(1, 's').",
    }.get(kind) or _text_remedy(name)
    raise TypeError(f"{name} expects numbers; got dtype {dtype}. {remedy}")
