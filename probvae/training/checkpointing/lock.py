"""A lock on a folder: one process writes, and the lock ends with its process.

The ``filelock`` library is not used. Its lock also ends with a killed process, but its file stays in
the folder, and its error does not say which process holds the lock.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no such lock: the file still says who writes, but bars nobody
    fcntl = None  # type: ignore[assignment]


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock, which is a file that names its holder.

    Args:
        path: the file, in an existing folder. It is deleted with the lock.

    Raises:
        BlockingIOError: if another process holds the lock. The message names that process.
    """
    file = _open_lock(path)
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}, since {datetime.now():%Y-%m-%d %H:%M}")
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _open_lock(path: Path) -> IO[str]:
    """Open and lock a file.

    Its holder may delete the file between our opening and our locking it. We would then hold a lock on
    a file that nobody else can see, so we compare it with the file at ``path`` and try again.
    """
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            _lock(file, path)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: IO[str], path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read() or "another process"
        message = (
            f"{path.parent} is being written by {holder}. Wait until that process ends, or end it."
        )
        raise BlockingIOError(error.errno, message) from None
