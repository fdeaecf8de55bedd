"""A run that was stopped, and goes on."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probvae.runs import folder as files
from probvae.runs.model_file import load_model_file
from probvae.runs.run import Run, argument, check_unchanged, config_of, open_run
from probvae.runs.settings import Settings, assembled, protocol
from probvae.runs.training import completed
from probvae.training.lock import locked


def resume(
    directory: str | os.PathLike,
    *,
    data_dir: str | None = None,
    say: Callable[[str], Any] = print,
    progress: bool = False,
) -> Run:
    """Go on with a run that was stopped, to the bits of one that was not: by its own record.

    It goes on after the last checkpoint, from the first epoch where there is none yet, or with the
    evaluation where training was over. What the run wrote when it was interrupted (parameters,
    numbers, figures, report) is replaced by what it comes to; a run that is whole stays as it is.

    Args:
        directory: the run's folder.
        data_dir: where known data sets lie now, if elsewhere than before.
        say: is given each line of the account.
        progress: show bars.

    Raises:
        FileNotFoundError: if it is no run's folder.
        ValueError: if its model file, arguments or data have changed, or no checkpoint is whole.
        OSError: if another process writes it, or it cannot be written.
    """
    folder = Path(directory)
    config = config_of(folder, needs=(files.CONFIG, files.MODEL))
    settings = _settings(folder, config, data_dir)
    with locked(folder / files.LOCK):
        if (folder / files.REPORT).exists() and not files.checkpoints(folder):
            say(f"{folder} is whole: there is nothing left to do")
            return open_run(folder, data_dir=data_dir)
        file = load_model_file(folder / files.MODEL)
        variant, data, _ = assembled(file, settings)
        check_unchanged(data, config["data"])
        say(protocol(data, settings, variant))
        say(_where_from(folder, config["training"]["epochs"]))
        return completed(folder, config, settings, variant, data, say, progress=progress)


def _settings(folder: Path, config: dict[str, Any], data_dir: str | None) -> Settings:
    """Return the settings that a run was made with."""
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
        data=config["data"]["source"],
        data_dir=data_dir or config["data"]["data_dir"],
    )


def _where_from(folder: Path, epochs: int) -> str:
    kept = files.epochs_kept(folder)
    if not kept:
        return "there is no checkpoint yet: training starts from the first epoch"
    return f"going on after epoch {kept} of {epochs}"
