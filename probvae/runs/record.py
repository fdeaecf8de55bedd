"""The record of a run in config.json, and the digests that show whether it or the data changed."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from probvae.data import Data
from probvae.runs import folder as files
from probvae.runs.context import describe_query_context
from probvae.runs.plan import RunPlan
from probvae.runs.run_tables import record_columns

DIGEST = "sha256"
# The entries of a record that was written before records had digests.
UNDIGESTED = {"command", "date", "model", "data", "training", "evaluation", "versions", "settings"}
PACKAGES = ("probvae", "jax", "numpyro", "flax", "optax", "numpy")
DATA_DIGESTS = {"sha256": "the test data", "sha256_rest": "training data, validation data or context"}
DIGESTED_ROWS = 1_000  # of each array but the test data, since training data may exceed the memory


def make_record(plan: RunPlan, command: str) -> dict[str, Any]:
    """Return a run's configuration, as config.json holds it, with digests."""
    return _add_digests(_describe(plan, command), plan.file.source)


def make_sweep_record(
    plan: RunPlan, over: Mapping[str, Sequence[float]], seeds: Sequence[int], command: str
) -> dict[str, Any]:
    """Return a sweep's configuration: the swept numbers replace the entries of a single run."""
    config = _describe(plan, command)
    for name in ("evaluation", "settings"):
        del config[name]
    del config["training"]["seed"]
    if "learning_rate" in over:
        config["training"]["optimizer"] = "optax.adam"
    config["training"]["seeds"] = list(seeds)
    config["swept"] = {name: list(values) for name, values in over.items()}
    return _add_digests(config, plan.file.source)


def _describe(plan: RunPlan, command: str) -> dict[str, Any]:
    settings, variant = plan.settings, plan.variant
    optional = {
        "early_stopping": plan.early_stopping and repr(plan.early_stopping),
        "keep": settings.keep,
        "recovery": plan.recovery and repr(plan.recovery),
        "asked_at": describe_query_context(variant) or None,
    }
    return {
        "command": command,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "model": {
            "file": str(settings.model),
            "function": plan.file.name,
            "summary": plan.file.summary,
            "arguments": {o.name: o.default for o in plan.file.options} | settings.arguments,
            "statement": str(variant.vae),
        },
        "data": _record_data(plan),
        "training": {
            "epochs": plan.epochs,
            "batch_size": plan.batch_size,
            "objective": "ELBO()" if variant.objective is None else repr(variant.objective),
            "optimizer": _describe_optimizer(plan),
            "seed": settings.seed,
            **{name: entry for name, entry in optional.items() if entry is not None},
        },
        "evaluation": {"num_particles": settings.num_particles, "max_test": settings.max_test},
        "versions": _list_versions(),
        "settings": {**settings._asdict(), "model": str(settings.model), "out": None},
    }


def _record_data(plan: RunPlan) -> dict[str, Any]:
    settings, data = plan.settings, plan.data
    path = Path(settings.data)
    is_file = path.exists() and data.name == path.name
    return {
        "name": data.name,
        "source": str(path.resolve()) if is_file else settings.data,
        "data_dir": settings.data_dir and str(Path(settings.data_dir).resolve()),
        "binarize": plan.binarize,
        "description": data.description,
        "sizes": {split: len(array) for split, array in data.splits.items()},
        "event_shape": list(data.event_shape),
        "range": list(data.range),
        **({"table": settings.table, "columns": record_columns(data)} if data.tables else {}),
        **digest_data(data),
    }


def _describe_optimizer(plan: RunPlan) -> str:
    if plan.settings.learning_rate is not None:
        return f"optax.adam({plan.settings.learning_rate:g})"
    return "optax.adam(0.001)" if plan.optimizer is None else "the model file's own"


def _list_versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in PACKAGES}


def _add_digests(config: dict[str, Any], source: str) -> dict[str, Any]:
    return {**config, DIGEST: _digest_files(config, source)}


def check_digests(folder: Path, config: dict[str, Any], source: str) -> None:
    """Raise ``ValueError`` if a run's record or model file changed. The message names the file."""
    content = {name: value for name, value in config.items() if name != DIGEST}
    if DIGEST not in config and content.keys() <= UNDIGESTED:
        return
    recorded = config.get(DIGEST) or {}
    for name, digest in _digest_files(content, source).items():
        if recorded.get(name) != digest:
            raise ValueError(
                f"{folder / name} is damaged, or was changed since the run: its digest differs from "
                f'the one in {files.CONFIG}. Restore the file, or delete the entry "{DIGEST}" from '
                f"{files.CONFIG} to use it as it is."
            )


def _digest_files(config: dict[str, Any], source: str) -> dict[str, str]:
    text = json.dumps(files.replace_nonfinite(config), sort_keys=True, default=list)
    contents = {files.CONFIG: text, files.MODEL: source}
    return {name: hashlib.sha256(each.encode()).hexdigest() for name, each in contents.items()}


def digest_data(data: Data) -> dict[str, str]:
    """Return two digests of the data, under the names in ``DATA_DIGESTS``.

    The first covers all test data. The second covers evenly spaced rows of every other array.
    """
    others = [array for split, array in data.splits.items() if split != "test"]
    others += [np.asarray(context) for context in data.context.values()]
    shapes = np.array(str([array.shape for array in others]).encode())
    rows = (np.linspace(0, len(a) - 1, min(len(a), DIGESTED_ROWS)).astype(int) for a in others)
    samples = [array[at] for array, at in zip(others, rows, strict=True)]
    return {"sha256": _digest_arrays([data.test]), "sha256_rest": _digest_arrays([shapes, *samples])}


def _digest_arrays(arrays: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
