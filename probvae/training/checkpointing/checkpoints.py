"""Checkpoints: the folder from which an interrupted run resumes, with the same bits."""

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from probvae.checks import Checked, NonNegativeFloat, PositiveInt, Requirement
from probvae.training.checkpointing import file_format
from probvae.training.checkpointing.file_format import CorruptCheckpointError, SavedState
from probvae.training.checkpointing.fingerprint import fingerprint
from probvae.training.checkpointing.lock import hold_lock

if TYPE_CHECKING:
    from probvae.training.parallel.processes import Processes

LOCK = "lock"


@dataclass(frozen=True)
class Checkpoints(Checked):
    """A folder of checkpoints, from which a run resumes.

        fit(..., checkpoints=Checkpoints("runs/first/checkpoints"))

    To resume, make the same call again. It continues after the last saved epoch. On a CPU, with the
    same machine and versions, the result has the same bits as a run without a stop. You may raise
    ``epochs`` and change ``early_stopping`` and ``keep_best``. Any other difference (the parts of the
    VAE, optimizer, key, data) raises ``ValueError`` and leaves the folder unchanged.

    A file holds the whole run: parameters, the optimizer's state, running state, keys, history,
    versions, and the parameters of both the best and the last epoch. It contains arrays and text
    (safetensors), never pickle. Each file is written completely or not at all, and carries a checksum.
    If one is corrupt, a warning names it and the one before is used. A lock keeps a second writer out
    of the folder. With checkpoints, SIGTERM ends a run like Ctrl-C: after the epoch, with a checkpoint.

    Args:
        folder: where the files are. It is created if it does not exist.
        every: epochs between two checkpoints, at least.
        seconds: seconds between two checkpoints, at least. 0 writes one at each ``every`` epochs.
        keep: the number of files to keep, at least 2, because the last may be corrupt.

    Raises:
        ValueError: for a number out of range.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, Checkpoints, fit, likelihoods
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> import tempfile
        >>> folder = Checkpoints(tempfile.mkdtemp())
        >>> options = {"rng_key": jax.random.key(0), "checkpoints": folder, "progress": False}
        >>> first = fit(vae, x, epochs=1, **options)
        >>> resumed = fit(vae, x, epochs=2, **options)  # trains one more epoch
        >>> len(resumed.history.train["elbo"])
        2
    """

    folder: str | os.PathLike
    every: PositiveInt = 1
    seconds: NonNegativeFloat = 30.0
    keep: Annotated[int, Requirement("an integer >= 2", lambda n: n >= 2)] = 2

    @property
    def files(self) -> list[Path]:
        """The files in the folder, the last epoch first."""
        return sorted(Path(self.folder).glob("epoch-*.safetensors"), reverse=True)

    @contextmanager
    def open(self, configuration: dict[str, str]) -> Iterator["CheckpointWriter"]:
        """Lock the folder for a run of this configuration (digests by name).

        Raises:
            OSError: if another process writes to the folder, or it cannot be written.
        """
        folder = Path(self.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _write_error(error, folder) from error
        except ValueError as error:
            raise ValueError(f"folder={self.folder!r} is not a valid path: {error}.") from error
        with hold_lock(folder / LOCK):
            for unfinished in folder.glob(".*.partial"):
                unfinished.unlink(missing_ok=True)
            yield CheckpointWriter(self, configuration)


class CheckpointWriter:
    """Reads and writes the checkpoints in a locked folder."""

    def __init__(self, checkpoints: Checkpoints, configuration: dict[str, str]) -> None:
        self._checkpoints, self._configuration = checkpoints, configuration
        self._folder = Path(checkpoints.folder)
        self._last_epoch, self._last_time = 0, time.monotonic()
        self._corrupt: list[Path] = []

    def read_last(self, epochs: int) -> SavedState | None:
        """Return the last complete checkpoint, or None in a new folder.

        Raises:
            ValueError: if it belongs to another configuration or version, has more epochs than a run of
                ``epochs``, or if every file is corrupt.
        """
        errors = []
        for path in self._checkpoints.files:
            try:
                saved = file_format.read(path)
            except CorruptCheckpointError as error:
                errors.append(str(error))
                self._corrupt.append(path)
                continue
            file_format.check_configuration(path, saved, self._configuration)
            if saved.num_epochs > epochs:
                n = saved.num_epochs
                raise ValueError(
                    f"{path} has {n} epochs, and this run ends after {epochs}. Use epochs={n} or more."
                )
            _warn_of_differences(errors, path, saved)
            self._last_epoch = saved.num_epochs
            return saved
        if errors:
            raise ValueError(
                f"No checkpoint in {self._folder} is complete: {'; '.join(errors)}. Restore one from a "
                "copy, or use a new folder to start again."
            )
        return None

    def is_due(self, num_epochs: int) -> bool:
        """Return whether to write a checkpoint after this number of epochs."""
        is_late = time.monotonic() - self._last_time >= self._checkpoints.seconds
        return is_late and num_epochs - self._last_epoch >= self._checkpoints.every

    def write(self, saved: SavedState) -> None:
        """Write a checkpoint, then delete the oldest.

        Raises:
            OSError: if it cannot be written. Earlier checkpoints stay.
        """
        if saved.num_epochs in (0, self._last_epoch):
            return
        path = self._folder / f"epoch-{saved.num_epochs:08d}.safetensors"
        try:
            file_format.write(path, saved, self._configuration)
        except OSError as error:
            raise _write_error(error, path) from error
        self._last_epoch, self._last_time = saved.num_epochs, time.monotonic()
        for old in {*self._corrupt, *self._checkpoints.files[self._checkpoints.keep :]} - {path}:
            old.unlink(missing_ok=True)


def _warn_of_differences(errors: list[str], path: Path, saved: SavedState) -> None:
    if errors:
        replacement = f"The one before is used: {path}, of {saved.num_epochs} epochs."
        warnings.warn(f"{'; '.join(errors)}. {replacement}", stacklevel=2)
    now = file_format.describe_environment()
    changed = [f"{k} {v}, now {now.get(k)}" for k, v in saved.environment.items() if v != now.get(k)]
    if changed:
        warnings.warn(
            f"{path} was written in another environment ({', '.join(changed)}). The run resumes, but "
            "its bits differ from those of a run without a stop.",
            stacklevel=2,
        )


def _write_error(error: OSError, path: Path) -> OSError:
    if isinstance(error, BlockingIOError):
        return error
    return type(error)(
        error.errno,
        f"a checkpoint cannot be written there ({error.strerror or error}). Earlier checkpoints are "
        "intact. Free some space or restore the folder, and repeat the call: the run resumes from them",
        str(path),
    )


def open_checkpoints(
    stack: ExitStack,
    checkpoints: Checkpoints | None,
    processes: "Processes",
    epochs: int,
    settings: Mapping[str, Any],
) -> tuple[CheckpointWriter | None, SavedState | None]:
    """Open a run's folder until the stack closes, and return it with the last checkpoint.

    The first of several processes opens the folder and sends the checkpoint to the others.

    Args:
        stack: closes the folder.
        checkpoints: of the run, if any.
        processes: of the run. They compare their settings.
        epochs: of the run.
        settings: by name, all that must be the same in the call that resumes.
    """
    if checkpoints is None and processes.count == 1:
        return None, None
    configuration = fingerprint(settings)
    processes.check_same(configuration)
    if checkpoints is None:
        return None, None
    writers: list[CheckpointWriter] = []

    def read() -> SavedState | None:
        writers.append(stack.enter_context(checkpoints.open(configuration)))
        return writers[0].read_last(epochs)

    last = processes.read_on_first(read)
    return (writers[0] if writers else None), last
