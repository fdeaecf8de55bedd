"""IDX, the format of the MNIST files: a big-endian header, then the values; plain or gzipped."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from probvae.data.read_errors import DataError, check_size, reading

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """Read the array of an IDX file (`.gz` too); ValueError where it is damaged or too large."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with reading(path, expected="an IDX file"), opened(path, "rb") as stream:
        shape, dtype = _read_header(stream, path=path)
        size = math.prod(shape) * dtype.itemsize
        check_size(size, what=str(path))
        content = stream.read(size + 1)
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content):,}"
        raise DataError(
            f"{path}: expected {size:,} bytes for shape {shape} of {dtype}, got {more}; "
            "usual fix: the file is damaged, fetch it again"
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_header(stream, *, path):
    zero, code, ndim = struct.unpack(">HBB", stream.read(4))
    if zero != 0 or code not in DTYPES:
        raise DataError(
            f"{path}: expected an IDX file, which starts with bytes 0, 0 and a type in "
            f"{sorted(DTYPES)}, got {zero >> 8}, {zero & 255} and {code}; usual fix: fetch it again"
        )
    return struct.unpack(f">{ndim}I", stream.read(4 * ndim)), np.dtype(DTYPES[code])
