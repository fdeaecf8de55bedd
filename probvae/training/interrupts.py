"""Signals that ask a run to end: noted, and heeded at the end of the epoch."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax

PAUSE = 0.005  # seconds
SHORT = 0.5  # seconds: what is done by then is simply waited for


@dataclass
class StopRequest:
    """What a run was asked by: the signal's number, or None so far."""

    by: int | None = None


@contextmanager
def note_signals(*, terminate: bool) -> Iterator[StopRequest]:
    """Note SIGINT (Ctrl-C) and, if told to, SIGTERM; a second one of a kind does what it always does.

    One that is ignored stays so, and in another thread than the main one, which no signal reaches,
    nothing is changed.

    Args:
        terminate: whether SIGTERM is noted, too.
    """
    asked = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before: dict[int, Any] = {}

    def note(number: int, _: Any) -> None:
        asked.by = number
        signal.signal(number, before[number])
        os.write(2, b"\nending after this epoch; the same signal again ends it at once\n")

    for kind in (signal.SIGINT, *([signal.SIGTERM] if terminate else [])):
        if (handler := signal.getsignal(kind)) not in (None, signal.SIG_IGN):
            before[kind] = handler
    try:
        for number in before:
            signal.signal(number, note)
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def await_results(results: Any, *, patiently: bool) -> Any:
    """Return what the device computes, as NumPy arrays.

    Args:
        results: a tree of arrays.
        patiently: come up for signals while it computes: they are heard at once, not when it is done.
    """
    while patiently and not all(leaf.is_ready() for leaf in jax.tree.leaves(results)):
        time.sleep(PAUSE)
    return jax.device_get(results)
