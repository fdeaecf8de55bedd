"""Readers of NumPy's own files, `.npy` and `.npz`, with bounds on size and without pickles."""

import math
import zipfile
from collections.abc import Iterable
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np

from probvae.data.read_errors import DataError, check_size, explain_read_errors
from probvae.typing import Shape

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path) -> np.ndarray:
    """Read the array of a `.npy` file. A corrupt, too large or pickled one raises `ValueError`."""
    with explain_read_errors(path, expected="a NumPy array (.npy)"), path.open("rb") as stream:
        return _read_array(stream, size=path.stat().st_size, what=str(path))


def map_npy(path: Path) -> np.ndarray:
    """Map the array of a `.npy` file of any size, read-only. Rows are read when you use them."""
    with explain_read_errors(path, expected="a NumPy array (.npy)"):
        with path.open("rb") as stream:
            shape, dtype = _read_header(stream, what=str(path))
            num_bytes = path.stat().st_size - stream.tell()
        _check_num_bytes(shape, dtype, num_bytes=num_bytes, what=str(path))
        return np.load(path, mmap_mode="r", allow_pickle=False)


def list_npz_names(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays in an `.npz` archive, in file order."""
    with (
        explain_read_errors(path, expected="a NumPy archive (.npz)"),
        zipfile.ZipFile(path) as archive,
    ):
        return tuple(_list_members(archive))


def read_npz(path: Path, *, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the arrays `names` of an `.npz` archive.

    Raises:
        ValueError: an array is missing, corrupt or too large.
    """
    names = tuple(names)
    with (
        explain_read_errors(path, expected=f"a NumPy archive of {names}"),
        zipfile.ZipFile(path) as archive,
    ):
        members = _list_members(archive)
        missing = [name for name in names if name not in members]
        if missing:
            raise DataError(
                f"{path}: expected arrays {names}; got {tuple(members)}, missing {missing}."
            )
        check_size(sum(members[name].file_size for name in names), what=str(path))
        return {name: _read_member(archive, members[name], what=f"{path}[{name}]") for name in names}


def _list_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    return {i.filename.removesuffix(".npy"): i for i in infos if i.filename.endswith(".npy")}


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, what: str) -> np.ndarray:
    with archive.open(info) as stream:
        return _read_array(cast(BufferedIOBase, stream), size=info.file_size, what=what)


def _read_array(stream: BufferedIOBase, *, size: int, what: str) -> np.ndarray:
    # The header is checked before NumPy allocates: a few bytes can declare an array of terabytes.
    shape, dtype = _read_header(stream, what=what)
    check_size(math.prod(shape) * dtype.itemsize, what=what)
    _check_num_bytes(shape, dtype, num_bytes=size - stream.tell(), what=what)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _read_header(stream: BufferedIOBase, *, what: str) -> tuple[Shape, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise DataError(f"{what}: expected .npy format 1.0 or 2.0 (plain numbers); got {version}.")
    shape, _, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        fix = "Save np.stack(rows), with rows of one shape, as uint8 or float32."
        got = "dtype object (a pickle, never loaded)"
        raise DataError(f"{what}: expected an array of numbers; got {got}. {fix}")
    return shape, dtype


def _check_num_bytes(shape: Shape, dtype: np.dtype, *, num_bytes: int, what: str) -> None:
    size = math.prod(shape) * dtype.itemsize
    if size != num_bytes or min(shape, default=0) < 0:
        expected = f"{size:,} bytes for shape {shape} of {dtype}"
        fix = "The file is corrupt. Write or download it again."
        raise DataError(f"{what}: expected {expected}; got {num_bytes:,}. {fix}")
