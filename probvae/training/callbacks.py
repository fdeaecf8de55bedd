"""Callbacks: functions that ``fit`` calls after every epoch, to log the run."""

import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from probvae.checks import Checked
from probvae.faq import cite
from probvae.short_repr import short_repr


@short_repr
class Epoch(NamedTuple):
    """The numbers of one epoch, the argument of a callback.

    Attributes:
        number: of the epoch, counted from 1. The count continues after a resumption.
        train: the epoch's means over its steps, as ``History.train`` has them: ``loss``, and in nats
            per datum ``elbo``, ``log_likelihood``, ``kl``.
        validation: the same of the validation data, at the epoch's end. Empty without validation data.
        seconds: the epoch's duration with validation. The first epoch includes the compilation.
    """

    number: int
    train: dict[str, float]
    validation: dict[str, float]
    seconds: float

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by name, ``train_elbo``, ``validation_elbo``, in the form that loggers expect."""
        splits = {"train": self.train, "validation": self.validation}
        means = {f"{split}_{name}": v for split, row in splits.items() for name, v in row.items()}
        return {**means, "seconds": self.seconds}


Callback = Callable[[Epoch], Any]


@dataclass
class JSONLines(Checked):
    """Write a line of JSON to a file after every epoch.

        fit(..., callbacks=(callbacks.JSONLines("metrics.jsonl"),))

    A line is ``{"epoch": 1, "train_elbo": -180.2, ..., "seconds": 2.1}``. A number that is not finite
    becomes null. You can read the file with ``pandas.read_json(path, lines=True)`` after any epoch. It
    contains each epoch once. A run that resumes from a checkpoint first deletes the later lines, and a
    run from the start replaces the file.

    Args:
        path: the file. Its folder is created if it does not exist.
    """

    path: str | os.PathLike
    _next: int | None = field(default=None, init=False, repr=False, compare=False)

    def __call__(self, epoch: Epoch) -> None:
        path = Path(self.path)
        if epoch.number != self._next:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(_lines_before(epoch.number, path)), encoding="utf-8")
        row = {k: v if math.isfinite(v) else None for k, v in epoch.metrics.items()}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch.number, **row}, allow_nan=False) + "\n")
        self._next = epoch.number + 1


def _lines_before(number: int, path: Path) -> list[str]:
    """Return a file's complete lines of earlier epochs, none if there is no file."""
    if number == 1 or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and _epoch_number(line) < number]


def _epoch_number(line: str) -> float:
    """Return the epoch of a line, or infinity if the line is corrupt."""
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, TypeError, KeyError):
        return math.inf


@dataclass
class TensorBoard(Checked):
    """Write every epoch's numbers for TensorBoard: ``tensorboard --logdir runs``.

        fit(..., callbacks=(callbacks.TensorBoard("runs/first"),))

    The step is the epoch's number. It requires ``pip install "probvae[tensorboard]"``.

    Args:
        folder: for the run's event files. Each process writes its own file.

    Raises:
        ImportError: if tensorboardX is not installed.
    """

    folder: str | os.PathLike
    _writer: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                'callbacks.TensorBoard requires tensorboardX. Run: pip install "probvae[tensorboard]". '
                f"{cite('missing-extra')}"
            ) from error
        self._writer = SummaryWriter(os.fspath(self.folder), flush_secs=1)

    def __call__(self, epoch: Epoch) -> None:
        for name, value in epoch.metrics.items():
            self._writer.add_scalar(name.replace("_", "/", 1), value, epoch.number)


def call_callbacks(callbacks: tuple[Callback, ...], epoch: Epoch) -> tuple[Callback, ...]:
    """Call all callbacks, and return those that did not raise. The others are disabled."""
    return tuple(each for each in callbacks if _call(each, epoch))


def _call(callback: Callback, epoch: Epoch) -> bool:
    try:
        callback(epoch)
    except Exception as error:  # noqa: BLE001  no error in a callback may cost the fit
        warnings.warn(
            f"the callback {callback!r} failed after epoch {epoch.number} with "
            f"{type(error).__name__}: {error}. The callback is disabled, and training continues.",
            stacklevel=2,
        )
        return False
    return True
