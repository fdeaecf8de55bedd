"""The evaluation of a run: its random keys, its test rows, and its bounds on log p(x)."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.data import Data
from probvae.evidence import Batch, BoundEstimate, explain_no_density
from probvae.fitted import Fitted
from probvae.typing import RngKey
from probvae.vae import VAE

ROWS_SEED = 0
ELBO_PARTICLES = 10


class RunKeys(NamedTuple):
    """The keys of a run, one for each purpose."""

    fit: RngKey
    evaluation: RngKey
    figures: RngKey


def derive_keys(seed: int) -> RunKeys:
    """Return the keys of a run from its seed."""
    # `probvae evaluate` prints the numbers of the training again, since it derives the same keys. A new
    # purpose therefore needs `fold_in`: a split in four would change all of them.
    return RunKeys(*jax.random.split(jax.random.key(seed), 3))


def select_batch(vae: VAE, data: Data, split: str, rows: Any = slice(None)) -> Batch:
    """Return rows of a split, for data of a table as a table.

    They include the context if the VAE takes one and the data have one.
    """
    context = data.context[split][rows] if vae.context_shape and data.context else None
    source = data.tables.get(split, getattr(data, split))  # a table has its mask and its columns
    return Batch(source[rows], context)


def draw_test_rows(num_rows: int, max_test: int) -> np.ndarray:
    """Return all rows, or ``max_test`` of them drawn without replacement by ``PCG64(0)``."""
    if num_rows <= max_test:
        return np.arange(num_rows)
    # A fixed seed: all runs on the same data are evaluated, and compared, on the same rows.
    generator = np.random.Generator(np.random.PCG64(ROWS_SEED))
    return np.sort(generator.choice(num_rows, max_test, replace=False))


def evaluate(
    fitted: Fitted,
    data: Data,
    *,
    rng_key: RngKey,
    num_particles: int,
    max_test: int,
    progress: bool = False,
) -> dict[str, Any]:
    """Return the test ELBO (all rows) and log p(x) (at most ``max_test`` random rows), in nats.

    A model with a part that is not a density has no log p(x). Then both entries are None, and
    ``no_log_prob`` gives the reason.

    Args:
        fitted: a fitted VAE.
        data: data with a test split.
        rng_key: a typed key.
        num_particles: draws of z per row in log p(x).
        max_test: the largest number of rows in log p(x).
        progress: show a bar.
    """
    if reason := explain_no_density(fitted.vae):
        return {"test_elbo": None, "test_log_prob": None, "no_log_prob": reason}
    elbo_key, log_prob_key = jax.random.split(rng_key)
    test = select_batch(fitted.vae, data, "test")
    rows = draw_test_rows(len(data.test), max_test)
    subset = select_batch(fitted.vae, data, "test", rows)
    return {
        "test_elbo": _estimate(fitted.elbo, test, elbo_key, ELBO_PARTICLES, progress=progress),
        "test_log_prob": _estimate(
            fitted.log_prob, subset, log_prob_key, num_particles, progress=progress
        ),
    }


def _estimate(
    bound: Callable[..., BoundEstimate],
    batch: Batch,
    rng_key: RngKey,
    particles: int,
    *,
    progress: bool,
) -> dict[str, Any]:
    start = time.perf_counter()
    estimate = bound(batch, rng_key=rng_key, num_particles=particles, progress=progress)
    num_not_finite = int((~np.isfinite(estimate.value)).sum())
    return {
        "mean": estimate.mean,
        "standard_error": estimate.mean_standard_error,
        "monte_carlo_error": float(estimate.standard_error.mean()),
        "num_particles": particles,
        "num_data": len(estimate.value),
        "seconds": round(time.perf_counter() - start, 2),
        **({"num_not_finite": num_not_finite} if num_not_finite else {}),
    }


def describe_metrics(metrics: dict[str, Any], num_test: int) -> list[str]:
    """Return the results of ``evaluate`` as lines of text."""
    elbo, log_prob = metrics["test_elbo"], metrics["test_log_prob"]
    if elbo is None:
        return [f"test log p(x) is not available: {metrics['no_log_prob']}"]
    is_subset = log_prob["num_data"] < num_test
    note = f"; rows drawn from {num_test:,} by PCG64({ROWS_SEED})" if is_subset else ""
    lines = [
        f"test ELBO {_describe_estimate(elbo)}",
        f"test log p(x) >= {_describe_estimate(log_prob, note)}",
    ]
    if num_not_finite := max(each.get("num_not_finite", 0) for each in (elbo, log_prob)):
        lines.append(
            f"warning: the bound is not finite for {num_not_finite:,} test data. Either they lie far "
            "outside the training range, or the weights diverged. In the second case, train with a "
            "lower learning rate."
        )
    return lines


def _describe_estimate(estimate: dict[str, Any], note: str = "") -> str:
    return (
        f"{estimate['mean']:.2f} nats +- {estimate['standard_error']:.2f} "
        f"({estimate['num_data']:,} data, {estimate['num_particles']} particles{note}; "
        f"Monte Carlo error {estimate['monte_carlo_error']:.2f} per datum)"
    )
