"""Progress bars in a terminal or a notebook, and progress lines in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm.auto import tqdm

LINE_INTERVAL = 30.0  # seconds between two lines
FORMAT = "{unit} {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


def progress_bar(items: Iterable | None = None, **options: Any) -> "tqdm | ProgressLines":
    """Return tqdm's bar, or ``ProgressLines`` if standard error is a file or a pipe."""
    return (ProgressLines if _writes_to_log() else tqdm)(items, **options)


def _writes_to_log() -> bool:
    """Return whether a carriage return does not overwrite the line. In a notebook it does."""
    stream = sys.stderr
    return not (stream.isatty() or type(stream).__module__.startswith("ipykernel"))


class ProgressLines:
    """A replacement for tqdm's bar in log files: a line every ``LINE_INTERVAL`` seconds, and the last.

    A loop that ends within that time prints nothing.
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
        self._desc = desc  # tqdm's `leave` has no effect: a printed line always stays
        self._initial = self._n = self._n_at_last_line = initial
        self._start_time = self._last_time = time.monotonic()
        self._postfix = ""

    def __iter__(self) -> Iterator:
        with self:
            for item in self._items or ():
                yield item
                self.update()

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(self, *_: object) -> None:
        if self._initial < self._n_at_last_line < self._n:
            self._print_line()

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:  # noqa: FBT001, FBT002  tqdm's
        """Set the end of the next line."""
        self._postfix = text

    def update(self, n: int = 1) -> None:
        """Count ``n`` more items. Print a line if one is due."""
        self._n += n
        if time.monotonic() - self._last_time >= LINE_INTERVAL:
            self._print_line()

    def write(self, text: str) -> None:
        """Print a text between two lines."""
        print(text, flush=True)

    def _print_line(self) -> None:
        now = time.monotonic()
        self._last_time, self._n_at_last_line = now, self._n
        unit = f"{self._desc}: {self._unit}" if self._desc else self._unit
        options = {"unit": unit, "postfix": self._postfix, "initial": self._initial}
        line = tqdm.format_meter(
            self._n, self._total, now - self._start_time, bar_format=FORMAT, **options
        )
        if not self._disable:
            print(line, file=sys.stderr, flush=True)
