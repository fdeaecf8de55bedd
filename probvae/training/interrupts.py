"""Signals, such as Ctrl-C, that end a run after the epoch."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import jax

POLL_INTERVAL = 0.005  # seconds
SHORT_WAIT = 0.5  # seconds: a program that ends within it is not polled

Tree = TypeVar("Tree")


@dataclass
class StopRequest:
    """The number of the signal that asked a run to stop, or None so far."""

    signal: int | None = None


@contextmanager
def record_signals(*, terminate: bool) -> Iterator[StopRequest]:
    """Record SIGINT (Ctrl-C) instead of raising KeyboardInterrupt. A second one has its usual effect.

    Signals that the process ignores stay ignored. Signals reach the main thread alone, so in any other
    thread nothing changes.

    Args:
        terminate: whether to record SIGTERM, too.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers: dict[int, Any] = {}

    def record(number: int, _: FrameType | None) -> None:
        request.signal = number
        signal.signal(number, handlers[number])
        os.write(2, b"\nending after this epoch. Press Ctrl-C again to end the epoch at once.\n")

    for kind in (signal.SIGINT, *([signal.SIGTERM] if terminate else [])):
        if (handler := signal.getsignal(kind)) not in (None, signal.SIG_IGN):
            handlers[kind] = handler
    try:
        for number in handlers:
            signal.signal(number, record)
        yield request
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def await_results(results: Tree, *, poll: bool) -> Tree:
    """Return the device's results as NumPy arrays.

    Args:
        results: a tree of arrays.
        poll: wait in short sleeps. Python then handles a signal at once, not when the device is done.
    """
    while poll and not all(leaf.is_ready() for leaf in jax.tree.leaves(results)):
        time.sleep(POLL_INTERVAL)
    return jax.device_get(results)
