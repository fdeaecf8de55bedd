"""Components for the scale sigma of a likelihood: fixed, learned, per column, per pixel, or optimal."""

import abc
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpyro
from numpyro.primitives import mutable

from probvae.checks import Checked, PositiveFloat, Requirement, scale_bound
from probvae.distributions import soft_clip
from probvae.interfaces import Scope
from probvae.typing import Shape

MAX_LOG = 40.0  # of a log scale, in the data's units: its square is still finite in float32


class AbstractScale(Checked, abc.ABC):
    """The scale sigma of p(x|z), in the data's units.

    ``num_outputs`` is the number of decoder outputs that the scale reads for each entry of x.
    """

    num_outputs: ClassVar[int] = 0

    @abc.abstractmethod
    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        """Return sigma, broadcastable to ``loc`` of shape ``(batch, *event)``.

        Args:
            loc: the location f(z), ``(batch, *event)``.
            raw: the decoder's outputs for the scale, ``(batch, *event, num_outputs)``.
            scope: the VAE's scope.
        """


def bound_log_scale(raw: jax.Array, low: float) -> jax.Array:
    """Bound a log scale smoothly on both sides, so that an extreme output cannot break the fit.

    The lower bound is low + softplus(raw - low) (arXiv:2006.13202). The upper bound is a soft clip at
    ``MAX_LOG``: a scale of e^40 exceeds any data. Values in between stay unchanged.
    """
    return soft_clip(low + jax.nn.softplus(raw - low), -math.inf, MAX_LOG)


@dataclass(frozen=True)
class FixedScale(AbstractScale):
    """A fixed sigma: one number for all entries.

    Args:
        value: sigma, in the data's units.
    """

    value: PositiveFloat = 1.0

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        return jnp.full((), self.value, loc.dtype)

    def __str__(self) -> str:
        return f"sigma = {self.value}"


@dataclass(frozen=True)
class LearnedScale(AbstractScale):
    """A learned sigma: one number for all entries. Its logarithm is softly bounded on both sides.

    Args:
        start: initial value of sigma, in the data's units.
        min_log: the lower bound on log sigma. The upper bound is 40.

    Raises:
        ValueError: for a start at or below exp(min_log).
    """

    start: PositiveFloat = 1.0
    min_log: float = scale_bound(-6.0, looser=-1.0)

    def __post_init__(self) -> None:
        _check_start(self)

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        return _learn_scale(self, ())

    def __str__(self) -> str:
        return "sigma learned"


@dataclass(frozen=True)
class ColumnScale(AbstractScale):
    r"""A learned sigma for each entry of a row, the same for all rows: $\sigma_d$ in column d.

    Use it for tables, whose columns differ in how well the code explains them. With an affine decoder
    and a standard normal prior, p(x) is that of factor analysis (Rubin and Thayer 1982). With
    ``LearnedScale`` it is that of probabilistic PCA (Tipping and Bishop 1999).

    Args:
        start: initial value of every sigma, in the data's units.
        min_log: the lower bound on log sigma. The upper bound is 40.

    Raises:
        ValueError: for a start at or below exp(min_log).

    Reference: Rubin and Thayer 1982, EM algorithms for ML factor analysis, Psychometrika 47.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.Gaussian(scale=likelihoods.ColumnScale()))
        Normal(f(z), sigma^2), sigma learned per entry
    """

    start: PositiveFloat = 1.0
    min_log: float = scale_bound(-6.0, looser=-1.0)

    def __post_init__(self) -> None:
        _check_start(self)

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        return _learn_scale(self, loc.shape[1:])

    def __str__(self) -> str:
        return "sigma learned per entry"


def _check_start(scale: LearnedScale | ColumnScale) -> None:
    if math.log(scale.start) <= scale.min_log:
        raise ValueError(
            f"{type(scale).__name__}(start=...) expects a number above exp(min_log) = "
            f"{math.exp(scale.min_log):.3g}; got {scale.start!r}."
        )


def _learn_scale(scale: LearnedScale | ColumnScale, shape: Shape) -> jax.Array:
    """Register the parameter of a learned scale, and return sigma."""
    # The parameter that `bound_log_scale` maps to log(start): the inverse of its softplus, or
    # log(start) itself where the softplus is the identity in floating point.
    start, low = math.log(scale.start), scale.min_log
    unbounded = low + math.log(math.expm1(start - low)) if start - low < 30 else start
    log_scale = numpyro.param("likelihood$log_scale", jnp.full(shape, unbounded))
    return jnp.exp(bound_log_scale(log_scale, low))


@dataclass(frozen=True)
class PixelScale(AbstractScale):
    r"""A sigma per entry from the decoder: $\log \sigma_d = g_d(z)$, softly bounded on both sides.

    It often gives the best likelihood and worse samples: see arXiv:2006.13202, table 3.

    Args:
        min_log: the lower bound on log sigma. The upper bound is 40.
    """

    num_outputs: ClassVar[int] = 1
    min_log: float = scale_bound(-6.0, looser=-1.0)

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        return jnp.exp(bound_log_scale(raw[..., 0], self.min_log))

    def __str__(self) -> str:
        return "sigma = sigma(z) per entry"


@dataclass(frozen=True)
class OptimalScale(AbstractScale):
    r"""The maximum-likelihood sigma of a Gaussian: the root mean squared error.

    $\sigma^2$ is the mean of $(x - f(z))^2$ over data and entries.

    In training the mean is over the batch. After training, ``fit`` makes one pass through the training
    set with the final parameters and stores its mean. Evaluation and generation use the stored value,
    so that log p(x|z) of a datum does not depend on the rest of the batch.

    Args:
        min_log: the lower bound on log sigma. It is a hard bound: above it, sigma is exactly optimal.

    Reference: Rybkin, Daniilidis and Levine 2021, arXiv:2006.13202, equation 6 (sigma-VAE).
    """

    min_log: float = scale_bound(-6.0, looser=-1.0)

    def __call__(self, loc: jax.Array, raw: jax.Array, scope: Scope) -> jax.Array:
        # In training, sigma is the batch's and has a gradient. With the optimum inserted, log p(x|z) is
        # -D/2 log(mean square) up to a constant: the decoder's loss is the log of the squared error.
        # The running mean over all batches since the state was reset, weighted by their observed rows,
        # has no gradient. It is what remains once training is over.
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


Scale = Annotated[
    AbstractScale, Requirement("a scale component such as FixedScale(0.1) or LearnedScale()")
]
NonOptimalScale = Annotated[
    AbstractScale,
    Requirement(
        "FixedScale(...), LearnedScale() or another scale component (OptimalScale is Gaussian only)",
        lambda scale: not isinstance(scale, OptimalScale),
    ),
]


def _mean_square(loc: jax.Array, x: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Return the mean of (x - f(z))^2 over the observed entries, and the number of data."""
    square = (x - loc) ** 2
    observed = jnp.ones_like(square) if mask is None else mask.astype(square.dtype)
    mean = (square * observed).sum() / jnp.maximum(observed.sum(), 1.0)
    return mean, observed.sum() / observed[0].size
