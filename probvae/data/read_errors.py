"""Errors of reading data files: `DataError`, a bound on size, and messages for corrupt files."""

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

# the errors that a decoder raises for a corrupt file
CORRUPTION = (
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
    """An error in data or in a data file. The message says what was expected."""


@contextmanager
def explain_read_errors(path: str | os.PathLike[str], *, expected: str) -> Iterator[None]:
    """Turn the errors of a decoder into a `DataError` that names `path` and the `expected` format."""
    try:
        yield
    except DataError:
        raise
    except CORRUPTION as error:
        reason = str(error).splitlines()[0] if str(error) else "the file ends too early"
        fix = "Check that the file is complete, readable and of that format, or download it again."
        got = f"{type(error).__name__}: {reason.rstrip('.')}"
        raise DataError(f"cannot read {path}: expected {expected}; got {got}. {fix}") from None


def check_size(size: int, *, what: str) -> None:
    """Raise `DataError` if `size`, in bytes after unpacking, is above `MAX_BYTES` (8 GiB)."""
    if size > MAX_BYTES:
        fix = (
            "Keep fewer rows, use a smaller dtype such as uint8, or save a folder of train.npy and "
            "test.npy, which are memory-mapped."
        )
        expected = f"at most {MAX_BYTES:,}"
        raise DataError(f"{what} declares {size:,} bytes unpacked; expected {expected}. {fix}")
