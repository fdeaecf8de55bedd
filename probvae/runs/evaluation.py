"""A run's numbers on the test data."""

import time
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


class Keys(NamedTuple):
    """A run's keys, all of its seed."""

    fit: RngKey
    evaluation: RngKey
    figures: RngKey


def keys(seed: int) -> Keys:
    """Return the keys of a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 3))


def batch(vae: VAE, data: Data, split: str, rows: Any = slice(None)) -> Batch:
    """Return a split of the data, with its context where the VAE takes one and the data have it."""
    context = data.context[split][rows] if vae.context_shape and data.context else None
    return Batch(getattr(data, split)[rows], context)


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

    Where a part is no density there is no log p(x) to bound: both are None, and ``no_log_prob`` says
    why.

    Args:
        fitted: a fitted VAE.
        data: with its test split.
        rng_key: a typed key.
        num_particles: draws of z for each datum.
        max_test: at most so many rows enter log p(x).
        progress: show a bar.
    """
    elbo_key, log_prob_key = jax.random.split(rng_key)
    rows = test_rows(len(data.test), max_test)
    test, some = batch(fitted.vae, data, "test"), batch(fitted.vae, data, "test", rows)
    reason = explain_no_density(fitted.vae)
    if reason:
        return {"test_elbo": None, "test_log_prob": None, "no_log_prob": reason}
    return {
        "test_elbo": _time_call(fitted.elbo, test, elbo_key, ELBO_PARTICLES, progress=progress),
        "test_log_prob": _time_call(
            fitted.log_prob, some, log_prob_key, num_particles, progress=progress
        ),
    }


def test_rows(n: int, most: int) -> np.ndarray:
    """Return all rows of n, or ``most`` of them drawn by ``Generator(PCG64(0))``."""
    if n <= most:
        return np.arange(n)
    drawn = np.random.Generator(np.random.PCG64(ROWS_SEED)).choice(n, most, replace=False)
    return np.sort(drawn)


def _time_call(
    bound: Any, x: Batch, rng_key: RngKey, particles: int, *, progress: bool
) -> dict[str, Any]:
    start = time.perf_counter()
    found: BoundEstimate = bound(x, rng_key=rng_key, num_particles=particles, progress=progress)
    unbounded = int((~np.isfinite(found.value)).sum())
    return {
        "mean": found.mean,
        "standard_error": found.mean_standard_error,
        "monte_carlo_error": float(found.standard_error.mean()),
        "num_particles": particles,
        "num_data": len(found.value),
        "seconds": round(time.perf_counter() - start, 2),
        **({"num_not_finite": unbounded} if unbounded else {}),
    }


def sentences(metrics: dict[str, Any], num_test: int) -> list[str]:
    """Return the numbers as lines of text."""
    elbo, log_prob = metrics["test_elbo"], metrics["test_log_prob"]
    if elbo is None:
        return [f"test log p(x): none, for {metrics['no_log_prob']}"]
    lines = [f"test ELBO {_words(elbo)}"]
    some = log_prob["num_data"] < num_test
    note = f"; rows drawn from {num_test:,} by PCG64({ROWS_SEED})" if some else ""
    lines.append(f"test log p(x) >= {_words(log_prob, note)}")
    if unbounded := max(number.get("num_not_finite", 0) for number in (elbo, log_prob)):
        lines.append(
            f"warning: the bound is not finite for {unbounded:,} test data. Test data far outside the "
            "training range do this, and weights that have run away: try a lower learning rate."
        )
    return lines


def _words(number: dict[str, Any], note: str = "") -> str:
    particles = number["num_particles"]
    return (
        f"{number['mean']:.2f} nats +- {number['standard_error']:.2f} "
        f"({number['num_data']:,} data, {particles} particles{note}; "
        f"Monte Carlo error {number['monte_carlo_error']:.2f} per datum)"
    )
