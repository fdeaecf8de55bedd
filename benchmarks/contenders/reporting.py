"""What every contender measures of itself, and the one line of JSON that it ends with."""

import json
import logging
import os
import resource
import sys
import time

import numpy as np


class Clock:
    """Wall and CPU seconds of each epoch, from construction on."""

    def __init__(self) -> None:
        self._at = [(time.perf_counter(), time.process_time())]

    def tick(self) -> None:
        """Note the end of an epoch."""
        self._at.append((time.perf_counter(), time.process_time()))

    @property
    def seconds(self) -> tuple[list[float], list[float]]:
        """Wall and CPU seconds of each epoch; the first includes all that comes before it."""
        wall, cpu = np.diff(self._at, axis=0).T.tolist()
        return wall, cpu


class Compilations(logging.Handler):
    """Programs that JAX compiles from now on, by name, as it logs them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        import jax

        jax.config.update("jax_log_compiles", True)  # noqa: FBT003
        logger = logging.getLogger("jax")
        logger.handlers, logger.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the name in "Finished XLA compilation of jit(name) in ..."."""
        words = record.getMessage().split()
        if words[:4] == ["Finished", "XLA", "compilation", "of"]:
            self.names.append(words[4].removeprefix("jit(").removesuffix(")"))

    def of(self, name: str) -> int:
        """Return how often a program of this name was compiled."""
        return self.names.count(name)


def arguments() -> tuple[np.ndarray, int]:
    """Return the images, as uint8 ``(n, 784)``, and the number of epochs, from the command line."""
    return np.load(sys.argv[1]).reshape(-1, 784), int(sys.argv[2])


def work() -> tuple[np.ndarray, int, int]:
    """Return images, epochs and the size of a batch: ``arguments``, and one more."""
    return *arguments(), int(sys.argv[3])


def peak_mib() -> float:
    """Return the largest resident memory that this process has had, imports included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(clock: Clock, nats: float, compilations: int | None) -> None:
    """Print what was measured as one line of JSON, and end: no exit handler may hang the run."""
    wall, cpu = clock.seconds
    found = {
        "seconds": wall,
        "cpu": cpu,
        "nats": nats,
        "compilations": compilations,
        "peak": peak_mib(),
    }
    print(json.dumps(found), flush=True)
    os._exit(0)
