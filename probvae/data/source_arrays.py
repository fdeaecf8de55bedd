"""What a reader found: arrays by split, checked, before any protocol is applied to them."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

import numpy as np

from probvae.data.read_errors import DataError
from probvae.precision import may_merge, sample_rows, warn_of_merged_values

Kind = Literal["binary", "grey", "counts", "real"]
EXACT = 2**24
BLOCK = 10_000


@dataclass(frozen=True, eq=False)
class Source:
    """Arrays by split ("train", "test", and "valid" where there is one), and what values they hold.

    `kind` is "grey" for levels 0..`levels`, "binary" for 0 and 1, "counts" for other integers,
    "real" for floats. `default` is the binarisation where none is asked for.
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


def kind_of(arrays: Mapping[str, np.ndarray], *, what: str) -> Kind:
    """Tell from dtype and range what values are; ValueError where the splits differ in dtype."""
    dtypes = {split: str(array.dtype) for split, array in arrays.items()}
    if len(set(dtypes.values())) > 1:
        raise DataError(f"{what}: expected one dtype in all splits, got {dtypes}; usual fix: astype")
    dtype = arrays["train"].dtype
    if dtype.kind == "f":
        return "real"
    if dtype not in (np.bool_, np.uint8):
        return "counts"
    return "binary" if max(array.max() for array in arrays.values()) <= 1 else "grey"


def check_array(array: np.ndarray, *, what: str) -> np.ndarray:
    """Return `array` if it is data, one datum a row: floats as float32, bool as uint8.

    ValueError, beginning with `what`, where it is 0-d or 1-d, empty, not of numbers, holds NaN or
    inf (the first row is named) or integers that float32 cannot hold.
    """
    _check_form(array, what=what)
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        if may_merge(array.dtype):
            warn_of_merged_values(what, array[sample_rows(len(array))])
        return _finite(array, what=what)
    if max(-int(array.min()), int(array.max())) > EXACT:
        raise DataError(
            f"{what}: expected integers within +-{EXACT:,}, which float32 holds exactly, got "
            f"{array.min()} to {array.max()}; usual fix: rescale, and save as float32"
        )
    return array


def check_rows(array: np.ndarray, *, more_than: int, what: str) -> None:
    """Raise ValueError, beginning with `what`, unless `array` has `more_than` rows and one more."""
    if len(array) <= more_than:
        raise DataError(
            f"{what}: expected more than {more_than:,} rows, got {len(array):,}; "
            "usual fix: fetch the whole file, or load your own by path"
        )


def _check_form(array, *, what):
    if array.dtype.kind not in "buif":
        raise DataError(f"{what}: expected numbers (bool, integer, float), got dtype {array.dtype}")
    if array.ndim < 2:
        raise DataError(
            f"{what}: expected one datum a row, shape (n, ...), got shape {array.shape}; "
            "usual fix: array[:, None] where each datum is one number"
        )
    if array.size == 0:
        raise DataError(f"{what}: expected data, got an empty array of shape {array.shape}")


def _finite(array, *, what):
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)  # a mapped array stays in its file
    rows = [
        np.isfinite(array[start : start + BLOCK]).reshape(-1, array[0].size).all(axis=1)
        for start in range(0, len(array), BLOCK)
    ]
    rows = np.concatenate(rows)
    if not rows.all():
        row = int(np.flatnonzero(~rows)[0])
        value = array[row][~np.isfinite(array[row])].flat[0]
        raise DataError(
            f"{what}: expected finite float32 values, got {value} in row {row} "
            f"({int((~rows).sum()):,} such rows); usual fix: drop or fill those rows"
        )
    return array
