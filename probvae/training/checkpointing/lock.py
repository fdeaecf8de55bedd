"""One writer for a folder: a lock that a process which was killed does not leave behind."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: there is no such lock, and none is taken
    fcntl = None  # type: ignore[assignment]


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock, which is a file that says who holds it.

    Args:
        path: the file, in a folder that is there; it is gone when the lock is.

    Raises:
        BlockingIOError: if another process holds it; the message says which.
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
    """Open and lock a file; begin anew if its holder took it away in between."""
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
        raise BlockingIOError(
            error.errno,
            f"{path.parent} is being written by {holder}; expected a folder that nothing else writes. "
            "Wait until it ends, or end it.",
        ) from None
