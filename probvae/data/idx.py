"""A reader of IDX, the format of the MNIST files: a big-endian header, then the values."""

import gzip
import math
import struct
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from probvae.data.read_errors import DataError, check_size, explain_read_errors
from probvae.typing import Shape

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """Read the array of an IDX file, plain or gzipped. A corrupt one raises `ValueError`."""
    open_file = gzip.open if path.name.lower().endswith(".gz") else open
    with explain_read_errors(path, expected="an IDX file"), open_file(path, "rb") as stream:
        shape, dtype = _read_header(stream, path=path)
        size = math.prod(shape) * dtype.itemsize
        check_size(size, what=str(path))
        content = stream.read(size + 1)  # one byte more than declared, to notice a longer file
    if len(content) != size:
        got = "more" if len(content) > size else f"{len(content):,}"
        fix = "The file is corrupt. Download it again."
        raise DataError(
            f"{path}: expected {size:,} bytes for shape {shape} of {dtype}; got {got}. {fix}"
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_header(stream: BufferedIOBase, *, path: Path) -> tuple[Shape, np.dtype]:
    zero, code, ndim = struct.unpack(">HBB", stream.read(4))
    if zero != 0 or code not in DTYPES:
        expected = f"an IDX file, which starts with bytes 0, 0 and a type in {sorted(DTYPES)}"
        got = f"{zero >> 8}, {zero & 255} and {code}. Download it again."
        raise DataError(f"{path}: expected {expected}; got {got}")
    return struct.unpack(f">{ndim}I", stream.read(4 * ndim)), np.dtype(DTYPES[code])
