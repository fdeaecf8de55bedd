"""The checkpoint file: arrays and text in safetensors, with a checksum."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from probvae._version import __version__
from probvae.faq import cite
from probvae.fitted.history import History
from probvae.fitted.serialization import (
    SERIES,
    compute_checksum,
    history_arrays,
    incidents_to_json,
    list_leaves,
    read_history,
)
from probvae.typing import ArrayLike, Params, PyTree

FORMAT = "probvae-checkpoint-3"
PACKAGES = ("jax", "jaxlib", "numpyro", "flax", "optax")


class CorruptCheckpointError(ValueError):
    """The checkpoint file is corrupt or incomplete."""


class SavedState(NamedTuple):
    """A run after an epoch, as a checkpoint holds it.

    Attributes:
        arrays: of SVI's state (``state``) and of the best epoch's values (``best``), by name and path.
        history: the record so far.
        configuration: digests by name.
        environment: the versions and the kind of machine, on which the bits of a run also depend.
    """

    arrays: dict[str, np.ndarray]
    history: History
    configuration: dict[str, str] = {}
    environment: dict[str, str] = {}

    @property
    def num_epochs(self) -> int:
        """The number of epochs so far."""
        return self.history.num_epochs


def describe_environment() -> dict[str, str]:
    """Return the versions and the kind of machine."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    machine = {"machine": platform.machine(), "device": jax.devices()[0].device_kind}
    return {"probvae": __version__, **versions, **machine}


def flatten_leaves(name: str, tree: PyTree) -> dict[str, np.ndarray]:
    """Return a tree's leaves as arrays, by name and path. A key becomes its data."""
    arrays = jax.device_get(jax.tree.map(_unwrap_key, tree))
    return {f"{name}/{path}": np.asarray(leaf, order="C") for path, leaf in list_leaves(arrays)}


def restore_leaves(name: str, like: PyTree, arrays: dict[str, np.ndarray]) -> PyTree:
    """Return a tree with the structure of ``like`` and the leaves of a file.

    Raises:
        ValueError: if a leaf is missing, or has another shape or dtype.
    """
    expected = {f"{name}/{path}": _unwrap_key(leaf) for path, leaf in list_leaves(like)}
    saved = {path: array for path, array in arrays.items() if path.split("/")[0] == name}
    for path in sorted(expected.keys() | saved.keys()):
        got, want = (_describe_array(tree.get(path)) for tree in (saved, expected))
        if got != want:
            raise ValueError(
                f"The checkpoint has {got} for {path}; this run expects {want}. Check jax_enable_x64."
            )
    restored = [_wrap_key(leaf, saved[f"{name}/{path}"]) for path, leaf in list_leaves(like)]
    return jax.tree.unflatten(jax.tree.structure(like), restored)


def restore_best(like: Params, arrays: dict[str, np.ndarray]) -> Params | None:
    """Return the best epoch's values, or None where the file has none."""
    has_best = any(name.startswith("best/") for name in arrays)
    return restore_leaves("best", like, arrays) if has_best else None


def to_bytes(saved: SavedState, configuration: dict[str, str]) -> bytes:
    """Return the content of a checkpoint file."""
    arrays = {**saved.arrays, **history_arrays(saved.history)}
    texts = {
        "format": FORMAT,
        "incidents": incidents_to_json(saved.history),
        "series": json.dumps({name: list(getattr(saved.history, name)) for name in SERIES}),
        "configuration": json.dumps(configuration, sort_keys=True),
        "circumstances": json.dumps(describe_environment(), sort_keys=True),
    }
    return save(arrays, {**texts, "sha256": compute_checksum(arrays, texts)})


def write(path: Path, saved: SavedState, configuration: dict[str, str]) -> None:
    """Write a file completely or not at all, even in a power failure."""
    content = to_bytes(saved, configuration)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Write the folder's list of files to the disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: Path) -> SavedState:
    """Read a file, and check that it is complete and unchanged.

    Raises:
        CorruptCheckpointError: if it is not.
        ValueError: if another version of ProbVAE wrote it.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            texts = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CorruptCheckpointError(f"{path} is corrupt or incomplete ({error})") from error
    if texts.pop("sha256", None) != compute_checksum(arrays, texts):
        raise CorruptCheckpointError(f"{path} is corrupt: its content does not match its checksum")
    if texts.get("format") != FORMAT:
        raise ValueError(
            f"{path} comes from another version of ProbVAE: its format is {texts.get('format')!r}, and "
            f"this version reads {FORMAT!r}. Finish the run with that version, or use a new folder. "
            f"{cite('another-version')}"
        )
    try:
        rest = [dict(json.loads(texts[name])) for name in ("configuration", "circumstances")]
        history = _order_series(read_history(arrays, texts), json.loads(texts["series"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptCheckpointError(f"{path} is corrupt: its text cannot be read ({error})") from error
    return SavedState(arrays, history, *rest)


def _order_series(history: History, series: dict[str, list[str]]) -> History:
    """Return a history with its series in their original order, as columns of a table."""
    steps, train, validation = (
        {key: getattr(history, name)[key] for key in series[name]} for name in SERIES
    )
    return History(steps, train, validation, history.best_epoch, history.incidents)


def check_configuration(path: Path, saved: SavedState, configuration: dict[str, str]) -> None:
    """Raise ValueError unless a run of this configuration wrote a checkpoint."""
    names = sorted(saved.configuration.keys() | configuration.keys())
    odd = [name for name in names if saved.configuration.get(name) != configuration.get(name)]
    if odd:
        raise ValueError(
            f"{path} was written by another run: {', '.join(odd)} differ. Repeat that call (only "
            "epochs, early_stopping and keep_best may change), or use a new folder. No file changed. "
            f"{cite('checkpoint-of-another-run')}"
        )


def _describe_array(array: ArrayLike | None) -> tuple | None:
    return None if array is None else (array.shape, str(array.dtype))


def _unwrap_key(leaf: ArrayLike) -> ArrayLike:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _wrap_key(like: ArrayLike, array: np.ndarray) -> jax.Array:
    if _is_key(like):
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=jax.random.key_impl(like))
    return jax.numpy.asarray(array)


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
