"""Where the scale of a likelihood comes from: four answers, each a component."""

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro
from numpyro.primitives import mutable

from probvae.checks import Checked, scale_bound
from probvae.distributions import soft_clip
from probvae.interfaces import Scope

MAX_LOG = 40.0  # of a log scale, in the data's units: its square is still an ordinary number of float32


class AbstractScale(Checked, abc.ABC):
    """sigma of p(x|z), in the data's units.

    ``num_outputs`` is how many outputs it takes of the decoder for each entry of x.
    """

    num_outputs: ClassVar[int] = 0

    @abc.abstractmethod
    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        """Return sigma, broadcastable to ``loc`` of shape ``(batch, *event)``."""


def check_scale(likelihood: Any, *, optimal: bool = False) -> None:
    """Raise unless a likelihood's scale is a component, and one that is right for its family."""
    name, scale = type(likelihood).__name__, likelihood.scale
    if not isinstance(scale, AbstractScale):
        raise TypeError(
            f"{name}(scale=...) expects a scale component such as FixedScale(0.1) or "
            f"LearnedScale(); got {scale!r}."
        )
    if isinstance(scale, OptimalScale) and not optimal:
        raise ValueError(
            f"OptimalScale is the maximum-likelihood sigma of a Gaussian alone, not of {name}. Take "
            "LearnedScale(), PixelScale() or FixedScale(...)."
        )


def bound_log_scale(raw: jax.Array, low: float) -> jax.Array:
    """Return a log scale, bounded smoothly on both sides: a wild output must not break the fit.

    Below it is low + softplus(raw - low) (arXiv:2006.13202). Above ``MAX_LOG`` it is a soft clip: a
    scale of e^40 of the data's units is wider than any data, and all others are left as they are.
    """
    return soft_clip(low + jax.nn.softplus(raw - low), -math.inf, MAX_LOG)


@dataclass(frozen=True)
class FixedScale(AbstractScale):
    """sigma = value, one number for all entries.

    Raises:
        ValueError: for a value that is not finite and positive.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"FixedScale expects a positive number; got {self.value!r}.")

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        return jnp.full((), self.value, loc.dtype)

    def __str__(self) -> str:
        return f"sigma = {self.value}"


@dataclass(frozen=True)
class LearnedScale(AbstractScale):
    """log sigma = one learned number, softly bounded on both sides.

    Args:
        start: sigma at the start, in the data's units.
        min_log: the lower bound on log sigma. The upper one is 40.

    Raises:
        ValueError: for a start at or below exp(min_log).
    """

    start: float = 1.0
    min_log: float = scale_bound(-6.0, looser=-1.0)

    def __post_init__(self) -> None:
        if not (self.start > 0 and math.log(self.start) > self.min_log):
            raise ValueError(
                f"LearnedScale(start=...) expects a number above exp(min_log) = "
                f"{math.exp(self.min_log):.3g}; got {self.start!r}."
            )

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        above = math.log(self.start) - self.min_log
        unbounded = self.min_log + math.log(math.expm1(above)) if above < 30 else math.log(self.start)
        log_scale = numpyro.param("likelihood$log_scale", jnp.full((), unbounded))
        return jnp.exp(bound_log_scale(log_scale, self.min_log))

    def __str__(self) -> str:
        return "sigma learned"


@dataclass(frozen=True)
class PixelScale(AbstractScale):
    """log sigma_d = g_d(z) from the decoder, softly bounded on both sides.

    It wins the likelihood and often loses the samples: see arXiv:2006.13202, table 3.

    Args:
        min_log: the lower bound on log sigma. The upper one is 40.
    """

    num_outputs: ClassVar[int] = 1
    min_log: float = scale_bound(-6.0, looser=-1.0)

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        return jnp.exp(bound_log_scale(raw[..., 0], self.min_log))

    def __str__(self) -> str:
        return "sigma = sigma(z) per entry"


@dataclass(frozen=True)
class OptimalScale(AbstractScale):
    """sigma^2 = mean of (x - f(z))^2 over data and entries: the maximum-likelihood value.

    In training it is the batch's; the running state gathers the mean over a pass through the training
    set, which serves evaluation and generation, so that log p(x|z) of a datum never depends on its
    company. ``fit`` makes that pass with the final parameters.

    Args:
        min_log: the least log sigma (a hard bound, so that above it sigma is the exact optimum).

    Reference: Rybkin, Daniilidis and Levine 2021, arXiv:2006.13202, equation 6 (sigma-VAE).
    """

    min_log: float = scale_bound(-6.0, looser=-1.0)

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        zero = jnp.zeros((), loc.dtype)
        state = mutable("likelihood$state", {"mean_square": zero + 1.0, "count": zero})
        if scope.training and scope.x is not None:
            mean_square, count = _mean_square(loc, scope.x, scope.mask)
            total = state["count"] + count
            gain = jax.lax.stop_gradient(count / total)
            old = state["mean_square"]
            state["mean_square"] = jax.lax.stop_gradient(old + gain * (mean_square - old))
            state["count"] = total
        else:
            mean_square = state["mean_square"]
        return jnp.sqrt(jnp.maximum(mean_square, math.exp(2 * self.min_log)))

    def __str__(self) -> str:
        return "sigma^2 = mean squared error on the training set"


def _mean_square(loc: jax.Array, x: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Return the mean of (x - f(z))^2 over the observed entries, and the number of data."""
    square = (x - loc) ** 2
    seen = jnp.ones_like(square) if mask is None else mask.astype(square.dtype)
    return (square * seen).sum() / jnp.maximum(seen.sum(), 1.0), seen.sum() / seen[0].size
