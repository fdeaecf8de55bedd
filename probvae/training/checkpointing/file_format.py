"""A run on the disk: one file of arrays and text, with a checksum of all that is in it."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from probvae._version import __version__
from probvae.fitted.history import History
from probvae.fitted.serialization import (
    SERIES,
    compute_checksum,
    history_arrays,
    incidents_to_json,
    list_leaves,
    read_history,
)
from probvae.typing import Params

FORMAT = "probvae-checkpoint-2"
PACKAGES = ("jax", "jaxlib", "numpyro", "flax", "optax")


class DamagedError(ValueError):
    """A file that is no whole checkpoint."""


class SavedState(NamedTuple):
    """A run as it stood: trees by name, as arrays by path, and its history.

    Attributes:
        arrays: of SVI's state (``state``) and the best epoch's values (``best``), by name and path.
        history: so far.
        configuration: digests by name.
        circumstances: what the bits depend on beside it: versions, the machine's kind.
    """

    arrays: dict[str, np.ndarray]
    history: History
    configuration: dict[str, str] = {}
    circumstances: dict[str, str] = {}

    @property
    def num_epochs(self) -> int:
        """The number of epochs so far."""
        return self.history.num_epochs


def circumstances() -> dict[str, str]:
    """Return what the bits of a run depend on beside its configuration."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    machine = {"machine": platform.machine(), "device": jax.devices()[0].device_kind}
    return {"probvae": __version__, **versions, **machine}


def flatten_leaves(name: str, tree: Any) -> dict[str, np.ndarray]:
    """Return a tree's leaves as arrays, by name and path; of a key its data."""
    shown = jax.device_get(jax.tree.map(_format_setting, tree))
    return {f"{name}/{path}": np.asarray(leaf, order="C") for path, leaf in list_leaves(shown)}


def restore_leaves(name: str, like: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a tree of the form of another, with the leaves that were taken.

    Raises:
        ValueError: if the leaves are of another form.
    """
    want = {f"{name}/{path}": _format_setting(leaf) for path, leaf in list_leaves(like)}
    got = {path: array for path, array in arrays.items() if path.split("/")[0] == name}
    for path in sorted(want.keys() | got.keys()):
        pair = [
            (a.shape, str(a.dtype)) if a is not None else None for a in (got.get(path), want.get(path))
        ]
        if pair[0] != pair[1]:
            raise ValueError(
                f"the checkpoint holds {pair[0]} for {path}, and this run expects {pair[1]}: it was "
                "written by another version, or in another precision (jax_enable_x64)."
            )
    placed = [_as_was(leaf, got[f"{name}/{path}"]) for path, leaf in list_leaves(like)]
    return jax.tree.unflatten(jax.tree.structure(like), placed)


def content(standing: SavedState, configuration: dict[str, str]) -> bytes:
    """Return what is in a file."""
    arrays = {**standing.arrays, **history_arrays(standing.history)}
    told = {
        "format": FORMAT,
        "incidents": incidents_to_json(standing.history),
        "series": json.dumps({name: list(getattr(standing.history, name)) for name in SERIES}),
        "configuration": json.dumps(configuration, sort_keys=True),
        "circumstances": json.dumps(circumstances(), sort_keys=True),
    }
    return save(arrays, {**told, "sha256": compute_checksum(arrays, told)})


def write(path: Path, standing: SavedState, configuration: dict[str, str]) -> None:
    """Write a file, which appears whole or not at all, also when the power goes."""
    told = content(standing, configuration)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(told)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Have the folder's list of files written, too, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: Path) -> SavedState:
    """Read a file, and check that it is what was written.

    Raises:
        DamagedError: if it is not.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            told = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise DamagedError(f"{path} is damaged, or was not written to its end ({error})") from error
    if told.get("format") != FORMAT:
        raise DamagedError(f"{path} says format {told.get('format')!r}, expected {FORMAT!r}")
    if told.pop("sha256", None) != compute_checksum(arrays, told):
        raise DamagedError(f"{path} is damaged: what it holds does not fit its checksum")
    try:
        rest = [dict(json.loads(told[name])) for name in ("configuration", "circumstances")]
        history = _order_series(read_history(arrays, told), json.loads(told["series"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: its text is none of ours ({error})") from error
    return SavedState(arrays, history, *rest)


def _order_series(history: History, series: dict[str, list[str]]) -> History:
    """Return a history with its series in the order that they had: they are columns of a table."""
    steps, train, validation = (
        {key: getattr(history, name)[key] for key in series[name]} for name in SERIES
    )
    return History(steps, train, validation, history.best_epoch, history.incidents)


def check_configuration(path: Path, found: SavedState, wanted: dict[str, str]) -> None:
    """Raise unless a checkpoint was written by a run of this configuration."""
    names = sorted(found.configuration.keys() | wanted.keys())
    odd = [name for name in names if found.configuration.get(name) != wanted.get(name)]
    if odd:
        raise ValueError(
            f"{path} was written by another run: {', '.join(odd)} differ. Expected the call that wrote "
            "it (epochs, early stopping and keep_best may differ). Make the same call, or give a new "
            "folder: nothing is overwritten."
        )


def _format_setting(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _as_was(like: Any, array: np.ndarray) -> jax.Array:
    if _is_key(like):
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=jax.random.key_impl(like))
    return jax.numpy.asarray(array)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def best_of(like: Params, arrays: dict[str, np.ndarray]) -> Params | None:
    """Return the best epoch's values; None where none were kept."""
    kept = any(name.startswith("best/") for name in arrays)
    return restore_leaves("best", like, arrays) if kept else None
