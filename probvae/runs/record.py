"""The record of a run, as it is written to config.json."""

import hashlib
import json
import platform
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from probvae.data import Data
from probvae.runs import folder as files
from probvae.runs.model_file import ModelFile
from probvae.runs.settings import Settings, describe_query_context, recovery, sizes, stopping
from probvae.variant import Variant

SEAL = "sha256"
UNSEALED = {"command", "date", "model", "data", "training", "evaluation", "versions", "settings"}
PACKAGES = ("probvae", "jax", "numpyro", "flax", "optax", "numpy")


def record(
    settings: Settings,
    file: ModelFile,
    variant: Variant,
    data: Data,
    binarize: str | None,
    command: str,
) -> dict[str, Any]:
    """Return a run's configuration, as it is written to config.json."""
    epochs, batch_size = sizes(settings, variant, data)
    return {
        "command": command,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "model": {
            "file": str(settings.model),
            "function": file.name,
            "summary": file.summary,
            "arguments": {o.name: o.default for o in file.options} | settings.arguments,
            "statement": str(variant.vae),
        },
        "data": _data_record(settings, data, binarize),
        "training": {
            "epochs": epochs,
            "batch_size": batch_size,
            "objective": "ELBO()" if variant.objective is None else repr(variant.objective),
            "optimizer": _optimizer_words(settings, variant),
            "seed": settings.seed,
        }
        | ({} if stopping(settings) is None else {"early_stopping": repr(stopping(settings))})
        | ({} if settings.keep is None else {"keep": settings.keep})
        | ({} if recovery(settings) is None else {"recovery": repr(recovery(settings))})
        | ({"asked_at": describe_query_context(variant)} if describe_query_context(variant) else {}),
        "evaluation": {"num_particles": settings.num_particles, "max_test": settings.max_test},
        "versions": versions(),
        "settings": {**settings._asdict(), "model": str(settings.model), "out": None},
    }


def add_digests(config: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a record with digests: of itself, and of the model file's source."""
    return {**config, SEAL: {files.CONFIG: _digest_of(config), files.MODEL: _sha256(source)}}


def check_digests(folder: Path, config: dict[str, Any], source: str) -> None:
    """Raise unless a run's record and model file are what was written.

    Raises:
        ValueError: if they are not; the message names the file.
    """
    bare = {name: value for name, value in config.items() if name != SEAL}
    if SEAL not in config and bare.keys() <= UNSEALED:  # from before there were digests
        return
    told = config.get(SEAL) or {}
    now = {files.CONFIG: _digest_of(bare), files.MODEL: _sha256(source)}
    odd = [str(folder / name) for name, digest in now.items() if told.get(name) != digest]
    if odd:
        raise ValueError(
            f"{odd[0]} is damaged, or was changed since the run: it does not fit its digest in "
            f"{files.CONFIG}. Put back what it was, or train anew; to use it as it is, take the entry "
            f'"{SEAL}" out of {files.CONFIG}.'
        )


def _digest_of(config: dict[str, Any]) -> str:
    return _sha256(json.dumps(files.finite(config), sort_keys=True, default=list))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _data_record(settings: Settings, data: Data, binarize: str | None) -> dict[str, Any]:
    path = Path(settings.data)
    known = not (path.exists() and data.name == path.name)
    return {
        "name": data.name,
        "source": settings.data if known else str(path.resolve()),
        "data_dir": settings.data_dir and str(Path(settings.data_dir).resolve()),
        "binarize": binarize,
        "description": data.description,
        "sizes": {split: len(array) for split, array in data.splits.items()},
        "event_shape": list(data.event_shape),
        "range": list(data.range),
        **digests(data),
    }


DIGESTS = {"sha256": "the test data", "sha256_rest": "training data, validation data or context"}
DIGESTED = 1_000  # rows of each array of the rest: training data may be larger than memory


def digests(data: Data) -> dict[str, str]:
    """Return the digests, by the names in ``DIGESTS``, that tell whether data have changed.

    The first is of all test data, the second of evenly spaced rows of every other array.
    """
    rest = [array for split, array in data.splits.items() if split != "test"]
    rest += [np.asarray(context) for context in data.context.values()]
    rows = (np.linspace(0, len(array) - 1, min(len(array), DIGESTED)).astype(int) for array in rest)
    some = [array[at] for array, at in zip(rest, rows, strict=True)]
    shapes = [array.shape for array in rest]
    return {
        "sha256": _digest_of_arrays([data.test]),
        "sha256_rest": _digest_of_arrays([np.array(str(shapes).encode()), *some]),
    }


def _digest_of_arrays(arrays: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _optimizer_words(settings: Settings, variant: Variant) -> str:
    if settings.learning_rate is not None:
        return f"optax.adam({settings.learning_rate:g})"
    return "optax.adam(0.001)" if variant.optimizer is None else "the model file's own"


def versions() -> dict[str, str]:
    """Return the versions of Python and of what a result depends on."""
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in PACKAGES}
