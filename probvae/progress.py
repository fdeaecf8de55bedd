"""Progress: tqdm's bar in a terminal, a line that changes in a notebook, lines in a log file."""

import importlib
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

LINE_INTERVAL = 30.0  # seconds between two lines of a log file
NOTEBOOK_INTERVAL = 0.2  # seconds between two changes of the line in a notebook
SHORT = 1.0  # seconds within which a loop over items, such as reading data, shows nothing
FORMAT = "{unit} {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


NOTEBOOK_FORMAT = "{unit} {n_fmt}/{total_fmt} |{bar:24}| {elapsed}<{remaining}{postfix}"


def progress_bar(items: Iterable | None = None, **options: Any) -> "tqdm | ProgressLines":
    """Return ``NotebookLine``, tqdm's bar, or ``ProgressLines`` if standard error is a file or pipe."""
    if type(sys.stderr).__module__.startswith("ipykernel"):
        return NotebookLine(items, **options)
    return (tqdm if sys.stderr.isatty() else ProgressLines)(items, **options)


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
        line = self._format_line(FORMAT)
        if not self._disable:
            print(line, file=sys.stderr, flush=True)

    def _format_line(self, bar_format: str) -> str:
        now = time.monotonic()
        self._last_time, self._n_at_last_line = now, self._n
        unit = f"{self._desc}: {self._unit}" if self._desc else self._unit
        options = {"unit": unit, "postfix": self._postfix, "initial": self._initial}
        seconds = now - self._start_time
        return tqdm.format_meter(self._n, self._total, seconds, bar_format=bar_format, **options)


class NotebookLine(ProgressLines):
    """A line in the output of a cell that changes in place, and ends as a summary of the loop.

    tqdm's own bar for notebooks is a widget. A saved notebook cannot show it, and it needs ipywidgets.
    """

    _display: Any = None  # IPython's handle, once there is something to show

    def __enter__(self) -> "NotebookLine":
        if self._items is None:  # a training run, whose first epoch is compiled first
            self._show(self._format_line(NOTEBOOK_FORMAT))
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            self._show(self._summarize())

    def update(self, n: int = 1) -> None:
        """Count ``n`` more items. Change the line if it is due."""
        self._n += n
        now = time.monotonic()
        if now - self._start_time >= SHORT and now - self._last_time >= NOTEBOOK_INTERVAL:
            self._show(self._format_line(NOTEBOOK_FORMAT))

    def _summarize(self) -> str:
        """Return a line such as ``30 epochs, 5.2 s, validation ELBO ...``."""
        n = self._n - self._initial
        more = " more" if self._initial else ""
        name = f"{self._desc}: " if self._desc else ""
        seconds = f"{time.monotonic() - self._start_time:.1f} s"
        count = f"{n}{more} {self._unit}{'' if n == 1 else 's'}"
        return name + ", ".join(filter(None, [count, seconds, self._postfix]))

    def _show(self, text: str) -> None:
        if self._disable:
            return
        content = {"text/plain": text}
        if self._display is None:
            display = importlib.import_module("IPython.display").display
            self._display = display(content, raw=True, display_id=True)
        else:
            self._display.update(content, raw=True)
