"""What is called once an epoch, on the host: to log a run, here or elsewhere, as it goes."""

import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from probvae.checks import Checked


class Epoch(NamedTuple):
    """An epoch that is over, as a callback is given it.

    Attributes:
        number: of the epoch, counted from 1; a run that goes on from a checkpoint counts on.
        train: the epoch's means over its steps, as ``History.train`` has them: ``loss``, and in nats
            per datum ``elbo``, ``log_likelihood``, ``kl``.
        validation: the same of the validation data, at the epoch's end; empty where there are none.
        seconds: that it took, validation included; the first has the compilation, too.
    """

    number: int
    train: dict[str, float]
    validation: dict[str, float]
    seconds: float

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by name, ``train_elbo``, ``validation_elbo``, as loggers take them."""
        named = {"train": self.train, "validation": self.validation}
        means = {f"{split}_{name}": v for split, row in named.items() for name, v in row.items()}
        return {**means, "seconds": self.seconds}


Callback = Callable[[Epoch], Any]


@dataclass
class JSONLines(Checked):
    """Write a line of JSON to a file after every epoch.

        fit(..., callbacks=(callbacks.JSONLines("metrics.jsonl"),))

    A line is ``{"epoch": 1, "train_elbo": -180.2, ..., "seconds": 2.1}``, a number that is not finite
    null; ``pandas.read_json(path, lines=True)`` reads the file. It is whole after every epoch, and has
    each epoch once: a run that goes on from a checkpoint takes away what lies after it, and a run from
    the start begins the file anew.

    Args:
        path: the file; its folder is made if it is not there.
    """

    path: str | os.PathLike
    _next: int | None = field(default=None, init=False, repr=False, compare=False)

    def __call__(self, epoch: Epoch) -> None:
        path = Path(self.path)
        if epoch.number != self._next:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(_lines_before(epoch.number, path)), encoding="utf-8")
        told = {k: v if math.isfinite(v) else None for k, v in epoch.metrics.items()}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch.number, **told}, allow_nan=False) + "\n")
        self._next = epoch.number + 1


def _lines_before(number: int, path: Path) -> list[str]:
    """Return the whole lines of epochs before one; none of a file that is not there."""
    if number == 1 or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and _number(line) < number]


def _number(line: str) -> float:
    """Return the epoch that a line is of; infinity for one that is damaged."""
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, TypeError, KeyError):
        return math.inf


@dataclass
class TensorBoard(Checked):
    """Write every epoch's numbers for TensorBoard: ``tensorboard --logdir runs``.

        fit(..., callbacks=(callbacks.TensorBoard("runs/first"),))

    The step is the epoch's number. Needs ``pip install "probvae[tensorboard]"``.

    Args:
        folder: of the run's event files; each process writes one of its own.

    Raises:
        ImportError: if tensorboardX is not installed.
    """

    folder: str | os.PathLike
    _writer: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._writer = _summary_writer()(os.fspath(self.folder), flush_secs=1)

    def __call__(self, epoch: Epoch) -> None:
        for name, value in epoch.metrics.items():
            self._writer.add_scalar(name.replace("_", "/", 1), value, epoch.number)


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "callbacks.TensorBoard writes through tensorboardX, which is not installed: "
            'pip install "probvae[tensorboard]". callbacks.JSONLines needs nothing.'
        ) from error
    return SummaryWriter


def check_callbacks(given: Any) -> None:
    """Raise unless callbacks are a tuple of functions."""
    if not isinstance(given, tuple | list) or not all(map(callable, given)):
        raise TypeError(
            "callbacks expects a tuple of functions of an epoch, such as "
            f'(callbacks.JSONLines("metrics.jsonl"),); got {given!r}.'
        )


def call_callbacks(callbacks: tuple[Callback, ...], epoch: Epoch) -> tuple[Callback, ...]:
    """Call all, and return those that are to be called again: what raises is told of, and left out."""
    return tuple(each for each in callbacks if _run_callback(each, epoch))


def _run_callback(callback: Callback, epoch: Epoch) -> bool:
    try:
        callback(epoch)
    except Exception as error:  # noqa: BLE001  whatever it is, it must not cost the fit
        warnings.warn(
            f"the callback {callback!r} failed after epoch {epoch.number} with "
            f"{type(error).__name__}: {error}. The fit goes on, without that callback.",
            stacklevel=2,
        )
        return False
    return True
