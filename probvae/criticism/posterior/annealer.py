"""Runs up and down the path of annealed importance sampling, and what their weights say."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.criticism.posterior.hmc import move_along_path
from probvae.criticism.posterior.unconstrained import Start, draw_codes
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.typing import RngKey

FIRST_STEP = 0.5  # of the run that adapts the steps
GAIN = 1.0  # by how much a log step moves, for each unit of acceptance off its target


class AnnealedBound(NamedTuple):
    """An estimate of log p(x) per datum, in nats, all arrays ``(n,)``.

    ``value`` is a lower bound in expectation (forward), or an upper one (reverse). ``standard_error``
    is that of the particles (delta method); in reverse they share the code that x was drawn from, of
    which it knows nothing. ``acceptance`` is the mean over the
    ``num_temperatures`` and the ``num_particles``.
    """

    value: np.ndarray
    standard_error: np.ndarray
    num_particles: int
    num_temperatures: int
    acceptance: np.ndarray

    @property
    def mean(self) -> float:
        """The mean over data."""
        return float(self.value.mean())


class Options(NamedTuple):
    """What a run is asked for; ``ladder`` holds the temperatures b_0 = 0, ..., b_T = 1."""

    start: Start
    num_particles: int
    num_leapfrog: int
    ladder: np.ndarray


class Annealer(NamedTuple):
    """The compiled program with all that stays the same from run to run."""

    fitted: Fitted
    data: Batch
    options: Options

    def tuned(self, rng_key: RngKey) -> np.ndarray:
        """Return log steps ``(n, T)`` for b_0, ..., b_(T-1), from a run that is thrown away."""
        n, steps = len(self.data.x), len(self.options.ladder) - 1
        start = np.full((n, steps), math.log(FIRST_STEP))
        return self._up(rng_key, start, GAIN)[2]

    def lower(self, rng_key: RngKey, log_step: np.ndarray) -> AnnealedBound:
        """Run from the start to the posterior."""
        log_w, accepted, _ = self._up(rng_key, log_step, 0.0)
        return _estimate_bound(log_w, accepted, 1)

    def upper(self, rng_key: RngKey, log_step: np.ndarray, codes: Any) -> AnnealedBound:
        """Run the same path in reverse, b_T, ..., b_1, from exact draws of the posterior."""
        b = self.options.ladder
        log_step = np.concatenate([log_step[:, 1:], log_step[:, -1:]], axis=1)[:, ::-1]
        log_w, accepted, _ = self._run(rng_key, codes, (b[1:][::-1], np.diff(b)[::-1]), log_step, 0.0)
        return _estimate_bound(log_w, accepted, -1)

    def _up(self, rng_key: RngKey, log_step: np.ndarray, gain: float) -> tuple[np.ndarray, ...]:
        start_key, key = jax.random.split(rng_key)
        o, b = self.options, self.options.ladder
        vae, keys = self.fitted.vae.eval(), _keys(start_key, len(self.data.x))
        codes = draw_codes(vae, o.start, self.fitted.values, keys, self.data, o.num_particles)
        return self._run(key, codes, (b[:-1], np.diff(b)), log_step, gain)

    def _run(
        self, rng_key: RngKey, codes: Any, path: tuple, log_step: np.ndarray, gain: float
    ) -> tuple[np.ndarray, ...]:
        vae, values, o = self.fitted.vae.eval(), self.fitted.values, self.options
        keys = _keys(rng_key, len(self.data.x))
        numbers = jax.tree.map(lambda a: jnp.asarray(a, float), (path, log_step, gain))
        return jax.device_get(
            move_along_path(vae, o.start, values, keys, self.data, codes, *numbers, o.num_leapfrog)
        )


def _estimate_bound(log_w: np.ndarray, accepted: np.ndarray, sign: int) -> AnnealedBound:
    """Return sign * log mean exp(sign * log w), and its standard error by the delta method."""
    log_w = sign * log_w.astype(np.float64)
    k = log_w.shape[1]
    log_sum = np.logaddexp.reduce(log_w, axis=1)
    excess = np.exp(np.logaddexp.reduce(2 * log_w, axis=1) - 2 * log_sum) - 1 / k
    error = np.sqrt(np.maximum(excess, 0.0) * k / (k - 1)) if k > 1 else np.full(len(log_w), np.nan)
    value = sign * (log_sum - math.log(k))
    return AnnealedBound(value, error, k, accepted.shape[1], accepted.mean(axis=1))


def _keys(rng_key: RngKey, n: int) -> jax.Array:
    """Return a key for each datum, whatever its company."""
    return jax.vmap(partial(jax.random.fold_in, rng_key))(jnp.arange(n))
