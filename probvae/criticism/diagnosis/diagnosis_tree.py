"""A diagnosis in ArviZ's form: the draws, and beside them all that was measured and found."""

from importlib.util import find_spec
from typing import Any

import jax
import numpy as np

from probvae.criticism.datatree import to_datatree
from probvae.criticism.diagnosis.verdict import Verdict
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.typing import RngKey

NUM_CHAINS, NUM_SAMPLES, NUM_DATA = (
    4,
    25,
    100,
)  # the most that is kept of draws: of images, some tens of MB


def check_arviz() -> None:
    """Raise unless ArviZ is there, before anything is measured.

    Raises:
        ImportError: without it: ``pip install 'probvae[arviz]'``.
    """
    missing = [name for name in ("arviz_base", "arviz_stats") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"a diagnosis needs ArviZ, and {', '.join(missing)} is not installed: "
            "pip install 'probvae[arviz]'."
        )


def build_diagnosis_tree(
    fitted: Fitted, few: Batch, measured: Any, found: Verdict, rng_key: RngKey
) -> Any:
    """Return ``to_datatree`` of a few data, with groups ``diagnostics`` and ``verdict``."""
    import xarray as xr

    key = jax.random.fold_in(rng_key, NUM_CHAINS * NUM_SAMPLES)
    some = jax.tree.map(lambda a: a[:NUM_DATA], few)
    tree = to_datatree(fitted, some, rng_key=key, num_samples=NUM_SAMPLES, num_chains=NUM_CHAINS)
    numbers = {name: _variable(name, value) for name, value in numbers_of(measured).items()}
    tree["diagnostics"] = xr.DataTree(xr.Dataset(numbers))
    tree["verdict"] = xr.DataTree(xr.Dataset(_words(found)))
    return tree


def numbers_of(value: Any, name: str = "") -> dict[str, np.ndarray]:
    """Return all numbers below a named tuple or a dict, by the names on the way joined by ``_``.

    A slash in a name, such as a user's block "income/year", becomes ``_``: in a tree it parts groups.
    """
    below = value._asdict() if hasattr(value, "_asdict") else value
    if isinstance(below, dict):
        names = {k: str(k).replace("/", "_") for k in below}
        parts = (numbers_of(v, f"{name}_{names[k]}" if name else names[k]) for k, v in below.items())
        return {k: v for part in parts for k, v in part.items()}
    held = None if value is None else np.asarray(value)
    return {name: held} if held is not None and held.dtype.kind in "bifu" else {}


def _variable(name: str, value: np.ndarray) -> tuple[list[str], np.ndarray]:
    return [f"{name}_dim_{i}" for i in range(value.ndim)], value


def _words(found: Verdict) -> dict[str, tuple[list[str], np.ndarray]]:
    fields = ("kind", "name", "evidence", "source", "remedy")
    words = {f: np.array([str(getattr(each, f)) for each in found], dtype=object) for f in fields}
    numbers = {f: np.array([getattr(each, f) for each in found], float) for f in ("value", "threshold")}
    return {name: (["finding"], values) for name, values in {**words, **numbers}.items()}
