"""`load` a data set by name or path, and list the known ones with `list_datasets`."""

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
from probvae.faq import cite
from probvae.short_repr import short_repr

PROTOCOLS = (None, "static", "dynamic", "default")

NameOrPath = str | os.PathLike[str]


@short_repr
class DatasetInfo(NamedTuple):
    """A known data set: a `summary`, the `paths` of its files, and whether they are `available`."""

    summary: str
    paths: tuple[Path, ...]
    available: bool


class _DataDir(NamedTuple):
    path: Path
    origin: str  # how the user chose it, for errors


def load(
    name_or_path: str | os.PathLike[str],
    *,
    binarize: str | None = "default",
    data_dir: str | os.PathLike[str] | None = None,
) -> Data:
    """Load a known data set by name, a `.npy`, `.npz`, IDX or CSV file, or a folder.

    A single array is shuffled by `Generator(PCG64(0))` and split 80 / 10 / 10. uint8 values above 1 are
    grey levels (0..255), other integers are counts, and floats are real numbers. A folder holds images,
    or `train.npy` and `test.npy` (and `valid.npy`, `train_labels.npy`, ...). These are memory-mapped,
    and `fit` streams the training rows if they are large.

    Args:
        name_or_path: a name from `list_datasets()`, or a path. A known name wins over a file of that
            name.
        binarize: None for the values themselves (grey levels in [0, 1]), "dynamic" to draw training
            pixels at every step, "static" to draw them once, "default" for the data set's own protocol
            ("static" for digits, else None). Valid and test are drawn once, with seed 777.
        data_dir: the folder of the known data sets. The default is `$PROBVAE_DATA`, else `./data`.

    Raises:
        FileNotFoundError: the path, or a file of a known data set, does not exist.
        ValueError: an unknown name, a corrupt file, NaN, or a binarisation of data without grey
            levels. ("static" and None are allowed if all values are 0 and 1.)


    Examples:
        >>> from probvae import data
        >>> digits = data.load("digits")
        >>> digits.train.shape, digits.event_shape
        ((1197, 8, 8), (8, 8))
    """
    if not isinstance(binarize, str | None) or binarize not in PROTOCOLS:
        raise ValueError(f"load(binarize=...) expects one of {PROTOCOLS}; got {binarize!r}.")
    return apply_protocol(_read(name_or_path, data_dir=data_dir), binarize=binarize)


def list_datasets(*, data_dir: str | os.PathLike[str] | None = None) -> dict[str, DatasetInfo]:
    """Return the known data sets by name, and whether their files are in the data directory.

    Args:
        data_dir: the folder of the files. The default is `$PROBVAE_DATA`, else `./data`.
    """
    root = _find_data_dir(data_dir).path
    return {name: _describe(name, root) for name in KNOWN}


def _describe(name: str, root: Path) -> DatasetInfo:
    paths = tuple(root / file for file in KNOWN[name].files)
    has_files = all(path.is_file() for path in paths)
    has_package = bool(paths) or importlib.util.find_spec("sklearn") is not None
    return DatasetInfo(KNOWN[name].summary, paths, has_files and has_package)


def _read(name_or_path: NameOrPath, *, data_dir: NameOrPath | None) -> Source:
    if not isinstance(name_or_path, str | os.PathLike):
        got = f"a {type(name_or_path).__name__}. Give an array to fit directly."
        raise TypeError(f"load(name_or_path) expects a name or a path; got {got}")
    if isinstance(name_or_path, str) and name_or_path in KNOWN:
        return _read_known(name_or_path, _find_data_dir(data_dir))
    path = Path(name_or_path)
    if path.exists():
        return read_file(path)
    raise _explain_missing(name_or_path, path)


def _read_known(name: str, data_dir: _DataDir) -> Source:
    root, origin = data_dir
    missing = [str(path) for path in _describe(name, root).paths if not path.is_file()]
    if missing:
        folder = Path(KNOWN[name].files[0]).parent
        fix = f"Run export PROBVAE_DATA=<the folder that holds {folder}/>, or give data_dir."
        place = f"its files in {str(root)!r} ({origin})"
        got = f"none at {', '.join(missing)}"
        raise FileNotFoundError(
            f"data {name!r}: expected {place}; got {got}. {fix} {cite('data-not-found')}"
        )
    return KNOWN[name].read(root)


def _explain_missing(name: NameOrPath, path: Path) -> Exception:
    if isinstance(name, os.PathLike) or has_reader(path) or len(path.parts) > 1:
        return FileNotFoundError(f"expected a file or folder at {path.absolute()}; got nothing.")
    # a bare word is more likely a misspelt name than a missing file
    close = difflib.get_close_matches(name, KNOWN, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "Give a path that exists."
    return DataError(f"expected a known data set ({', '.join(KNOWN)}) or a path; got {name!r}. {hint}")


def _find_data_dir(data_dir: NameOrPath | None) -> _DataDir:
    if data_dir is not None:
        check_kind("data_dir", data_dir, PATH)
        return _DataDir(Path(data_dir), "data_dir")
    if os.environ.get("PROBVAE_DATA"):
        return _DataDir(Path(os.environ["PROBVAE_DATA"]), "$PROBVAE_DATA")
    return _DataDir(Path("data"), "./data, as $PROBVAE_DATA is not set")
