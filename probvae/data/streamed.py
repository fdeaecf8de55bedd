"""`StreamedData`: data that stay in a file or another source, and are read chunk by chunk."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np

from probvae.containers import check_real, is_sparse
from probvae.data.read_errors import DataError
from probvae.precision import in_precision

SHARE = 0.25  # of the free memory: a mapped file that is larger is streamed automatically
CHUNK = 32 * 2**20  # bytes read at a time: three such chunks are in memory at once

SparseMatrix: TypeAlias = Any  # of SciPy's form, from any library
Container: TypeAlias = Any  # anything that a user may give as data


class StreamedData:
    """Data that ``fit`` reads chunk by chunk, so that they need not fit into memory.

        fit(vae, StreamedData(np.load("faces.npy", mmap_mode="r")), ...)

    A mapped array (``np.memmap``, ``np.load(mmap_mode="r")``, a slice of one) is read from its file and
    not through the map. A truncated file then raises `ValueError`, where the map would crash Python.

    Args:
        source: a mapped array, or an object with ``len(source)`` and ``source[rows]``. Here ``rows`` is
            an ascending integer array, and the result an array ``(len(rows), *event_shape)``.
        chunk_bytes: how many bytes to read at a time. The losses do not depend on it.

    Raises:
        TypeError: the source cannot be read by rows.
        ValueError: it has no rows, or ``chunk_bytes`` is not positive.
    """

    def __init__(self, source: Container, *, chunk_bytes: int = CHUNK) -> None:
        if is_sparse(source):
            source = SparseRows(source)
        if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
            fix = "Save an iterator's data with np.save, and map it: np.load(mmap_mode='r')."
            expected = "a source with len(source) and source[rows]"
            raise TypeError(f"StreamedData expects {expected}; got {type(source)}. {fix}")
        if chunk_bytes < 1 or len(source) == 0:
            got = f"{len(source)} rows, {chunk_bytes}"
            raise ValueError(f"StreamedData expects rows, and chunk_bytes > 0; got {got}.")
        self.source, self.chunk_bytes = source, chunk_bytes
        self._file = MappedRows.from_array(source)
        first = self._read_source(np.arange(1)) if self._file else self._read_first_row()
        self.shape, self.dtype = (len(source), *first.shape[1:]), first.dtype
        self.loaded_dtype = in_precision(np.zeros(0, self.dtype)).dtype

    def load_as(self, dtype: np.dtype) -> "StreamedData":
        """Return the same data, which ``fit`` converts to another dtype."""
        data = copy.copy(self)
        data.loaded_dtype = dtype
        return data

    def __len__(self) -> int:
        return self.shape[0]

    def __str__(self) -> str:
        return str(self._file.path if self._file else f"a source ({type(self.source).__name__})")

    @property
    def nbytes(self) -> int:
        """The size of all data, in bytes."""
        return len(self) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """The size of one datum, in bytes."""
        return max(int(np.prod(self.shape[1:], dtype=int)) * self.dtype.itemsize, 1)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return rows in the order of ``rows``. They are read in file order, each once."""
        ascending, back = np.unique(rows, return_inverse=True)
        values = self._read_source(ascending)
        if (values.shape, values.dtype) != ((len(ascending), *self.shape[1:]), self.dtype):
            row = f"{self.dtype} {self.shape[1:]}"
            raise self.read_error(ascending, f"{values.dtype} {values.shape}, unlike row 0, {row}")
        in_order = len(ascending) == len(rows) and (back[1:] > back[:-1]).all()
        return values if in_order else values[back]

    def iterate_chunks(self) -> Iterator[np.ndarray]:
        """Yield all rows in order, a chunk at a time."""
        step = max(self.chunk_bytes // self.row_bytes, 1)
        for start in range(0, len(self), step):
            yield self.read(np.arange(start, min(start + step, len(self))))

    def _read_first_row(self) -> np.ndarray:
        """Return the first row. A source without access by row numbers raises `DataError`."""
        place = f"a source ({type(self.source).__name__})"
        try:
            value = self.source[np.arange(1)]
            got = f"source[np.arange(1)] is a {type(value).__name__}"
        except Exception as error:  # noqa: BLE001  a source of any library
            value, got = None, f"source[np.arange(1)] raises {type(error).__name__}: {error}"
        if isinstance(value, tuple | dict) or value is None:
            expected = "source[rows] to return an array (len(rows), *event_shape) for integer rows"
            raise DataError(f"{place}: expected {expected}; {got}. {self._suggest_stack()}")
        row = _fill_mask(value)
        check_real(place, row.dtype)
        if row.ndim < 1 or len(row) != 1:
            got = f"shape {row.shape}. {self._suggest_stack()}"
            raise DataError(f"{place}: expected an array (1, *event_shape) for one row; got {got}")
        return row

    def _suggest_stack(self) -> str:
        """Return the remedy for a dataset that is indexed by single integers."""
        try:
            item = self.source[0]
        except Exception:  # noqa: BLE001  a source of any library
            item = None
        part = "[0]" if isinstance(item, tuple) else ""
        if isinstance(item, dict):
            part = f"[{next(iter(item), 'x')!r}]"
        return (
            "If the dataset returns one item per integer, stack the items: "
            f"np.stack([np.asarray(dataset[i]{part}) for i in range(len(dataset))])."
        )

    def _read_source(self, rows: np.ndarray) -> np.ndarray:
        try:
            return self._file.read(rows) if self._file else _fill_mask(self.source[rows])
        except Exception as error:
            raise self.read_error(rows, f"{type(error).__name__}: {error}") from error

    def read_error(self, rows: np.ndarray, got: str) -> DataError:
        """Return the error for rows that changed, or can no longer be read."""
        return DataError(
            f"{self}: cannot read rows {rows[0]} to {rows[-1]}: expected the data from the start of "
            f"the run; got {got}. Restore the complete file, or drop the corrupt rows, and resume "
            "from a checkpoint."
        )


class SparseRows:
    """The rows of a sparse matrix as a source: dense, but only a few at a time."""

    def __init__(self, matrix: SparseMatrix) -> None:
        self.matrix = matrix.tocsr()
        self.nbytes = int(np.prod(matrix.shape, dtype=np.int64)) * matrix.dtype.itemsize

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.matrix[rows].toarray()


def _fill_mask(rows: Container) -> np.ndarray:
    """Return rows as an array, with NaN where they are masked."""
    rows = np.asanyarray(rows)
    if isinstance(rows, np.ma.MaskedArray) and np.ma.is_masked(rows):
        rows = np.ma.asarray(rows, np.result_type(rows.dtype, np.float32)).filled(np.nan)
    return np.asarray(rows)


class MappedRows:
    """The rows of a mapped array, read from its file."""

    # Reading through the map is simpler. But if the file is truncated or replaced meanwhile, the kernel
    # ends the process with a bus error, which no `except` catches, or returns other data. `preadv` says
    # how many bytes it read, and the inode says whether it is the same file.

    def __init__(self, path: Path, offset: int, rows: np.ndarray) -> None:
        self.path, self.offset, self.event, self.dtype = path, offset, rows.shape[1:], rows.dtype
        self.row_bytes = rows.strides[0]
        self.end = offset + len(rows) * self.row_bytes
        self.inode = os.stat(path).st_ino

    @classmethod
    def from_array(cls, array: Container) -> "MappedRows | None":
        """Return the rows of a mapped array, or of a slice of one. Other arrays return None."""
        root = find_mapped_array(array)
        if root is None or root.filename is None or not array.flags.c_contiguous:
            return None
        start = root.offset + array.ctypes.data - root.ctypes.data
        return cls(Path(root.filename), start, array)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read ascending rows."""
        values = np.empty((len(rows), *self.event), self.dtype)
        buffer = values.reshape(len(rows), -1).view(np.uint8)  # (rows, bytes of a row)
        with self.path.open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            if status.st_size < self.end or status.st_ino != self.inode:
                raise EOFError(
                    f"{status.st_size:,} bytes of {self.end:,}, or another file of that name"
                )
            for position, first, count in _find_runs(rows):
                target: Any = buffer[position : position + count]
                num_read = os.preadv(stream.fileno(), [target], self.offset + first * self.row_bytes)
                if num_read != target.nbytes:
                    raise EOFError(f"{num_read:,} bytes of {target.nbytes:,}, at row {first}")
        return values


def _find_runs(rows: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield the runs of consecutive rows: position in ``rows``, first row, number of rows."""
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
    counts = np.diff(starts, append=len(rows))
    return zip(starts.tolist(), rows[starts].tolist(), counts.tolist(), strict=True)


def find_mapped_array(array: Container) -> np.memmap | None:
    """Return the mapped array of which an array is a view. An array in memory returns None."""
    root = None
    while isinstance(array, np.ndarray):
        root = array if isinstance(array, np.memmap) else root
        array = array.base
    return root if type(array).__name__ == "mmap" else None


def as_streamed(data: Container) -> Container:
    """Return data that ``fit`` streams as ``StreamedData``, and other data unchanged.

    Sources of rows are streamed. Mapped arrays, sparse matrices, and arrays that another library keeps
    in a file (h5py) are streamed if their values take more than ``SHARE`` of the free memory.
    """
    if data is None or isinstance(data, StreamedData | jax.Array | str | dict | list | tuple):
        return data
    if isinstance(data, np.ndarray):
        is_streamed = find_mapped_array(data) is not None and _is_large(data.nbytes)
        return StreamedData(data) if is_streamed else data
    if is_sparse(data):
        rows = SparseRows(data)
        return StreamedData(rows) if _is_large(rows.nbytes) else data
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        return data
    in_memory = hasattr(data, "__array__") and not _is_large(getattr(data, "nbytes", 0))
    return data if in_memory else StreamedData(data)


def _is_large(size: int) -> bool:
    return size > SHARE * free_memory()


def free_memory() -> int:
    """Return the free memory of the machine, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
