"""Held-out log p(x) in ArviZ's form, whatever its version."""

import inspect
import math
import warnings
from typing import Any

import numpy as np


def elpd_data(values: np.ndarray) -> Any:
    """Return values of log p(x) ``(n,)``, in nats, as the installed ArviZ's ``ELPDData``.

    Its fields vary by version: those that it has and we know are given, others are None. The kind is
    "loo", since ArviZ compares no other, but nothing is left out: the data are held out, so that there
    is no optimism (``p`` is 0) and no smoothing (each ``pareto_k`` is -inf).

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
    """
    try:
        from arviz_stats.utils import ELPDData
        from xarray import DataArray
    except ImportError as error:
        raise ImportError("ELPDData needs arviz-stats: pip install 'probvae[arviz]'.") from error
    known = {
        "kind": "loo",
        "elpd": float(values.sum()),
        "se": float(error_of_sum(values)),
        "p": 0.0,
        "n_samples": 1,
        "n_data_points": len(values),
        "scale": "log",
        "warning": False,
        "good_k": 0.7,
        "pareto_k": DataArray(np.full(len(values), -np.inf), dims=["datum"]),
        "elpd_i": DataArray(values, dims=["datum"]),
    }
    fields = inspect.signature(ELPDData).parameters
    required = [name for name, field in fields.items() if field.default is inspect.Parameter.empty]
    given: dict[str, Any] = {name: known.get(name) for name in {*required, *(known.keys() & fields)}}
    return ELPDData(**given)


def stacking_weights(values: np.ndarray) -> np.ndarray:
    """Return ArviZ's stacking weights ``(m,)`` of values ``(m, n)``; nan without ``arviz-stats``.

    They do not change when a number is added to all values of a datum; taking the greatest from each
    keeps the exponentials that ArviZ forms of them within range.

    Reference: Yao, Vehtari, Simpson and Gelman 2018, arXiv:1704.02030.
    """
    try:
        from arviz_stats import compare
    except ImportError:
        return np.full(len(values), np.nan)
    relative = values - values.max(axis=0)
    unrounded = {"round_to": "none"} if "round_to" in inspect.signature(compare).parameters else {}
    with warnings.catch_warnings():  # of what pandas deprecates, inside of ArviZ
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        found = compare({str(i): elpd_data(row) for i, row in enumerate(relative)}, **unrounded)
    return np.array([float(found.loc[str(i), "weight"]) for i in range(len(values))])


def error_of_sum(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the sum over the last axis, of draws from a population."""
    return np.asarray(math.sqrt(values.shape[-1]) * values.std(axis=-1, ddof=1))
