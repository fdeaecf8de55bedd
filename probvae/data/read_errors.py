"""Reading what others wrote: a bound on size, and damage told in words."""

import csv
import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

MAX_BYTES = 8 * 2**30

DAMAGE = (
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    csv.Error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class DataError(ValueError):
    """Data or a file which is not what it should be; the message says what was expected."""


@contextmanager
def reading(path: str | os.PathLike[str], *, expected: str) -> Iterator[None]:
    """Turn whatever a decoder raises inside into a `DataError` that names `path` and `expected`."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else "the file ends too early"
        raise DataError(
            f"cannot read {path}: expected {expected}, got {type(error).__name__}: {reason}; usual "
            "fix: check that the file is complete, readable and of that format, or fetch it again"
        ) from None


def check_size(size: int, *, what: str) -> None:
    """Raise `DataError` where `what` declares more than `MAX_BYTES` (8 GiB) unpacked."""
    if size > MAX_BYTES:
        raise DataError(
            f"{what} declares {size:,} bytes unpacked, expected at most {MAX_BYTES:,}; "
            "usual fix: keep fewer rows, a smaller dtype such as uint8, or a folder of train.npy and "
            "test.npy, which are mapped"
        )
