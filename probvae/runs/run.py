"""A run that is there: its folder, its configuration, the fitted VAE, its data."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from probvae.checks import check_kind
from probvae.data import Data, load
from probvae.fitted import Fitted
from probvae.fitted import load as load_fitted
from probvae.runs import folder as files
from probvae.runs.model_file import load_model_file
from probvae.runs.record import DIGESTS, check_digests, digests
from probvae.runs.settings import add_label_context, add_query_context
from probvae.variant import Variant

MOVED = (
    "(If the data of this run have moved: --data PATH, or --data-dir DIR for a known data set; from "
    "Python, data=PATH or data_dir=DIR.)"
)


@dataclass(frozen=True, eq=False)
class Run:
    """A run: its ``folder``, ``config`` and ``fitted`` VAE; ``load_data`` is called at most once."""

    folder: Path
    config: dict[str, Any]
    fitted: Fitted
    load_data: Callable[[], Data]

    @cached_property
    def data(self) -> Data:
        """The data, as they were when the run was made.

        Raises:
            ValueError: if they have changed since.
        """
        return self.load_data()

    @property
    def seed(self) -> int:
        """The seed that all of the run's keys derive from."""
        return self.config["training"]["seed"]

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value of the data."""
        low, high = self.config["data"]["range"]
        return float(low), float(high)


def open_run(
    directory: str | os.PathLike,
    *,
    data: str | os.PathLike | None = None,
    data_dir: str | None = None,
) -> Run:
    """Open a run's folder: the VAE from its model.py, checked against the arrays that were saved.

    Args:
        directory: the folder.
        data: path or name of the run's data now, if they have moved since training. Other data raise
            an error when ``Run.data`` is read, since the run's record holds a digest of its data.
        data_dir: where known data sets lie now, if elsewhere than in training.

    Raises:
        FileNotFoundError: if it is no run's folder, or one whose training did not end.
        ValueError: if model.py, its arguments and the arrays do not fit each other, or a file is
            damaged.
    """
    directory = Path(directory)
    config = config_of(directory, needs=(files.CONFIG, files.MODEL, files.FITTED))
    file = load_model_file(directory / files.MODEL)
    shape = tuple(config["data"]["event_shape"])
    arguments = {k: argument(v) for k, v in config["model"]["arguments"].items()}
    variant = file.build(shape, **arguments)
    try:
        fitted = load_fitted(directory / files.FITTED, variant.vae)
    except ValueError as error:
        error.add_note(
            f"{directory / files.MODEL} or the arguments in {files.CONFIG} have changed since the "
            "run; put back what they were, or train anew."
        )
        raise
    check_digests(directory, config, file.source)
    return Run(
        directory,
        config,
        fitted,
        lambda: add_query_context(variant, _load_data(variant, config["data"], data, data_dir)),
    )


def config_of(directory: Path, *, needs: tuple[str, ...]) -> dict[str, Any]:
    """Return a run's configuration; raise where one of the files that it needs is not there."""
    if (best := directory / files.BEST).is_file():
        raise ValueError(
            f"{directory}: expected the folder of a run that `probvae train` has made; got that of a "
            f"sweep. Its best training, from Python: probvae.load({str(best)!r}, vae)."
        )
    missing = [name for name in needs if not (directory / name).is_file()]
    if missing:
        what = "no such folder" if not directory.is_dir() else f"no {', '.join(missing)} there"
        raise FileNotFoundError(
            f"{directory}: expected the folder of a run that `probvae train` has made; got {what}."
        )
    try:
        config = files.read_json(directory / files.CONFIG)
        _check_form(config)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{directory / files.CONFIG} is damaged ({type(error).__name__}: {error}); expected "
            "what `probvae train` wrote. Put it back, or train anew."
        ) from error
    return config


def _check_form(config: dict[str, Any]) -> None:
    """Raise for a configuration of another form: plain words, numbers and lists of them, by name."""
    data, model, training = (dict(config[name]) for name in ("data", "model", "training"))
    check_kind("event_shape", tuple(data["event_shape"]), tuple[int, ...])
    check_kind("source", data["source"], str)
    check_kind("sha256", data["sha256"], str)
    check_kind("data_dir", data["data_dir"], str | None)
    check_kind("binarize", data["binarize"], str | None)
    check_kind("name", data["name"], str)
    check_kind("description", data["description"], str)
    check_kind("test size", dict(data["sizes"])["test"], int)
    check_kind("range", tuple(data["range"]), tuple[float, ...])
    check_kind("arguments", model["arguments"], dict)
    check_kind("statement", model["statement"], str)
    check_kind("seed", training["seed"], int)
    check_kind("evaluation", config["evaluation"], dict)


def argument(value: Any) -> Any:
    """Return an argument as it was given, before it was written as JSON."""
    return tuple(value) if isinstance(value, list) else value


def _load_data(
    variant: Variant, config: dict[str, Any], path: str | os.PathLike | None, data_dir: str | None
) -> Data:
    """Load a run's data, from another place if one is given; raise unless they are the same."""
    source = config["source"] if path is None else path
    try:
        data = load(source, binarize=config["binarize"], data_dir=data_dir or config["data_dir"])
    except FileNotFoundError as error:
        error.add_note(MOVED)
        raise
    data = add_label_context(variant, data)
    check_unchanged(data, config, source)
    return data


def check_unchanged(data: Data, config: dict[str, Any], source: str | os.PathLike) -> None:
    """Raise unless the data from ``source`` are those of a run, by the digests in its record."""
    now = digests(data)
    odd = [name for name, digest in now.items() if config.get(name, digest) != digest]
    if odd:
        expected, got = config[odd[0]][:12], now[odd[0]][:12]
        raise ValueError(
            f"{source}: expected the data that the run was made with, got other data, or data that "
            f"have changed since the run ({DIGESTS[odd[0]]}: expected digest {expected}, got {got}). "
            "Put them back, or train anew."
        )
