"""Data that stay where they are: rows are read as they are wanted, from a file or any source."""

import copy
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from probvae.containers import check_real, is_sparse
from probvae.data.read_errors import DataError
from probvae.precision import in_precision

SHARE = 0.25  # of the free memory: a mapped file that is larger is streamed unasked
CHUNK = 32 * 2**20  # bytes read at a time: three such chunks are in memory at once


class StreamedData:
    """Data that ``fit`` reads chunk by chunk, and never holds as a whole.

        fit(vae, StreamedData(np.load("faces.npy", mmap_mode="r")), ...)

    A mapped array (``np.memmap``, ``np.load(mmap_mode="r")``, a slice of one) is read from its file
    without touching the map: a file that was cut short is an error in words, not a bus error.

    Args:
        source: a mapped array, or anything with ``len(source)`` and ``source[rows]``, where rows is an
            ascending integer array and the answer an array ``(len(rows), *event_shape)``.
        chunk_bytes: how much to read at a time; the losses do not depend on it.

    Raises:
        TypeError: if the source cannot be read by rows.
        ValueError: if it has no rows, or ``chunk_bytes`` is not positive.
    """

    def __init__(self, source: Any, *, chunk_bytes: int = CHUNK) -> None:
        if is_sparse(source):
            source = SparseRows(source)
        if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
            raise TypeError(
                f"StreamedData expects a source with len(source) and source[rows]; got {type(source)}. "
                "Write an iterator's data to a file, np.save, and map it: np.load(mmap_mode='r')."
            )
        if chunk_bytes < 1 or len(source) == 0:
            raise ValueError(
                f"StreamedData expects rows, and chunk_bytes > 0; got {len(source)} rows, {chunk_bytes}."
            )
        self.source, self.chunk_bytes = source, chunk_bytes
        self._file = MappedRows.of(source)
        first = self._raw(np.arange(1)) if self._file else self._first_row()
        self.shape, self.dtype = (len(source), *first.shape[1:]), first.dtype
        self.loaded_dtype = _loaded_dtype(self.dtype)

    def load_as(self, dtype: np.dtype) -> "StreamedData":
        """Return the same data, which ``fit`` loads as another dtype."""
        same = copy.copy(self)
        same.loaded_dtype = dtype
        return same

    def __len__(self) -> int:
        return self.shape[0]

    def __str__(self) -> str:
        return str(self._file.path if self._file else f"a source ({type(self.source).__name__})")

    @property
    def nbytes(self) -> int:
        """The size of all data."""
        return len(self) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """The size of one datum."""
        return max(int(np.prod(self.shape[1:], dtype=int)) * self.dtype.itemsize, 1)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return rows, in the order asked; they are read in that of the file."""
        order, back = np.unique(rows, return_inverse=True)
        found = self._raw(order)
        told = (found.shape, found.dtype)
        if told != ((len(order), *self.shape[1:]), self.dtype):
            raise self.fault(order, f"{told[1]} {told[0]}, unlike row 0, {self.dtype} {self.shape[1:]}")
        ascending = len(order) == len(rows) and (back[1:] > back[:-1]).all()
        return found if ascending else found[back]

    def blocks(self) -> Any:
        """Yield all rows in order, a chunk at a time."""
        step = max(self.chunk_bytes // self.row_bytes, 1)
        for start in range(0, len(self), step):
            yield self.read(np.arange(start, min(start + step, len(self))))

    def _first_row(self) -> np.ndarray:
        """Return the first row; raise if the source cannot be read by arrays of row numbers."""
        kind = type(self.source).__name__
        try:
            found = self.source[np.arange(1)]
            got = f"source[np.arange(1)] is a {type(found).__name__}"
        except Exception as error:  # noqa: BLE001  of the source, whatever it is
            found, got = None, f"source[np.arange(1)] raises {type(error).__name__}: {error}"
        if isinstance(found, tuple | dict) or found is None:
            raise DataError(
                f"a source ({kind}): expected source[rows] to take an ascending integer array and to "
                f"return an array (len(rows), *event_shape); {got}. {self._stack_remedy()}"
            )
        row = _without_mask(found)
        check_real(f"a source ({kind})", row.dtype)
        if row.ndim < 1 or len(row) != 1:
            raise DataError(
                f"a source ({kind}): expected an array (1, *event_shape) for one row, got shape "
                f"{row.shape}. {self._stack_remedy()}"
            )
        return row

    def _stack_remedy(self) -> str:
        """Return how the rows of a dataset that answers single integers become one array."""
        try:
            item = self.source[0]
        except Exception:  # noqa: BLE001  of the source, whatever it is
            item = None
        part = "[0]" if isinstance(item, tuple) else ""
        if isinstance(item, dict):
            part = f"[{next(iter(item), 'x')!r}]"
        return (
            "Of a dataset that gives one item for each integer, stack the items: "
            f"np.stack([np.asarray(dataset[i]{part}) for i in range(len(dataset))])."
        )

    def _raw(self, rows: np.ndarray) -> np.ndarray:
        try:
            return self._file.read(rows) if self._file else _without_mask(self.source[rows])
        except Exception as error:
            raise self.fault(rows, f"{type(error).__name__}: {error}") from error

    def fault(self, rows: np.ndarray, got: str) -> DataError:
        """Return the error that says what was read in place of rows that were there before."""
        return DataError(
            f"{self}: cannot read rows {rows[0]} to {rows[-1]}: expected the data that were there when "
            f"the run began, got {got}; usual fix: bring the file back whole, drop the rows that are "
            "damaged, and go on from a checkpoint"
        )


class SparseRows:
    """The rows of a sparse matrix as a source: dense, but few at a time."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix.tocsr()
        self.nbytes = int(np.prod(matrix.shape, dtype=np.int64)) * matrix.dtype.itemsize

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.matrix[rows].toarray()


def _loaded_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which JAX takes numbers of another."""
    return in_precision(np.zeros(0, dtype)).dtype


def _without_mask(rows: Any) -> np.ndarray:
    """Return rows as an array, with NaN where they are masked."""
    rows = np.asanyarray(rows)
    if isinstance(rows, np.ma.MaskedArray) and np.ma.is_masked(rows):
        rows = np.ma.asarray(rows, np.result_type(rows.dtype, np.float32)).filled(np.nan)
    return np.asarray(rows)


class MappedRows:
    """The rows of a mapped array, read from its file."""

    def __init__(self, path: Path, offset: int, like: np.ndarray) -> None:
        self.path, self.offset, self.event, self.dtype = path, offset, like.shape[1:], like.dtype
        self.bytes = like.strides[0]
        self.end = offset + len(like) * self.bytes
        self.inode = os.stat(path).st_ino

    @classmethod
    def of(cls, array: Any) -> "MappedRows | None":
        """Return the rows of a mapped array, or of a slice of one; None for what is not mapped."""
        root = find_mapped_array(array)
        if root is None or root.filename is None or not array.flags.c_contiguous:
            return None
        start = root.offset + array.ctypes.data - root.ctypes.data
        return cls(Path(root.filename), start, array)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read ascending rows."""
        found = np.empty((len(rows), *self.event), self.dtype)
        into = found.reshape(len(rows), -1).view(np.uint8)
        with self.path.open("rb", buffering=0) as stream:
            there = os.fstat(stream.fileno())
            if there.st_size < self.end or there.st_ino != self.inode:
                raise EOFError(f"{there.st_size:,} bytes of {self.end:,}, or another file of that name")
            for at, first, count in _runs(rows):
                self._read_into(stream.fileno(), into[at : at + count], first)
        return found

    def _read_into(self, file: int, into: Any, first: int) -> None:
        got = os.preadv(file, [into], self.offset + first * self.bytes)
        if got != into.nbytes:
            raise EOFError(f"{got:,} bytes where {into.nbytes:,} were expected, at row {first}")


def _runs(rows: np.ndarray) -> Any:
    """Yield where rows that follow one another begin: position, first row, how many."""
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
    counts = np.diff(starts, append=len(rows))
    return zip(starts.tolist(), rows[starts].tolist(), counts.tolist(), strict=True)


def find_mapped_array(array: Any) -> np.memmap | None:
    """Return the mapped array that an array is a view of; None where it is in memory."""
    root = None
    while isinstance(array, np.ndarray):
        root = array if isinstance(array, np.memmap) else root
        array = array.base
    return root if type(array).__name__ == "mmap" else None


def as_streamed(given: Any) -> Any:
    """Return what ``fit`` streams as ``StreamedData``, and all else as it is.

    StreamedData are sources of rows. Of mapped arrays, sparse matrices, and arrays that another library
    keeps in a file (h5py), those whose values are more than ``SHARE`` of the free memory.
    """
    if isinstance(given, StreamedData) or given is None or isinstance(given, str | dict | list | tuple):
        return given
    if isinstance(given, np.ndarray):
        return (
            StreamedData(given)
            if find_mapped_array(given) is not None and _is_large(given.nbytes)
            else given
        )
    if isinstance(given, jax.Array):
        return given
    if is_sparse(given):
        rows = SparseRows(given)
        return StreamedData(rows) if _is_large(rows.nbytes) else given
    if not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        return given
    in_memory = hasattr(given, "__array__") and not _is_large(getattr(given, "nbytes", 0))
    return given if in_memory else StreamedData(given)


def _is_large(size: int) -> bool:
    return size > SHARE * free_memory()


def free_memory() -> int:
    """Return the memory that the machine has to give, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
