"""`load` a data set by name or path, and list the `known` ones."""

import difflib
import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

from probvae.checks import PATH, check_kind
from probvae.data.dataset import Data
from probvae.data.files import has_reader, read_file
from probvae.data.known_datasets import KNOWN
from probvae.data.protocol import apply_protocol
from probvae.data.read_errors import DataError
from probvae.data.source_arrays import Source

PROTOCOLS = (None, "static", "dynamic", "default")


class DatasetInfo(NamedTuple):
    """A known data set: a `summary`, the `paths` that are looked for, and whether they were `found`."""

    summary: str
    paths: tuple[Path, ...]
    found: bool


def load(
    name_or_path: str | os.PathLike[str],
    *,
    binarize: str | None = "default",
    data_dir: str | os.PathLike[str] | None = None,
) -> Data:
    """Load a known data set by name, a `.npy`, `.npz`, IDX or CSV file, or a folder.

    Args:
        name_or_path: a name of `known()`, which goes before a file of that name, or a path. A
            single array is split 80 / 10 / 10 after shuffling by `Generator(PCG64(0))`; uint8
            beyond 0 and 1 is grey (0..255), other integers are counts, floats as they are. A folder
            holds images, or `train.npy` and `test.npy` (and `valid.npy`, `train_labels.npy`, ...),
            whose training rows `fit` reads as it wants them where they are many (uint8, float32).
        binarize: None for the values themselves (grey levels in [0, 1]), "dynamic" to draw training
            pixels anew at every step, "static" to draw them once, "default" for the data set's own
            way (digits "static", else None). Valid and test are drawn once, by seed 777.
        data_dir: where known data sets lie; otherwise `$PROBVAE_DATA`, otherwise `./data`.

    Raises:
        FileNotFoundError: a path, or the files of a known data set, are not there.
        ValueError: an unknown name, a damaged file, NaN, or a binarisation of data that have no
            grey levels (where all values are 0 and 1 already, "static" and None change nothing).

    """
    if not isinstance(binarize, str | None) or binarize not in PROTOCOLS:
        raise ValueError(f"expected binarize to be one of {PROTOCOLS}, got {binarize!r}")
    return apply_protocol(_read(name_or_path, data_dir=data_dir), binarize=binarize)


def list_datasets(*, data_dir: str | os.PathLike[str] | None = None) -> dict[str, DatasetInfo]:
    """Return the known data sets by name, and whether their files are in the data directory.

    Args:
        data_dir: where they lie; otherwise `$PROBVAE_DATA`, otherwise `./data`.
    """
    root, _ = _data_dir(data_dir)
    return {name: _dataset_info(name, root) for name in KNOWN}


def _dataset_info(name, root):
    paths = tuple(root / file for file in KNOWN[name].files)
    there = all(path.is_file() for path in paths)
    ships = bool(paths) or importlib.util.find_spec("sklearn") is not None
    return DatasetInfo(KNOWN[name].summary, paths, there and ships)


def _read(name_or_path, *, data_dir) -> Source:
    if not isinstance(name_or_path, str | os.PathLike):
        raise TypeError(
            f"load expected name_or_path, a name or a path, got {type(name_or_path).__name__}; "
            "usual fix: an array needs no loading, give it to fit"
        )
    if isinstance(name_or_path, str) and name_or_path in KNOWN:
        return _read_known(name_or_path, data_dir=data_dir)
    path = Path(name_or_path)
    if path.exists():
        return read_file(path)
    raise _explain_missing(name_or_path, path)


def _read_known(name, *, data_dir):
    root, origin = _data_dir(data_dir)
    missing = [str(path) for path in _dataset_info(name, root).paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"data {name!r}: expected its files below {str(root)!r} ({origin}), which lacks "
            f"{', '.join(missing)}; usual fix: export PROBVAE_DATA=<the folder that holds "
            f"{Path(KNOWN[name].files[0]).parent}/>, or give data_dir"
        )
    return KNOWN[name].read(root)


def _explain_missing(name, path):
    if isinstance(name, os.PathLike) or has_reader(path) or len(path.parts) > 1:
        return FileNotFoundError(f"expected a file or folder at {path.absolute()}, got nothing there")
    close = difflib.get_close_matches(name, KNOWN, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "usual fix: a path that exists"
    return DataError(f"expected a known data set ({', '.join(KNOWN)}) or a path, got {name!r}; {hint}")


def _data_dir(data_dir):
    if data_dir is not None:
        check_kind("data_dir", data_dir, PATH)
        return Path(data_dir), "data_dir"
    if os.environ.get("PROBVAE_DATA"):
        return Path(os.environ["PROBVAE_DATA"]), "$PROBVAE_DATA"
    return Path("data"), "./data, as $PROBVAE_DATA is not set"
