"""A point of a run, and how a process ends itself there."""

import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple


class Point(NamedTuple):
    """A point of a run: in which phase, its name, and what makes a process die there."""

    phase: str
    name: str
    arm: Callable[[float], None]  # is told how many seconds the first compilation takes


def die() -> None:
    """End this process as a machine that stops does: nothing is closed, flushed or taken away."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
