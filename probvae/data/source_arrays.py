"""The class `Source`: arrays by split as a reader returns them, checked, before any protocol."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

import numpy as np

from probvae.data.read_errors import DataError
from probvae.faq import cite
from probvae.precision import may_merge, sample_rows, warn_of_merged_values

Kind = Literal["binary", "grey", "counts", "real"]
EXACT = 2**24  # float32 holds all integers up to here
BLOCK = 10_000


@dataclass(frozen=True, eq=False)
class Source:
    """Arrays by split ("train", "test", and perhaps "valid"), and the kind of their values.

    `kind` is "grey" for levels 0..`levels`, "binary" for 0 and 1, "counts" for other integers, "real"
    for floats. `default` is the binarisation of `load(binarize="default")`.
    """

    name: str
    _: KW_ONLY
    arrays: Mapping[str, np.ndarray]
    kind: Kind
    levels: float = 255.0
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    context: Mapping[str, np.ndarray] = field(default_factory=dict)
    origin: str = ""
    rule: str = ""
    default: str | None = None


def infer_kind(arrays: Mapping[str, np.ndarray], *, what: str) -> Kind:
    """Infer the kind of values from dtype and range. Splits of several dtypes raise `ValueError`."""
    dtypes = {split: str(array.dtype) for split, array in arrays.items()}
    if len(set(dtypes.values())) > 1:
        raise DataError(f"{what}: expected one dtype in all splits; got {dtypes}. Use array.astype.")
    dtype = arrays["train"].dtype
    if dtype.kind == "f":
        return "real"
    if dtype not in (np.bool_, np.uint8):
        return "counts"
    return "binary" if max(array.max() for array in arrays.values()) <= 1 else "grey"


def check_array(array: np.ndarray, *, what: str) -> np.ndarray:
    """Return `array` if it holds data, one datum per row: floats as float32, bool as uint8.

    Raises:
        ValueError: the array is 0-d or 1-d, empty, not of numbers, or holds NaN, inf (the first row is
            named) or integers that float32 cannot hold. The message begins with `what`.
    """
    _check_form(array, what=what)
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        if may_merge(array.dtype):
            warn_of_merged_values(what, array[sample_rows(len(array))])
        return _to_finite_float32(array, what=what)
    if max(-int(array.min()), int(array.max())) > EXACT:
        expected = f"integers within +-{EXACT:,}, which float32 holds exactly"
        got = f"{array.min()} to {array.max()}. Rescale them and save as float32."
        raise DataError(f"{what}: expected {expected}; got {got}")
    return array


def check_rows(array: np.ndarray, *, more_than: int, what: str) -> None:
    """Raise `ValueError`, beginning with `what`, unless `array` has more than `more_than` rows."""
    if len(array) <= more_than:
        got = f"{len(array):,}. Download the complete file, or load your own by path."
        raise DataError(f"{what}: expected more than {more_than:,} rows; got {got}")


def _check_form(array: np.ndarray, *, what: str) -> None:
    if array.dtype.kind not in "buif":
        raise DataError(f"{what}: expected numbers (bool, integer, float); got dtype {array.dtype}.")
    if array.ndim < 2:
        fix = "Use array[:, None] if each datum is one number."
        expected = "one datum per row, shape (n, ...)"
        raise DataError(f"{what}: expected {expected}; got shape {array.shape}. {fix}")
    if array.size == 0:
        raise DataError(f"{what}: expected data; got an empty array of shape {array.shape}.")


def _to_finite_float32(array: np.ndarray, *, what: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)  # a mapped array stays in its file
    # checked block by block, so that a mapped array is never in memory as a whole
    blocks = [
        np.isfinite(array[start : start + BLOCK]).reshape(-1, array[0].size).all(axis=1)
        for start in range(0, len(array), BLOCK)
    ]
    is_finite = np.concatenate(blocks)
    if not is_finite.all():
        row = int(np.flatnonzero(~is_finite)[0])
        value = array[row][~np.isfinite(array[row])].flat[0]
        count = int((~is_finite).sum())
        got = f"{value} in row {row} ({count:,} such {'row' if count == 1 else 'rows'}, counted from 0)"
        fix = "Drop or fill those rows."
        if np.isnan(value):
            fix = (
                f"{fix} If NaN means missing, give the array itself to fit: Batch(x, "
                f"mask=np.isfinite(x)). {cite('nan-in-the-data')}"
            )
        raise DataError(f"{what}: expected finite float32 values; got {got}. {fix}")
    return array
