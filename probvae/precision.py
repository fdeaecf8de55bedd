"""Conversion of NumPy arrays to JAX's dtypes, and a check for values that float32 merges."""

import warnings

import jax.numpy as jnp
import numpy as np

from probvae.faq import cite

SAMPLE = 256  # rows in which distinct values are counted
FEW = 16  # rows needed to tell whether values merge
NOISE = 1e-12  # relative variation of a column that is only float64's rounding


def to_jax_dtype(array: np.ndarray) -> np.ndarray:
    """Return an array in native byte order, without long doubles and large integers.

    JAX converts 64-bit integers to 32 bits and drops the upper bits. Integers beyond 32 bits therefore
    become floats. Float64 stays, as JAX rounds it itself.
    """
    dtype = array.dtype
    if dtype == np.longdouble and dtype.itemsize > 8:
        return array.astype(np.float64)
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    return array.astype(np.float32) if _wraps(array) else array


def _wraps(array: np.ndarray) -> bool:
    """Tell whether JAX would drop the upper bits of some integers."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not array.size:
        return False
    if in_double_precision():
        return False
    bounds = np.iinfo(np.int32 if array.dtype.kind == "i" else np.uint32)
    return bool(array.min() < bounds.min or array.max() > bounds.max)


def in_double_precision() -> bool:
    """Tell whether JAX computes in 64 bits (``jax_enable_x64``)."""
    return jnp.zeros(()).dtype == np.float64


def in_precision(x: np.ndarray) -> np.ndarray:
    """Return an array in JAX's precision: float64 becomes float32 unless ``jax_enable_x64`` is set."""
    # The conversion runs here, in NumPy, and not in JAX: checks see the same numbers as the programs,
    # and a value that overflows is reported with its row.
    x = to_jax_dtype(x)
    if x.dtype == np.float64 and not in_double_precision():
        with np.errstate(over="ignore"):
            return x.astype(np.float32)
    return x


def sample_rows(n: int) -> np.ndarray:
    """Return indices of evenly spread rows, in which ``describe_merged_values`` counts values.

    Merged values show in few rows. Among millions of rows, chance pairs would look like merged values.
    """
    return np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(int))


def may_merge(dtype: np.dtype) -> bool:
    """Tell whether JAX's precision can make different values of a dtype equal."""
    wide = dtype.kind in "iu" and dtype.itemsize >= 4 or dtype.kind == "f" and dtype.itemsize >= 8
    return wide and not in_double_precision()


def warn_of_merged_values(name: str, rows: np.ndarray, observed: np.ndarray | None = None) -> None:
    """Warn if float32 merges values of a column (``describe_merged_values``)."""
    text = describe_merged_values(name, rows, observed)
    if text is not None:
        warnings.warn(text, stacklevel=2)


def describe_merged_values(
    name: str,
    rows: np.ndarray,
    observed: np.ndarray | None = None,
    names: tuple[str, ...] | None = None,
) -> str | None:
    """Return a warning about a column with more than half of its distinct values merged, or None.

    Args:
        name: the name of the data in the text.
        rows: some rows, in their original dtype.
        observed: True where they are observed. None if all are.
        names: of the columns of a table. None for an array.
    """
    if len(rows) < FEW or not may_merge(rows.dtype):
        return None
    columns = rows.reshape(len(rows), -1)
    if observed is not None:
        columns = np.where(observed.reshape(columns.shape), columns, 0)
    with np.errstate(over="ignore"):
        exact, rounded = _distinct(columns), _distinct(columns.astype(np.float32))
    size = np.abs(columns.astype(np.float64)).max(axis=0)
    merged = (2 * rounded <= exact) & np.isfinite(size) & (size < np.finfo(np.float32).max)
    if columns.dtype.kind == "f":
        merged &= ~(np.ptp(columns, axis=0) <= NOISE * size)
    if not merged.any():
        return None
    column = int(merged.argmax())
    place = f"column {column}" if rows.ndim == 2 else f"entry {column} of each row"
    remedy = "Subtract an offset before you divide by a unit, (x - x.mean(axis=0)) / x.std(axis=0), or "
    if names is not None:
        place, cells = f'column "{names[column]}"', f'frame["{names[column]}"]'
        remedy = (
            f'If it names rows, exclude it: types={{"{names[column]}": "identifier"}}. If a fill '
            "value such as 0 makes its range so wide, empty those cells: "
            f"{cells}.mask({cells} == 0). Otherwise, "
        )
    step = float(np.spacing(np.float32(size[column])))
    return (
        f"{name}: JAX computes in float32, which merges the values of {place}. "
        f"{exact[column]} distinct values in {len(rows)} rows become {rounded[column]}, because near "
        f"{size[column]:.3g} float32 numbers are {step:.3g} apart ({int(merged.sum())} of "
        f"{len(merged)} columns). {remedy}compute in double precision: "
        f'jax.config.update("jax_enable_x64", True). {cite("float32-merges-values")}'
    )


def _distinct(columns: np.ndarray) -> np.ndarray:
    """Return the number of distinct values in each column."""
    ordered = np.sort(columns, axis=0)
    return 1 + (ordered[1:] != ordered[:-1]).sum(axis=0)
