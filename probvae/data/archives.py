"""NumPy's own files, `.npy` and `.npz`, read within bounds and never as pickles."""

import math
import zipfile
from collections.abc import Iterable
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from probvae.data.read_errors import DataError, check_size, reading

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path) -> np.ndarray:
    """Read the array of a `.npy` file; ValueError where it is damaged, too large or pickled."""
    with reading(path, expected="a NumPy array (.npy)"), path.open("rb") as stream:
        return _read_array(stream, size=path.stat().st_size, what=str(path))


def map_npy(path: Path) -> np.ndarray:
    """Map the array of a `.npy` file of any size, read-only: rows are read when they are looked at."""
    with reading(path, expected="a NumPy array (.npy)"):
        with path.open("rb") as stream:
            shape, dtype = _header(stream, what=str(path))
            rest = path.stat().st_size - stream.tell()
        _check_declared(shape, dtype, rest=rest, what=str(path))
        return np.load(path, mmap_mode="r", allow_pickle=False)


def npz_names(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays in an `.npz` archive, in its order."""
    with reading(path, expected="a NumPy archive (.npz)"), zipfile.ZipFile(path) as archive:
        return tuple(_members(archive))


def read_npz(path: Path, *, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the arrays `names` of an `.npz`; ValueError where missing, damaged or too large."""
    names = tuple(names)
    with reading(path, expected=f"a NumPy archive of {names}"), zipfile.ZipFile(path) as archive:
        members = _members(archive)
        missing = [name for name in names if name not in members]
        if missing:
            raise DataError(f"{path}: expected arrays {names}, got {tuple(members)}; missing {missing}")
        check_size(sum(members[name].file_size for name in names), what=str(path))
        return {name: _read_member(archive, members[name], what=f"{path}[{name}]") for name in names}


def _members(archive):
    infos = archive.infolist()
    return {i.filename.removesuffix(".npy"): i for i in infos if i.filename.endswith(".npy")}


def _read_member(archive, info, *, what):
    with archive.open(info) as stream:
        return _read_array(stream, size=info.file_size, what=what)


def _read_array(stream: BufferedIOBase, *, size: int, what: str) -> np.ndarray:
    shape, dtype = _header(stream, what=what)
    check_size(math.prod(shape) * dtype.itemsize, what=what)
    _check_declared(shape, dtype, rest=size - stream.tell(), what=what)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _header(stream, *, what):
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise DataError(f"{what}: expected .npy format 1.0 or 2.0 (plain numbers), got {version}")
    shape, _, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise DataError(
            f"{what}: expected an array of numbers, got dtype object (a pickle, never loaded); "
            "usual fix: save np.stack(rows), rows of one shape, as uint8 or float32"
        )
    return shape, dtype


def _check_declared(shape, dtype, *, rest, what):
    declared = math.prod(shape) * dtype.itemsize
    if declared != rest or min(shape, default=0) < 0:
        raise DataError(
            f"{what}: expected {declared:,} bytes for shape {shape} of {dtype}, got {rest:,}; "
            "usual fix: the file is damaged, write or fetch it again"
        )
