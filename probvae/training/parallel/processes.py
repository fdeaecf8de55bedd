"""Processes: agreement between the processes of one run, and what only the first one does."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from probvae.training.checkpointing import file_format
from probvae.training.checkpointing.file_format import SavedState
from probvae.training.parallel.devices import DataParallel, OneDevice
from probvae.typing import ArrayLike

FAILED = 255  # above every signal's number
NO_CONTENT = -1
RESTART = "Its own message gives the cause. Then restart all processes with the same call."


class LostProcessError(RuntimeError):
    """Another process of the run has ended, or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """The processes of one run: all of JAX's, or only this one.

    Attributes:
        count: their number.
        index: the index of this process.
    """

    count: int = 1
    index: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and calls callbacks."""
        return self.index == 0

    def agree_on(self, number: int | None) -> int | None:
        """Return the largest number of all processes, or None if none has one.

        Raises:
            LostProcessError: if another process has failed.
        """
        if self.count == 1:
            return number
        largest = int(np.max(multihost_utils.process_allgather(np.int32(number or 0))))
        if largest == FAILED != number:
            raise LostProcessError(f"another process of this run has failed. {RESTART}")
        return largest or None

    def check_same(self, digests: dict[str, str]) -> None:
        """Raise ValueError unless all processes have the same digests."""
        if self.count == 1:
            return
        own = np.array([int(digest[:7], 16) for digest in digests.values()], np.int32)
        with _report_lost():
            every = np.asarray(multihost_utils.process_allgather(own))
        odd = [name for name, column in zip(digests, every.T, strict=True) if len(set(column)) > 1]
        if odd:
            raise ValueError(
                f"the processes of this run got different values of {', '.join(odd)}. Call fit with "
                "the same arguments in every process."
            )

    def read_on_first(self, read: Callable[[], SavedState | None]) -> SavedState | None:
        """Read on the first process, and return the result on all.

        Raises:
            LostProcessError: if the first process failed.
        """
        if self.count == 1:
            return read()
        if self.is_first:
            try:
                saved = read()
            except BaseException:
                _broadcast(NO_CONTENT)
                raise
            content = b"" if saved is None else file_format.to_bytes(saved, saved.configuration)
            _broadcast(len(content))
            _broadcast(np.frombuffer(content, np.uint8))
            return saved
        # An array's size must be known before it is received, so the size goes first.
        size = int(_broadcast(0))
        if size == NO_CONTENT:
            raise LostProcessError(f"the first process of this run could not start. {RESTART}")
        return _read_bytes(_broadcast(np.zeros(size, np.uint8)).tobytes())


def _broadcast(value: ArrayLike | int) -> np.ndarray:
    """Return the first process's value. All call this at once, with arrays of one shape."""
    with _report_lost():
        return np.asarray(
            multihost_utils.broadcast_one_to_all(np.asarray(value, getattr(value, "dtype", np.int32)))
        )


@contextmanager
def _report_lost() -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise lost_process_error(None, has_checkpoints=True) from error


def _read_bytes(content: bytes) -> SavedState | None:
    if not content:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "received.safetensors"
        path.write_bytes(content)
        return file_format.read(path)


def lost_process_error(num_epochs: int | None, *, has_checkpoints: bool) -> LostProcessError:
    """Return the error of a run that lost another process after this number of epochs."""
    advice = (
        "Restart all processes with the same call: the run resumes after the last checkpoint."
        if has_checkpoints
        else "Nothing was saved. To resume such a run, use checkpoints=Checkpoints(folder)."
    )
    when = "before the first epoch" if num_epochs is None else f"after epoch {num_epochs}"
    return LostProcessError(
        f"another process of this run has ended, or cannot be reached, {when}. Read its own message. "
        f"{advice}"
    )


def find_processes(devices: DataParallel | OneDevice) -> Processes:
    """Return the processes whose devices a run uses.

    Raises:
        ValueError: for several processes that are not all, or do not include this one.
    """
    if isinstance(devices, OneDevice) or jax.process_count() == 1:
        return Processes()
    owners, here = {device.process_index for device in devices.device_list}, jax.process_index()
    if owners == {here}:
        return Processes()
    if len(owners) < jax.process_count():
        raise ValueError(
            f"devices belong to only {len(owners)} of {jax.process_count()} processes. Use those of "
            "all, DataParallel(), or those of this one, DataParallel(jax.local_devices())."
        )
    return Processes(jax.process_count(), here)
