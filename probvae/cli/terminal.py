"""Standard output and standard error that survive a lost terminal, a full disk and any encoding."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class LenientStream:
    """A text stream that never raises ``OSError``, so that a lost terminal does not end a training.

    After the first failed write, later text is dropped. ``error`` holds the reason.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, or drop it if an earlier write has failed."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if no write has failed."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.error = error
        try:  # Python flushes the stream again at exit, and would fail again
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        except (OSError, ValueError, AttributeError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lenient_output() -> Iterator[LenientStream | None]:
    """Escape characters that the terminal cannot show, and survive the loss of the terminal.

    Yields:
        the stream that replaces standard output. None for a process without one.
    """
    before = sys.stdout, sys.stderr
    handlers = [_escape(stream) for stream in before]
    sys.stdout, sys.stderr = (stream and LenientStream(stream) for stream in before)
    try:
        yield sys.stdout  # type: ignore[misc]
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before
        for stream, errors in zip(before, handlers, strict=True):
            if errors is not None:
                stream.reconfigure(errors=errors)  # type: ignore[union-attr]


def _escape(stream: Any) -> str | None:
    """Let a stream escape characters that its encoding lacks. Return its former error handler."""
    if not hasattr(stream, "reconfigure"):
        return None
    errors = stream.errors
    stream.reconfigure(errors="backslashreplace")
    return errors
