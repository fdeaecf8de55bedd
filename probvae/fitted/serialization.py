"""A fitted VAE as a file: safetensors, which holds arrays and text and can run nothing."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from probvae._version import __version__
from probvae.checks import PATH, check_kind
from probvae.data_description import DataDescription
from probvae.fitted.history import CONTINUED, History, Incident
from probvae.fitted.vae_description import SHOWN, describe_vae, find_differences, find_other_parts
from probvae.tracing import trace_structure
from probvae.typing import Params

FORMAT = "probvae-1"
SERIES = ("steps", "train", "validation")
RENAMED_ACTIONS = {"training went on": CONTINUED}  # as earlier files have it
UNSEALED = {"format", "vae", "incidents", "versions"}  # of files from before there was a checksum


def save(
    path: str | os.PathLike,
    vae: Any,
    values: Params,
    history: History,
    description: DataDescription | None,
    *,
    overwrite: bool,
) -> None:
    """Write a fitted VAE; the file appears whole or not at all."""
    check_kind("path", path, PATH)
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists; expected a new name. Choose another, or pass overwrite=True."
        )
    arrays = {f"values/{name}": leaf for name, leaf in list_leaves(jax.device_get(dict(values)))}
    arrays |= history_arrays(history)
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in arrays.items()}
    metadata = {
        "format": FORMAT,
        "vae": repr(vae),
        "parts": json.dumps(describe_vae(vae)),
        "incidents": incidents_to_json(history),
        "versions": json.dumps({"probvae": __version__, "jax": jax.__version__}),
    }
    if description is not None:
        metadata["data"] = description.to_json()
    metadata["sha256"] = compute_checksum(arrays, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(arrays, partial, metadata)
        partial.chmod(0o666 & ~_umask())  # the writer makes it private; a run may be shared
        partial.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written ({error}). Make room, or give another one.") from error
    finally:
        with suppress(OSError, ValueError):
            partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load(path: str | os.PathLike, vae: Any) -> tuple[dict[str, Any], History, DataDescription | None]:
    """Read a fitted VAE's values, history and training data's description, checked against the VAE."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected one that `fitted.save(path)` wrote.")
    arrays, metadata = _read(path)
    _check_parts(path, metadata, vae)
    found = trace_structure(vae)
    expected = {f"values/{name}": leaf for name, leaf in list_leaves({**found.params, **found.state})}
    _check_sites(path, arrays, expected, metadata.get("vae", "not recorded"))
    shapes = {**found.params, **found.state}
    paths, form = jax.tree_util.tree_flatten_with_path(shapes)
    values = jax.tree.unflatten(
        form, [jax.numpy.asarray(arrays[f"values/{_name(p)}"]) for p, _ in paths]
    )
    text = metadata.get("data")
    description = None if text is None else DataDescription.from_json(text)
    return values, read_history(arrays, metadata), description


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or of another kind ({error}); expected a file that `fitted.save` "
            "wrote. Save it again, or give the right file."
        ) from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} says format {metadata.get('format')!r}; expected {FORMAT!r}: it was not written "
            "by this version's `fitted.save`."
        )
    told = metadata.pop("sha256", None)
    if told != compute_checksum(arrays, metadata) and not (
        told is None and metadata.keys() <= UNSEALED
    ):
        raise ValueError(
            f"{path} is damaged: what it holds does not fit its checksum. Put a copy back, or save it "
            "again."
        )
    return arrays, metadata


def compute_checksum(arrays: dict[str, np.ndarray], told: dict[str, str]) -> str:
    """Return a digest of all that is in a file: names, kinds and bytes of its arrays, and its text."""
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_parts(path: Path, metadata: dict[str, str], vae: Any) -> None:
    """Raise where a part of the VAE is not that of the file, though all shapes may agree."""
    text = metadata.get("parts")
    if text is None:  # a file of an earlier version
        different = find_other_parts(metadata.get("vae", ""), vae)
    else:
        different = find_differences(json.loads(text), vae)
    if different:
        more = f" (and {len(different) - SHOWN} more)" if len(different) > SHOWN else ""
        raise ValueError(
            f"{path} was saved from another VAE: {', '.join(different[:SHOWN])}{more}. Give the VAE "
            "that it was saved from. To put the numbers into another one on purpose, load it so, and "
            "then dataclasses.replace(fitted, vae=...)."
        )


def _check_sites(path: Path, arrays: dict, expected: dict, saved_from: str) -> None:
    got = {k: (v.shape, v.dtype.kind) for k, v in arrays.items() if k.startswith("values/")}
    want = {k: (tuple(v.shape), np.dtype(v.dtype).kind) for k, v in expected.items()}
    odd = sorted(name for name in got.keys() | want.keys() if got.get(name) != want.get(name))
    if odd:
        name = odd[0]
        raise ValueError(
            f"{path} was saved from another VAE: {len(odd)} arrays differ, the first {name[7:]} with "
            f"shape {_shape(got.get(name))} in the file and {_shape(want.get(name))} in the VAE given. "
            f"It was saved from:\n{saved_from}"
        )


def _shape(found: tuple | None) -> Any:
    """Return a shape, with the kind of numbers where that is not the usual one."""
    return "none" if found is None else found[0] if found[1] == "f" else f"{found[0]}, kind {found[1]}"


def list_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Return a tree's leaves by their paths."""
    return [(_name(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]


def _name(path: tuple) -> str:
    return "/".join(str(getattr(part, "key", part)) for part in path)


def history_arrays(history: History) -> dict[str, np.ndarray]:
    """Return a history's arrays; its incidents are text."""
    held = history._replace(incidents=())._asdict()
    return {f"history/{name}": np.asarray(leaf, order="C") for name, leaf in list_leaves(held)}


def incidents_to_json(history: History) -> str:
    """Return a history's incidents as JSON."""
    return json.dumps([incident._asdict() for incident in history.incidents])


def read_history(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> History:
    """Return the history among a file's arrays and text.

    Raises:
        ValueError: if they are none.
    """
    try:
        return _history(arrays, metadata)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"the file's history is damaged ({type(error).__name__}: {error}). Put it back, or save "
            "it again."
        ) from error


def _history(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> History:
    groups: dict[str, dict] = {name: {} for name in SERIES}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        group, _, series = rest.partition("/")
        if kind == "history" and group in groups:
            groups[group][series] = array
    best = arrays.get("history/best_epoch")
    records = json.loads(metadata.get("incidents", "[]"))
    incidents = tuple(
        Incident(**{**record, "rows": tuple(record["rows"])})._replace(
            action=RENAMED_ACTIONS.get(record["action"], record["action"])
        )
        for record in records
    )
    return History(**groups, best_epoch=None if best is None else int(best), incidents=incidents)
