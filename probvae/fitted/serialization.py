"""Save and load a fitted VAE as a safetensors file: arrays and text, which cannot run code."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from probvae._version import __version__
from probvae.checks import PATH, check_kind
from probvae.data_description import DataDescription
from probvae.faq import cite
from probvae.fitted.history import CONTINUED, History, Incident
from probvae.fitted.vae_description import (
    describe_vae,
    find_differences,
    find_other_parts,
    format_constructor,
)
from probvae.tracing import trace_structure
from probvae.typing import Params, PyTree
from probvae.vae import VAE

FORMAT = "probvae-1"
SERIES = ("steps", "train", "validation")
SHOWN = 3  # differences that an error names
RENAMED_ACTIONS = {"training went on": CONTINUED}  # of incidents in files of earlier versions
UNSEALED = {"format", "vae", "incidents", "versions"}  # all metadata of files without a checksum


class SavedFit(NamedTuple):
    """Contents of a file: values by site, history, and description of the training data."""

    values: dict[str, Any]
    history: History
    description: DataDescription | None


def save(
    path: str | os.PathLike,
    vae: VAE,
    values: Params,
    history: History,
    description: DataDescription | None,
    *,
    overwrite: bool,
) -> None:
    """Write a fitted VAE. The file appears complete or not at all."""
    check_kind("path", path, PATH)
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Use a different name, or pass overwrite=True.")
    arrays = {f"values/{name}": leaf for name, leaf in list_leaves(jax.device_get(dict(values)))}
    arrays |= history_arrays(history)
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in arrays.items()}
    metadata = {
        "format": FORMAT,
        "vae": format_constructor(vae),
        "parts": json.dumps(describe_vae(vae)),
        "incidents": incidents_to_json(history),
        "versions": json.dumps({"probvae": __version__, "jax": jax.__version__}),
    }
    if description is not None:
        metadata["data"] = description.to_json()
    metadata["sha256"] = compute_checksum(arrays, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Write to another name first: a rename is atomic, so readers never see a partial file.
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(arrays, partial, metadata)
        partial.chmod(0o666 & ~_umask())  # safetensors makes it private, but runs may be shared
        partial.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path} could not be written ({error}). Free disk space, or move it.") from error
    finally:
        with suppress(OSError, ValueError):
            partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load(path: str | os.PathLike, vae: VAE) -> SavedFit:
    """Read a saved fit, and check that it was saved from a VAE like ``vae``."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Expected a file that `fitted.save` wrote.")
    arrays, metadata = _read(path)
    _check_parts(path, metadata, vae)
    structure = trace_structure(vae)
    shapes = {**structure.params, **structure.state}
    expected = {f"values/{name}": leaf for name, leaf in list_leaves(shapes)}
    _check_sites(path, arrays, expected, metadata.get("vae", "not recorded"))
    values = jax.tree.unflatten(
        jax.tree.structure(shapes), [jax.numpy.asarray(arrays[name]) for name in expected]
    )
    text = metadata.get("data")
    description = None if text is None else DataDescription.from_json(text)
    return SavedFit(values, read_history(arrays, metadata), description)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays and the metadata of a file whose format and checksum are right."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is corrupt, or `fitted.save` did not write it ({error}). Save it again, or use a "
            "different file."
        ) from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {metadata.get('format')!r}; expected {FORMAT!r}. Use a file that "
            f"`fitted.save` of this version wrote. {cite('another-version')}"
        )
    saved = metadata.pop("sha256", None)
    is_old = saved is None and metadata.keys() <= UNSEALED
    if saved != compute_checksum(arrays, metadata) and not is_old:
        raise ValueError(
            f"{path} is corrupt: its checksum is wrong. Restore a copy, or save it again. "
            f"{cite('corrupt-file')}"
        )
    return arrays, metadata


def compute_checksum(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    """Return a digest of a file's contents: names, dtypes and bytes of its arrays, and its text."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_parts(path: Path, metadata: dict[str, str], vae: VAE) -> None:
    """Raise if a part of the VAE differs from that in the file, even if all shapes agree."""
    text = metadata.get("parts")
    if text is None:  # a file of an earlier version
        different = find_other_parts(metadata.get("vae", ""), vae)
    else:
        different = find_differences(json.loads(text), vae)
    if different:
        more = f" (and {len(different) - SHOWN} more)" if len(different) > SHOWN else ""
        raise ValueError(
            f"{path} was saved from another VAE: {', '.join(different[:SHOWN])}{more}. Load it with "
            "that VAE. To start yours from its values, then call "
            "fit(vae, x, init_params=transfer_params(fitted, vae)). "
            f"{cite('saved-from-another-vae')}"
        )


def _check_sites(
    path: Path, arrays: dict[str, np.ndarray], expected: dict[str, Any], saved_from: str
) -> None:
    """Raise unless the file has the values of every site, with the expected shapes."""
    in_file = {k: (v.shape, v.dtype.kind) for k, v in arrays.items() if k.startswith("values/")}
    in_vae = {k: (tuple(v.shape), np.dtype(v.dtype).kind) for k, v in expected.items()}
    different = sorted(k for k in in_file.keys() | in_vae.keys() if in_file.get(k) != in_vae.get(k))
    if different:
        name = different[0]
        raise ValueError(
            f"{path} was saved from another VAE: {len(different)} arrays differ. The first one is "
            f"{name.removeprefix('values/')}. Its shape is {_format_shape(in_file.get(name))} in the "
            f"file and {_format_shape(in_vae.get(name))} in your VAE. Load the file with the VAE that "
            f"was saved:\n{saved_from}"
        )


def _format_shape(shape_and_kind: tuple | None) -> str:
    """Return a shape, with the kind of numbers unless they are floats."""
    if shape_and_kind is None:
        return "none"
    shape, kind = shape_and_kind
    return f"{shape}" if kind == "f" else f"{shape}, kind {kind}"


def list_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """Return the leaves of a tree with their paths, such as ``"layers/0/kernel"``."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [("/".join(str(getattr(key, "key", key)) for key in path), leaf) for path, leaf in paths]


def history_arrays(history: History) -> dict[str, np.ndarray]:
    """Return a history's arrays. Its incidents are text."""
    series = history._replace(incidents=())._asdict()
    return {f"history/{name}": np.asarray(leaf, order="C") for name, leaf in list_leaves(series)}


def incidents_to_json(history: History) -> str:
    """Return a history's incidents as JSON."""
    return json.dumps([incident._asdict() for incident in history.incidents])


def read_history(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> History:
    """Return the history from a file's arrays and metadata.

    Raises:
        ValueError: if they hold no valid history.
    """
    groups: dict[str, dict] = {name: {} for name in SERIES}
    try:
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            group, _, series = rest.partition("/")
            if kind == "history" and group in groups:
                groups[group][series] = array
        best = arrays.get("history/best_epoch")
        incidents = tuple(map(_read_incident, json.loads(metadata.get("incidents", "[]"))))
        return History(**groups, best_epoch=None if best is None else int(best), incidents=incidents)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"the file's history is corrupt ({type(error).__name__}: {error}). Restore a copy, or save "
            "it again."
        ) from error


def _read_incident(record: dict[str, Any]) -> Incident:
    action = RENAMED_ACTIONS.get(record["action"], record["action"])
    return Incident(**{**record, "action": action, "rows": tuple(record["rows"])})
