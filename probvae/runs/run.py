"""A finished run: its folder, its configuration, the fitted VAE, its data."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from probvae.checks import check_kind
from probvae.data import Data, load
from probvae.fitted import Fitted
from probvae.fitted import load as load_fitted
from probvae.runs import folder as files
from probvae.runs.context import add_label_context, add_query_context
from probvae.runs.model_file import ModelFileError, load_model_file
from probvae.runs.record import DATA_DIGESTS, check_digests, digest_data
from probvae.runs.run_tables import load_run_table
from probvae.variant import Variant

MOVED = (
    "(If the data of this run have moved, use --data PATH, or --data-dir DIR for a known data set. In "
    "Python, use data=PATH or data_dir=DIR.)"
)


NEW_DATA = "docs/how-to/apply-a-fit-to-new-data.md"


@dataclass(frozen=True, eq=False)
class Run:
    """A run: its ``folder``, ``config`` and ``fitted`` VAE. ``load_data`` is called at most once."""

    folder: Path
    config: dict[str, Any]
    fitted: Fitted
    load_data: Callable[[], Data]

    @cached_property
    def data(self) -> Data:
        """The data of the run.

        Raises:
            ValueError: if they have changed since.
        """
        return self.load_data()

    @property
    def seed(self) -> int:
        """The seed of all the run's keys."""
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
    """Open a run's folder: build the VAE from its model.py and load the fitted parameters.

    Args:
        directory: the folder.
        data: path or name of the run's data, if they have moved since training. The run's record has a
            digest of its data, so other data raise an error when you read ``Run.data``.
        data_dir: folder of the known data sets, if it has moved since training.

    Raises:
        FileNotFoundError: if the folder has no run, or one whose training did not end.
        ValueError: if model.py, its arguments and the saved arrays contradict each other, or if a file
            is damaged.
    """
    directory = Path(directory)
    config = read_config(directory, needs=(files.CONFIG, files.MODEL, files.FITTED))
    with note_version(config):
        file = load_model_file(directory / files.MODEL)
        arguments = {k: restore_argument(v) for k, v in config["model"]["arguments"].items()}
        if file.takes_table:  # the VAE depends on the columns of the training rows
            loaded = _load_table(config["data"], data, fix=_explain_new_rows(directory))
            variant = file.build(loaded.tables["train"], **arguments)
        else:
            loaded = None
            variant = file.build(tuple(config["data"]["event_shape"]), **arguments)
    # Before the digests: this error names the part of the VAE that differs, theirs only the file.
    try:
        fitted = load_fitted(directory / files.FITTED, variant.vae)
    except ValueError as error:
        error.add_note(
            f"{directory / files.MODEL} or the arguments in {files.CONFIG} have changed since the run. "
            "Restore them, or train again."
        )
        raise
    check_digests(directory, config, file.source)

    def load_data() -> Data:
        if loaded is not None:
            return add_query_context(variant, loaded)
        fix = _explain_new_rows(directory)
        return add_query_context(variant, _load_data(variant, config["data"], data, data_dir, fix=fix))

    return Run(directory, config, fitted, load_data)


@contextmanager
def note_version(config: dict[str, Any]) -> Iterator[None]:
    """Add a note to an error of a run's model file: the package may have changed since the run."""
    try:
        yield
    except (ModelFileError, TypeError) as error:
        versions = config.get("versions")
        version = versions.get("probvae") if isinstance(versions, dict) else "of an unknown version"
        error.add_note(
            f"(The run was made by probvae {version}, maybe before a name in its model.py changed. The "
            "CHANGELOG lists old and new names.)"
        )
        raise


def read_config(directory: Path, *, needs: tuple[str, ...]) -> dict[str, Any]:
    """Read a run's configuration.

    Args:
        directory: the run's folder.
        needs: names of files that must be there.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the folder is that of a sweep, or the configuration is damaged.
    """
    expected = f"{directory}: expected the folder of a run that `probvae train` has made"
    if (best := directory / files.BEST).is_file():
        fix = f"Load its best training in Python: probvae.load({str(best)!r}, vae)."
        raise ValueError(f"{expected}; got that of a sweep. {fix}")
    missing = [name for name in needs if not (directory / name).is_file()]
    if missing == [files.FITTED] and not files.is_complete(directory):
        raise FileNotFoundError(
            f"{directory}: its training has not ended, so it has no {files.FITTED} yet. Wait, or if it "
            f"was stopped, resume it: {files.resume_command(directory)}."
        )
    if missing:
        problem = f"no {', '.join(missing)} there" if directory.is_dir() else "no such folder"
        raise FileNotFoundError(f"{expected}; got {problem}.")
    try:
        config = files.read_json(directory / files.CONFIG)
        _check_form(config)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{directory / files.CONFIG} is damaged ({type(error).__name__}: {error}). Restore the "
            "file that `probvae train` wrote, or train again."
        ) from error
    return config


def _check_form(config: dict[str, Any]) -> None:
    """Raise unless the entries that are read later are there, and of the right kind."""
    data, model, training = (dict(config[name]) for name in ("data", "model", "training"))
    check_kind("event_shape", tuple(data["event_shape"]), tuple[int, ...])
    check_kind("range", tuple(data["range"]), tuple[float, ...])
    check_kind("test size", dict(data["sizes"])["test"], int)
    for name in ("name", "description", "source", "sha256"):
        check_kind(name, data[name], str)
    for name in ("data_dir", "binarize"):
        check_kind(name, data[name], str | None)
    check_kind("arguments", model["arguments"], dict)
    check_kind("statement", model["statement"], str)
    check_kind("seed", training["seed"], int)
    check_kind("evaluation", config["evaluation"], dict)


def restore_argument(value: Any) -> Any:
    """Return an argument as the model function expects it: JSON turns tuples into lists."""
    return tuple(value) if isinstance(value, list) else value


def _load_data(
    variant: Variant,
    record: dict[str, Any],
    path: str | os.PathLike | None,
    data_dir: str | None,
    *,
    fix: str,
) -> Data:
    # The record has the place of the data at training. The digests decide whether these are the same.
    source = record["source"] if path is None else path
    try:
        data = load(source, binarize=record["binarize"], data_dir=data_dir or record["data_dir"])
    except FileNotFoundError as error:
        error.add_note(MOVED)
        raise
    data = add_label_context(variant, data)
    check_same_data(data, record, source, fix=fix)
    return data


def _load_table(record: dict[str, Any], path: str | os.PathLike | None, *, fix: str) -> Data:
    source = record["source"] if path is None else path
    try:
        data = load_run_table(source, record.get("table", {}), binarize=None)
    except FileNotFoundError as error:
        error.add_note(MOVED)
        raise
    check_same_data(data, record, source, fix=fix)
    return data


def _explain_new_rows(directory: Path) -> str:
    return (
        "To score new rows, use Python: "
        f"probvae.runs.open_run({str(directory)!r}).fitted.log_prob(x, rng_key=jax.random.key(0)). See "
        f"{NEW_DATA}. If these were to be the run's own data, restore them."
    )


def check_same_data(
    data: Data,
    record: dict[str, Any],
    source: str | os.PathLike,
    *,
    fix: str = "Restore them, or train again.",
) -> None:
    """Raise ``ValueError`` unless the data from ``source`` have the digests in a run's record."""
    for name, digest in digest_data(data).items():
        if record.get(name, digest) != digest:
            raise ValueError(
                f"{source}: expected the data that the run was made with; got other data, or data that "
                f"have changed since the run ({DATA_DIGESTS[name]}: expected digest "
                f"{record[name][:12]}, got {digest[:12]}). {fix}"
            )
