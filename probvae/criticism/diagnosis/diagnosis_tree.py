"""The ArviZ tree of a diagnosis: draws, with all measurements and findings as further groups."""

from importlib.util import find_spec

import jax
import numpy as np

from probvae.criticism.datatree import to_datatree
from probvae.criticism.datatree_variables import DataTree
from probvae.criticism.diagnosis.measurements import Measurements, first_rows
from probvae.criticism.diagnosis.verdict import Verdict
from probvae.evidence import Batch
from probvae.faq import cite
from probvae.fitted import Fitted
from probvae.typing import RngKey

NUM_CHAINS, NUM_SAMPLES, MAX_ROWS = 4, 25, 100  # some tens of MB for images


def check_arviz() -> None:
    """Raise ImportError unless ArviZ is installed. Call it before the long measurements."""
    missing = [name for name in ("arviz_base", "arviz_stats") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"diagnose needs {' and '.join(missing)}: pip install 'probvae[arviz]'. "
            f"{cite('missing-extra')}"
        )


def build_diagnosis_tree(
    fitted: Fitted, data: Batch, measurements: Measurements, verdict: Verdict, rng_key: RngKey
) -> DataTree:
    """Return ``to_datatree`` of the first rows, with groups ``diagnostics`` and ``verdict``."""
    import xarray as xr

    key = jax.random.fold_in(rng_key, NUM_CHAINS * NUM_SAMPLES)
    rows = first_rows(data, MAX_ROWS)
    tree = to_datatree(fitted, rows, rng_key=key, num_samples=NUM_SAMPLES, num_chains=NUM_CHAINS)
    variables = {
        name: ([f"{name}_dim_{i}" for i in range(value.ndim)], value)
        for name, value in flatten_numbers(measurements).items()
    }
    tree["diagnostics"] = xr.DataTree(xr.Dataset(variables))
    tree["verdict"] = xr.DataTree(xr.Dataset(_verdict_variables(verdict)))
    return tree


def flatten_numbers(value: object, name: str = "") -> dict[str, np.ndarray]:
    """Return all numbers inside nested named tuples and dicts, with names joined by ``_``.

    A slash in a name, such as a block "income/year", becomes ``_``, because a tree splits names there.
    """
    fields = value._asdict() if hasattr(value, "_asdict") else value
    if isinstance(fields, dict):
        names = {key: str(key).replace("/", "_") for key in fields}
        parts = (
            flatten_numbers(item, f"{name}_{names[key]}" if name else names[key])
            for key, item in fields.items()
        )
        return {key: number for part in parts for key, number in part.items()}
    array = None if value is None else np.asarray(value)
    return {name: array} if array is not None and array.dtype.kind in "bifu" else {}


def _verdict_variables(verdict: Verdict) -> dict[str, tuple[list[str], np.ndarray]]:
    fields = ("kind", "name", "evidence", "source", "remedy")
    texts = {f: np.array([str(getattr(each, f)) for each in verdict], dtype=object) for f in fields}
    numbers = {
        f: np.array([getattr(each, f) for each in verdict], float) for f in ("value", "threshold")
    }
    return {name: (["finding"], values) for name, values in {**texts, **numbers}.items()}
