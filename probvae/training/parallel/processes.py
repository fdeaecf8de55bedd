"""Processes: what those of one run agree upon, and what the first alone does."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from probvae.training.checkpointing import file_format as files
from probvae.training.parallel.devices import DataParallel, OneDevice

FAILED = 255  # above every signal's number
UNTOLD = -1


class LostProcessError(RuntimeError):
    """Another process of the run has ended, or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """The processes of one run: all of JAX's, or this one alone.

    Attributes:
        count: how many.
        index: which this one is.
    """

    count: int = 1
    index: int = 0

    @property
    def is_first(self) -> bool:
        """Whether it is this one that writes."""
        return self.index == 0

    def agreed(self, number: int | None) -> int | None:
        """Return the largest number that any of them has; None where none has one.

        Raises:
            LostProcessError: where one has failed.
        """
        if self.count == 1:
            return number
        found = int(np.max(multihost_utils.process_allgather(np.int32(number or 0))))
        if found == FAILED != number:
            raise LostProcessError(
                "another process of this run has failed: its own message says of what. Put that right, "
                "and start all of them anew by the same call."
            )
        return found or None

    def check_same(self, digests: dict[str, str]) -> None:
        """Raise unless all were given the same (digests by name)."""
        if self.count == 1:
            return
        own = np.array([int(digest[:7], 16) for digest in digests.values()], np.int32)
        with _unless_lost():
            every = np.asarray(multihost_utils.process_allgather(own))
        odd = [name for name, column in zip(digests, every.T, strict=True) if len(set(column)) > 1]
        if odd:
            raise ValueError(
                f"the processes of this run were given different {', '.join(odd)}: expected the same "
                "call, with the same data and keys, in each. Compare their arguments and files."
            )

    def by_first(self, read: Callable[[], files.SavedState | None]) -> files.SavedState | None:
        """Return what the first reads, which tells the others, also where it fails.

        Raises:
            LostProcessError: where the first has failed.
        """
        if self.count == 1:
            return read()
        if self.is_first:
            try:
                found = read()
            except BaseException:
                _broadcast(UNTOLD)
                raise
            content = b"" if found is None else files.content(found, found.configuration)
            _broadcast(len(content))
            _broadcast(np.frombuffer(content, np.uint8))
            return found
        size = int(_broadcast(0))
        if size == UNTOLD:
            raise LostProcessError(
                "the first process of this run could not begin: its own message says why. Put that "
                "right, and start all of them anew by the same call."
            )
        return _read(np.asarray(_broadcast(np.zeros(size, np.uint8))).tobytes())


def _broadcast(value: Any) -> Any:
    """Return what the first has; all call this at once, with arrays of one shape."""
    with _unless_lost():
        return multihost_utils.broadcast_one_to_all(
            np.asarray(value, getattr(value, "dtype", np.int32))
        )


@contextmanager
def _unless_lost() -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise lost(None, kept=True) from error


def _read(content: bytes) -> files.SavedState | None:
    if not content:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "told.safetensors"
        path.write_bytes(content)
        return files.read(path)


def lost(num_epochs: int | None, *, kept: bool) -> LostProcessError:
    """Return the error that a run ends with, after so many epochs, where another process is gone."""
    anew = (
        "Start all processes anew by the same call: the run goes on after the last checkpoint."
        if kept
        else "Nothing of it is kept; checkpoints=Checkpoints(folder) keeps a run as it goes."
    )
    when = "before the first epoch" if num_epochs is None else f"after epoch {num_epochs}"
    return LostProcessError(
        f"another process of this run has ended, or cannot be reached, {when}: see what that one says. "
        f"{anew}"
    )


def processes_of(devices: DataParallel | OneDevice) -> Processes:
    """Return the processes whose devices a run uses.

    Raises:
        ValueError: where they are several, and not all, or not this one.
    """
    if isinstance(devices, OneDevice) or jax.process_count() == 1:
        return Processes()
    used, here = {device.process_index for device in devices.used}, jax.process_index()
    if used == {here}:
        return Processes()
    if len(used) < jax.process_count():
        raise ValueError(
            f"devices are those of the processes {sorted(used)}, and there are {jax.process_count()}: "
            "expected those of all, DataParallel(), or this one's, DataParallel(jax.local_devices())."
        )
    return Processes(jax.process_count(), here)
