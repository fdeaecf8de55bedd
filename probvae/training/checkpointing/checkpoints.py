"""Checkpoints: where a run is kept as it goes, so that it can go on to the same bits."""

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from probvae.checks import Checked, check_positive_integer
from probvae.training.checkpointing import file_format
from probvae.training.checkpointing.file_format import DamagedError, SavedState
from probvae.training.checkpointing.fingerprint import fingerprint
from probvae.training.checkpointing.lock import hold_lock
from probvae.training.parallel.processes import processes_of

LOCK = "lock"


@dataclass(frozen=True)
class Checkpoints(Checked):
    """A folder that a run is kept in, and goes on from.

        fit(..., checkpoints=Checkpoints("runs/first/checkpoints"))

    The same call again goes on after the last epoch that is kept there, and ends with the same bits as
    a run that was never stopped (on a CPU, with the same machine and versions). ``epochs`` may be
    raised, and ``early_stopping`` and ``keep_best`` changed; any other difference (the parts of the
    VAE, optimizer, key, data) is an error, and the folder stays as it is.

    A file holds all of a run: parameters, the optimizer's state, running state, the keys, the history,
    the best epoch's parameters beside the last's, versions. The run goes on from the last. A file holds
    arrays and text (safetensors), never pickle. It appears whole or not at all, and carries its
    checksum: one that is damaged is named in a warning, and the one before is used. The folder
    is locked against a second writer. With it, SIGTERM, like Ctrl-C, ends a run at the end of the
    epoch, with a checkpoint.

    Args:
        folder: where the files are; made if it is not there.
        every: epochs from one checkpoint to the next, at least.
        seconds: from one to the next, at least; 0 for one at each ``every`` epochs.
        keep: how many are kept; 2 at least, since the last may be damaged.

    Raises:
        ValueError: for a number that is out of range.
    """

    folder: str | os.PathLike
    every: int = 1
    seconds: float = 30.0
    keep: int = 2

    def __post_init__(self) -> None:
        check_positive_integer("every", self.every)
        check_positive_integer("keep", self.keep)
        if self.keep < 2:
            raise ValueError(f"keep expects 2 or more, since the last may be damaged; got {self.keep}.")
        if not (np.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"seconds expects a number, 0 or more; got {self.seconds!r}.")

    @property
    def files(self) -> list[Path]:
        """The files that are there, the last epoch's first."""
        return sorted(Path(self.folder).glob("epoch-*.safetensors"), reverse=True)

    @contextmanager
    def opened(self, configuration: dict[str, str]) -> Iterator["Keeper"]:
        """Hold the folder, for a run of this configuration (digests by name).

        Raises:
            ValueError: if the folder belongs to another configuration.
            OSError: if another process writes it, or it cannot be written.
        """
        folder = Path(self.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(error, folder) from error
        except ValueError as error:
            raise ValueError(f"folder={self.folder!r} is no name of a folder: {error}.") from error
        with hold_lock(folder / LOCK):
            for left in folder.glob(".*.partial"):
                left.unlink(missing_ok=True)
            yield Keeper(self, configuration)


class Keeper:
    """Checkpoints in an open folder."""

    def __init__(self, asked: Checkpoints, configuration: dict[str, str]) -> None:
        self._asked, self._configuration = asked, configuration
        self._folder = Path(asked.folder)
        self._written, self._at = 0, time.monotonic()
        self._damaged: list[Path] = []

    def last(self, epochs: int) -> SavedState | None:
        """Return the last checkpoint that is whole; None where none was written yet.

        Raises:
            ValueError: if it belongs to another configuration, has more epochs than a run of
                ``epochs``, or none is whole.
        """
        damaged = []
        for path in self._asked.files:
            try:
                found = file_format.read(path)
            except DamagedError as error:
                damaged.append(str(error))
                self._damaged.append(path)
                continue
            file_format.check_configuration(path, found, self._configuration)
            _check_length(path, found.num_epochs, epochs)
            _say_what_is_odd(damaged, path, found)
            self._written = found.num_epochs
            return found
        if damaged:
            raise ValueError(
                f"no checkpoint in {self._folder} is whole: {'; '.join(damaged)}. Put one back, or "
                "give a new folder to start anew."
            )
        return None

    def is_due(self, num_epochs: int) -> bool:
        """Tell whether a checkpoint is to be written after so many epochs."""
        waited = time.monotonic() - self._at >= self._asked.seconds
        return waited and num_epochs - self._written >= self._asked.every

    def write(self, standing: SavedState) -> None:
        """Write a checkpoint, and take away those that are no longer kept.

        Raises:
            OSError: if it cannot be written; those that are there stay.
        """
        if standing.num_epochs in (0, self._written):
            return
        path = self._folder / f"epoch-{standing.num_epochs:08d}.safetensors"
        try:
            file_format.write(path, standing, self._configuration)
        except OSError as error:
            raise _unwritable(error, path) from error
        self._written, self._at = standing.num_epochs, time.monotonic()
        for old in {*self._damaged, *self._asked.files[self._asked.keep :]} - {path}:
            old.unlink(missing_ok=True)


def _check_length(path: Path, kept: int, epochs: int) -> None:
    if kept > epochs:
        raise ValueError(
            f"{path} holds {kept} epochs, and the run is to have {epochs}. Take epochs={kept} or more, "
            "or a new folder."
        )


def _say_what_is_odd(damaged: list[str], path: Path, found: SavedState) -> None:
    if damaged:
        told = f"{'; '.join(damaged)}. The one before is used: {path}, of {found.num_epochs} epochs."
        warnings.warn(told, stacklevel=2)
    now = file_format.circumstances()
    changed = [f"{k} {v}, now {now.get(k)}" for k, v in found.circumstances.items() if v != now.get(k)]
    if changed:
        warnings.warn(
            f"{path} was written under other circumstances ({', '.join(changed)}): the run goes on, "
            "but not to the bits of one that was never stopped.",
            stacklevel=2,
        )


def _unwritable(error: OSError, path: Path) -> OSError:
    if isinstance(error, BlockingIOError):
        return error
    return type(error)(
        error.errno,
        f"a checkpoint cannot be written there ({error.strerror or error}); those written before "
        "stay. Make room, or put the folder back, and call the same again: the run goes on from them",
        str(path),
    )


def open_checkpoints(
    held: ExitStack, run: Any, plan: Any, given: dict[str, Any]
) -> tuple[Keeper | None, SavedState | None]:
    """Open the folder of checkpoints that a plan has, and return it with the last of them.

    Of several processes the first has the folder open, and all have the checkpoint.
    """
    processes, asked = processes_of(plan.devices), plan.checkpoints
    if asked is None and processes.count == 1:
        return None, None
    precision = str(jax.numpy.zeros(()).dtype)
    told = {**run._asdict(), **given, "precision": precision}
    configuration = fingerprint(told)
    processes.check_same(configuration)
    if asked is None:
        return None, None
    keepers: list[Keeper] = []

    def read() -> SavedState | None:
        keepers.append(held.enter_context(asked.opened(configuration)))
        return keepers[0].last(plan.epochs)

    last = processes.by_first(read)
    return (keepers[0] if keepers else None), last
