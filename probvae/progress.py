"""Progress: a bar in a terminal or a notebook, and lines of their own in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm.auto import tqdm

EVERY = 30.0  # seconds from line to line
FORMAT = "{unit} {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


def bar(items: Iterable | None = None, **options: Any) -> Any:
    """Return tqdm's bar; where standard error is a file or a pipe, ``Lines``."""
    return (Lines if _is_log(sys.stderr) else tqdm)(items, **options)


def _is_log(stream: Any) -> bool:
    """Tell whether a stream shows a carriage return as it is: a notebook's does not."""
    return not (stream.isatty() or type(stream).__module__.startswith("ipykernel"))


class Lines:
    """What tqdm's bar is in a terminal, for a log file: a line every ``EVERY`` seconds, and the last.

    What is done within that time says nothing.
    """

    def __init__(
        self,
        items: Iterable | None = None,
        *,
        total: int | None = None,
        initial: int = 0,
        unit: str = "it",
        desc: str = "",
        leave: bool = True,
        disable: bool = False,
    ) -> None:
        self._items, self._unit, self._disable = items, unit, disable
        self._total = len(items) if total is None and isinstance(items, Sized) else total
        self._desc = desc  # `leave` is tqdm's: a line that was written stays
        self._initial = self._n = self._said = initial
        self._begun = self._at = time.monotonic()
        self._postfix = ""

    def __iter__(self) -> Iterator:
        with self:
            for item in self._items or ():
                yield item
                self.update()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        if self._initial < self._said < self._n:
            self._say()

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:  # noqa: FBT001, FBT002  tqdm's
        """Keep what the next line ends with."""
        self._postfix = text

    def update(self, n: int = 1) -> None:
        """Count one more, or ``n``; say so if it is time."""
        self._n += n
        if time.monotonic() - self._at >= EVERY:
            self._say()

    def write(self, text: str) -> None:
        """Write a line in between."""
        print(text, flush=True)

    def _say(self) -> None:
        now = time.monotonic()
        self._at, self._said = now, self._n
        unit = f"{self._desc}: {self._unit}" if self._desc else self._unit
        told = {"unit": unit, "postfix": self._postfix, "initial": self._initial}
        line = tqdm.format_meter(self._n, self._total, now - self._begun, bar_format=FORMAT, **told)
        if not self._disable:
            print(line, file=sys.stderr, flush=True)
