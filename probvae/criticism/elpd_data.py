"""Held-out log p(x) in ArviZ's form, whatever its version."""

import inspect
import math
import warnings
from typing import Any

import numpy as np

from probvae.criticism.pareto import ParetoShape, pareto_shape
from probvae.training import Fitted
from probvae.typing import RngKey


def elpd(
    fitted: Fitted, x: Any, *, rng_key: RngKey, num_particles: int = 2000, num_noise_draws: int = 1
) -> Any:
    r"""Return log p(x) of held-out rows as ArviZ's ``ELPDData``, with the code integrated out.

    For each row $\log p(x_i) \ge \log \frac1K \sum_k p(x_i, z_k) / q(z_k|x_i)$, as
    ``fitted.log_prob``. Its ``pareto_k`` is k-hat of these weights, as ``pareto_shape``. Use it where
    ArviZ has ``loo``: in ``arviz_stats.compare``, ``plot_compare`` and ``plot_khat``. ``loo`` itself
    has no right answer here. It would score a row by p(x|z) at codes that q inferred from this row.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: K, for each row. At least 100.
        num_noise_draws: as in ``Fitted.log_prob``, for ``Spread``.

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
        ValueError: for a part that is no density, or data that do not fit.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519; Vehtari et al. 2024,
    arXiv:1507.02646 (k-hat).
    """
    shape = pareto_shape(fitted, x, rng_key=rng_key, num_particles=num_particles)
    evidence = fitted.log_prob(
        x, rng_key=rng_key, num_particles=num_particles, num_noise_draws=num_noise_draws
    )
    return elpd_data(evidence.value, shape)


def elpd_data(values: np.ndarray, shape: ParetoShape | None = None) -> Any:
    """Return values of log p(x) ``(n,)``, in nats, as the installed ArviZ's ``ELPDData``.

    ArviZ's versions differ in their fields. Fields that we do not know are None. The kind is "loo",
    because ArviZ compares no other, but nothing is left out: the rows are held out, so there is no
    optimism (``p`` is 0).

    Args:
        values: the values.
        shape: the tails of the importance weights. Without it each ``pareto_k`` is -inf.

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
    """
    try:
        from arviz_stats import utils
        from xarray import DataArray
    except ImportError as error:
        raise ImportError("ELPDData needs arviz-stats: pip install 'probvae[arviz]'.") from error
    rows = {"datum": np.arange(len(values))}
    k_hat = np.full(len(values), -np.inf) if shape is None else shape.k_hat
    known = {
        "kind": "loo",
        "elpd": float(values.sum()),
        "se": float(error_of_sum(values)),
        "p": 0.0,
        "n_samples": 1 if shape is None else shape.num_particles,
        "n_data_points": len(values),
        "scale": "log",
        "warning": shape is not None and bool(shape.doubtful.any()),
        "good_k": 0.7 if shape is None else shape.threshold,
        "pareto_k": DataArray(k_hat, dims=["datum"], coords=rows),
        "elpd_i": DataArray(values, dims=["datum"], coords=rows),
    }
    # From ArviZ 1.3 on the base class has no kind, and the class for "loo" has a name of its own.
    container = getattr(utils, "ELPDDataLOO", utils.ELPDData)
    fields = inspect.signature(container).parameters
    required = [name for name, field in fields.items() if field.default is inspect.Parameter.empty]
    values_by_field: dict[str, Any] = {
        name: known.get(name) for name in {*required, *(known.keys() & fields)}
    }
    return container(**values_by_field)


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
