"""A run that was stopped, and goes on."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from probvae.runs import folder as files
from probvae.runs.account import epochs_text
from probvae.runs.model_file import ModelFile, load_model_file
from probvae.runs.record import check_digests
from probvae.runs.run import MOVED, Run, argument, check_unchanged, config_of, open_run
from probvae.runs.settings import Settings, assemble, check_settings, protocol
from probvae.runs.training import complete_run, fit_of
from probvae.training import DataParallel
from probvae.training.checkpointing.lock import hold_lock


def resume(
    directory: str | os.PathLike,
    *,
    data: str | os.PathLike | None = None,
    data_dir: str | None = None,
    say: Callable[[str], Any] = print,
    progress: bool = False,
    devices: DataParallel | None = None,
) -> Run:
    """Go on with a run that was stopped, to the bits of one that was not: by its own record.

    It goes on after the last checkpoint, from the first epoch where there is none yet, or with the
    evaluation where training was over. What the run wrote when it was interrupted (parameters,
    numbers, figures, report) is replaced by what it comes to; a run that is whole stays as it is.

    Args:
        directory: the run's folder.
        data: path or name of the run's data now, if they have moved.
        data_dir: where known data sets lie now, if elsewhere than before.
        say: is given each line of the account.
        progress: show bars.
        devices: as in ``fit``; others than before will do.

    Raises:
        FileNotFoundError: if it is no run's folder.
        ValueError: if its model file, arguments or data have changed, or no checkpoint is whole.
        OSError: if another process writes it, or it cannot be written.
    """
    folder = Path(directory)
    config = config_of(folder, needs=(files.CONFIG, files.MODEL))
    settings = settings_of(folder, config, data, data_dir)
    with hold_lock(folder / files.LOCK):
        if is_complete(folder):
            run = open_run(folder, data=data, data_dir=data_dir)
            _check_results(run)
            # the folder of one that was killed at its very end: it is empty
            shutil.rmtree(folder / files.CHECKPOINTS, ignore_errors=True)
            say(f"{folder} is whole: there is nothing left to do")
            return run
        file = model_of(folder, config)
        try:
            variant, loaded, _ = assemble(file, settings)
        except FileNotFoundError as error:
            error.add_note(MOVED)
            raise
        check_unchanged(loaded, config["data"], settings.data)
        check_digests(folder, config, file.source)
        say(protocol(loaded, settings, variant))
        say(_where_from(folder, config["training"]["epochs"]))
        return complete_run(
            folder, config, settings, variant, loaded, say, devices=devices, progress=progress
        )


def is_complete(folder: Path) -> bool:
    """Tell whether a run has come to its end, with a report."""
    return (folder / files.REPORT).exists() and not files.checkpoints(folder)


def model_of(folder: Path, config: dict[str, Any]) -> ModelFile:
    """Return a run's copy of its model file, under the name that the file had."""
    return load_model_file(folder / files.MODEL, stem=Path(config["model"]["file"]).stem)


def _check_results(run: Run) -> None:
    """Raise unless the numbers of a run that is over are there, and are what was written."""
    for name, check in ((files.METRICS, files.read_json), (files.EPOCHS, partial(_check_epochs, run))):
        path = run.folder / name
        try:
            check(path)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged or missing ({error}), and the run is over. Put a copy back; or "
                f"take {run.folder / files.REPORT} away and resume again, which trains anew."
            ) from error


def _check_epochs(run: Run, path: Path) -> None:
    if _columns(path.read_text(encoding="utf-8")) != _columns(epochs_text(run.fitted.history)):
        raise ValueError(f"expected the history in {files.FITTED}")


def _columns(table: str) -> list[tuple[str, ...]]:
    """Return a table's columns in an order that does not depend on theirs."""
    return sorted(zip(*(line.split(",") for line in table.split("\n")[:-1]), strict=True))


def settings_of(
    folder: Path, config: dict[str, Any], data: str | os.PathLike | None, data_dir: str | None
) -> Settings:
    """Return the settings that a run was made with, and where its data are now."""
    try:
        given = Settings(**config["settings"])
    except (KeyError, TypeError):
        raise ValueError(
            f"{folder / files.CONFIG} says nothing of the settings, or something else: the run was "
            "made by another version. Train anew, or go on by the version that made it."
        ) from None
    return given._replace(
        model=folder / files.MODEL,
        arguments={name: argument(value) for name, value in given.arguments.items()},
        data=config["data"]["source"] if data is None else os.fspath(data),
        data_dir=data_dir or config["data"]["data_dir"],
    )


def _where_from(folder: Path, epochs: int) -> str:
    kept = files.epochs_kept(folder)
    if not kept:
        return "there is no checkpoint yet: training starts from the first epoch"
    return f"going on after epoch {kept} of {epochs}"


def assist(settings: Settings, *, devices: DataParallel) -> None:
    """Take part in the training of a run that the first process writes: it has the same settings.

    Args:
        settings: what to do.
        devices: of all processes.

    Raises:
        TypeError, ValueError: before training.
        LostProcessError: where the first, or another, has ended.
    """
    check_settings(settings)
    _assist(load_model_file(settings.model), settings, devices)


def assist_resumed(
    directory: str | os.PathLike,
    *,
    data: str | os.PathLike | None = None,
    data_dir: str | None = None,
    devices: DataParallel,
) -> None:
    """Take part in a run that goes on, by its own record, which this process can read.

    Args:
        directory: the run's folder.
        data: path or name of the run's data now, if they have moved.
        data_dir: where known data sets lie now, if elsewhere than before.
        devices: of all processes.

    Raises:
        FileNotFoundError: if it is no run's folder.
        LostProcessError: where the first, or another, has ended.
    """
    folder = Path(directory)
    config = config_of(folder, needs=(files.CONFIG, files.MODEL))
    if not is_complete(folder):
        _assist(model_of(folder, config), settings_of(folder, config, data, data_dir), devices)


def _assist(file: ModelFile, settings: Settings, devices: DataParallel) -> None:
    variant, data, _ = assemble(file, settings)
    fit_of(None, settings, variant, data, devices=devices, progress=False)
