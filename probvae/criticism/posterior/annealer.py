"""Forward and reverse runs of annealed importance sampling, and the bounds from their weights."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.batching import fold_keys
from probvae.criticism.posterior.hmc import PathRun, move_along_path
from probvae.criticism.posterior.unconstrained import Codes, Start, draw_codes
from probvae.evidence import Batch, log_mean_exp, mean_error
from probvae.fitted import Fitted
from probvae.short_repr import short_repr
from probvae.typing import RngKey

FIRST_STEP = 0.5  # of the run that adapts the steps
GAIN = 1.0  # change of a log step per unit of acceptance off its target


@short_repr
class AnnealedBound(NamedTuple):
    """An estimate of log p(x) per datum, in nats. All arrays are ``(n,)``.

    ``value`` is a lower bound in expectation (forward run) or an upper bound (reverse run).
    ``standard_error`` is that over particles, by the delta method. In a reverse run all particles share
    the code that x was drawn from, and the standard error does not include that. ``acceptance`` is the
    mean over the ``num_temperatures`` and the ``num_particles``.
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
    """The settings of a run. ``temperatures`` are b_0 = 0, ..., b_T = 1."""

    start: Start
    num_particles: int
    num_leapfrog: int
    temperatures: np.ndarray


class Annealer(NamedTuple):
    """The compiled program, with all that stays the same from run to run."""

    fitted: Fitted
    data: Batch
    options: Options

    def tune_steps(self, rng_key: RngKey) -> np.ndarray:
        """Return log steps ``(n, T)`` for b_0, ..., b_(T-1), from a run whose draws are discarded."""
        n, num_steps = len(self.data.x), len(self.options.temperatures) - 1
        start = np.full((n, num_steps), math.log(FIRST_STEP))
        return np.asarray(self._run_forward(rng_key, start, GAIN).log_step)

    def estimate_lower(self, rng_key: RngKey, log_step: np.ndarray) -> AnnealedBound:
        """Run from the start to the posterior."""
        return _estimate_bound(self._run_forward(rng_key, log_step, 0.0), 1)

    def estimate_upper(self, rng_key: RngKey, log_step: np.ndarray, codes: Codes) -> AnnealedBound:
        """Run the same path in reverse, b_T, ..., b_1, from exact draws of the posterior."""
        # The steps were tuned at b_0, ..., b_(T-1). Shift them by one to b_1, ..., b_T, where b_T
        # borrows the last one, and reverse them: (n, T) in the order of the reverse path.
        b = self.options.temperatures
        log_step = np.concatenate([log_step[:, 1:], log_step[:, -1:]], axis=1)[:, ::-1]
        run = self._run(rng_key, codes, (b[1:][::-1], np.diff(b)[::-1]), log_step, 0.0)
        return _estimate_bound(run, -1)

    def _run_forward(self, rng_key: RngKey, log_step: np.ndarray, gain: float) -> PathRun:
        start_key, key = jax.random.split(rng_key)
        options, b = self.options, self.options.temperatures
        keys = fold_keys(start_key, jnp.arange(len(self.data.x)))
        vae, values = self.fitted.vae.eval(), self.fitted.values
        codes = draw_codes(vae, options.start, values, keys, self.data, options.num_particles)
        return self._run(key, codes, (b[:-1], np.diff(b)), log_step, gain)

    def _run(
        self, rng_key: RngKey, codes: Codes, path: tuple, log_step: np.ndarray, gain: float
    ) -> PathRun:
        vae, values, options = self.fitted.vae.eval(), self.fitted.values, self.options
        keys = fold_keys(rng_key, jnp.arange(len(self.data.x)))
        numbers = jax.tree.map(lambda a: jnp.asarray(a, float), (path, log_step, gain))
        start, num_leapfrog = options.start, options.num_leapfrog
        return jax.device_get(
            move_along_path(vae, start, values, keys, self.data, codes, *numbers, num_leapfrog)
        )


def _estimate_bound(run: PathRun, sign: int) -> AnnealedBound:
    """Return sign * log mean exp(sign * log w), and its standard error by the delta method."""
    # Forward, E[w] = p(x), so that log mean w is a lower bound (Jensen). In reverse, E[1/w] = 1/p(x),
    # and -log mean 1/w is an upper bound.
    log_w = sign * np.asarray(run.log_weights).astype(np.float64)  # (n, particles)
    value, relative = log_mean_exp(log_w)
    error = mean_error(relative.var(axis=1), log_w.shape[1])
    acceptance = np.asarray(run.acceptance)  # (n, temperatures)
    return AnnealedBound(
        sign * value, error, log_w.shape[1], acceptance.shape[1], acceptance.mean(axis=1)
    )
