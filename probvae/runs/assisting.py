"""The part of a process that trains with others, and leaves it to the first to write."""

import os
from pathlib import Path

from probvae.runs import folder as files
from probvae.runs.model_file import ModelFile, load_model_file
from probvae.runs.resuming import is_whole, model_of, settings_of
from probvae.runs.run import config_of
from probvae.runs.settings import Settings, assembled, check_settings
from probvae.runs.training import fit_of
from probvae.training import DataParallel


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
    if not is_whole(folder):
        _assist(model_of(folder, config), settings_of(folder, config, data, data_dir), devices)


def _assist(file: ModelFile, settings: Settings, devices: DataParallel) -> None:
    variant, data, _ = assembled(file, settings)
    fit_of(None, settings, variant, data, devices=devices, progress=False)
