"""Resuming a run that was stopped, from its own record."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probvae.runs import folder as files
from probvae.runs.model_file import load_model_file
from probvae.runs.plan import RunPlan, resolve
from probvae.runs.record import check_digests
from probvae.runs.run import (
    MOVED,
    Run,
    check_same_data,
    note_version,
    open_run,
    read_config,
    restore_argument,
)
from probvae.runs.settings import Settings
from probvae.runs.training import assist_plan, complete_run
from probvae.runs.training_summary import epochs_to_csv
from probvae.training import DataParallel
from probvae.training.checkpointing.lock import hold_lock

LONGER = "docs/how-to/stop-early-and-resume.md"


def resume(
    directory: str | os.PathLike,
    *,
    data: str | os.PathLike | None = None,
    data_dir: str | None = None,
    say: Callable[[str], Any] = print,
    progress: bool = False,
    devices: DataParallel | None = None,
) -> Run:
    """Resume a run that was stopped. The result is bit for bit that of a run that was not.

    The run continues after its last checkpoint, or from the first epoch if it has none. If its training
    was complete, it continues with the evaluation. Results that the run wrote when it was interrupted
    are replaced. A complete run stays as it is.

    Args:
        directory: the run's folder.
        data: path or name of the run's data, if they have moved.
        data_dir: folder of the known data sets, if it has moved.
        say: a function that prints a line.
        progress: show bars.
        devices: as in ``fit``. They may differ from the run's first devices.

    Raises:
        FileNotFoundError: if the folder has no run.
        ValueError: if its model file, arguments or data have changed, or every checkpoint is damaged.
        OSError: if another process writes the run, or the folder is not writable.
    """
    folder = Path(directory)
    config = read_config(folder, needs=(files.CONFIG, files.MODEL))
    settings = _read_settings(folder, config, data, data_dir)
    with hold_lock(folder / files.LOCK):
        if files.is_complete(folder):
            run = open_run(folder, data=data, data_dir=data_dir)
            _check_results(run)
            # A run that was killed at its very end has left an empty folder of checkpoints.
            shutil.rmtree(folder / files.CHECKPOINTS, ignore_errors=True)
            epochs = run.config["training"]["epochs"]
            say(
                f"{folder} is already complete. Nothing to do. For more than {epochs} epochs, train "
                f"again with a larger --epochs: a complete run keeps no checkpoint. See {LONGER}."
            )
            return run
        try:
            plan = _resolve_copy(folder, config, settings)
        except FileNotFoundError as error:
            error.add_note(MOVED)
            raise
        # Data first: if they differ, the record is probably fine, and an error about it would mislead.
        check_same_data(plan.data, config["data"], settings.data)
        check_digests(folder, config, plan.file.source)
        say(plan.describe_data())
        epoch = files.last_checkpoint_epoch(folder)
        after = f"resuming after epoch {epoch} of {plan.epochs}"
        say(after if epoch else "no checkpoint yet: training starts from the first epoch")
        return complete_run(folder, config, plan, say, devices=devices, progress=progress)


def assist_resumed(
    directory: str | os.PathLike,
    *,
    data: str | os.PathLike | None = None,
    data_dir: str | None = None,
    devices: DataParallel,
) -> bool:
    """Take part, as a further process, in a run that the first process resumes.

    Args:
        directory: the run's folder, which this process can read.
        data: path or name of the run's data, if they have moved.
        data_dir: folder of the known data sets, if it has moved.
        devices: those of all processes.

    Returns:
        whether the training reached its end. An interrupt (Ctrl-C) ends it early.

    Raises:
        FileNotFoundError: if the folder has no run.
        LostProcessError: if another process has ended.
    """
    folder = Path(directory)
    config = read_config(folder, needs=(files.CONFIG, files.MODEL))
    if files.is_complete(folder):
        return True
    plan = _resolve_copy(folder, config, _read_settings(folder, config, data, data_dir))
    return assist_plan(plan, devices)


def _read_settings(
    folder: Path, config: dict[str, Any], data: str | os.PathLike | None, data_dir: str | None
) -> Settings:
    """Return the settings of a run, with the present place of its data."""
    try:
        settings = Settings(**config["settings"])
    except (KeyError, TypeError):
        raise ValueError(
            f"{folder / files.CONFIG} has no settings, or unknown ones: the run was made by another "
            "version. Train again, or resume with the version that made it."
        ) from None
    return settings._replace(
        model=folder / files.MODEL,
        arguments={name: restore_argument(value) for name, value in settings.arguments.items()},
        data=config["data"]["source"] if data is None else os.fspath(data),
        data_dir=data_dir or config["data"]["data_dir"],
    )


def _resolve_copy(folder: Path, config: dict[str, Any], settings: Settings) -> RunPlan:
    # The copy of the model file is loaded under the file's own name, since a checkpoint refers to the
    # functions of the model file by that name.
    stem = Path(config["model"]["file"]).stem
    with note_version(config):
        return resolve(settings, load_model_file(folder / files.MODEL, stem=stem))


def _check_results(run: Run) -> None:
    """Raise ``ValueError`` unless the numbers of a complete run are there and undamaged."""
    path = run.folder / files.METRICS
    try:
        files.read_json(path)
        path = run.folder / files.EPOCHS
        if _columns(path.read_text(encoding="utf-8")) != _columns(epochs_to_csv(run.fitted.history)):
            raise ValueError(f"expected the history in {files.FITTED}")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or missing ({error}), although the run is complete. Restore the file "
            f"from a copy, or delete {run.folder / files.REPORT} and resume to train again."
        ) from error


def _columns(table: str) -> list[tuple[str, ...]]:
    """Return the columns of a table, sorted: their order in the file does not matter."""
    return sorted(zip(*(line.split(",") for line in table.split("\n")[:-1]), strict=True))
