"""A likelihood whose nets work with standardized numbers, and whose density is in the data's units."""

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import Requirement, format_value
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.typing import Shape

MEAN, SD = "likelihood$column_mean", "likelihood$column_sd"
LOCATION_SCALE = (dist.Normal, dist.Laplace, dist.StudentT, dist.LogNormal)
TINY = 1e-6  # of a column's size: a smaller standard deviation is rounding error


def _can_standardize(likelihood: AbstractLikelihood) -> bool:
    """Tell whether a likelihood is of numbers or counts that factorise, without noise."""
    numbers = (constraints.real, constraints.positive, constraints.nonnegative_integer)
    return (
        likelihood.support in numbers
        and likelihood.factorises
        and likelihood.is_density
        and likelihood.observation is None
        and not isinstance(likelihood, Standardized)
    )


@dataclass(frozen=True)
class Standardized(AbstractLikelihood):
    r"""A likelihood of data in their own units, with nets that work with standardized numbers.

    With a real-valued base, $x_d = m_d + s_d y_d$ and $p(x|z) = \prod_d p_{base}(y_d | z) / s_d$. So
    $\log p(x) = \log p(y) - \sum_d \log s_d$: the Jacobian is part of the density.

    m and s are the mean and standard deviation of each entry in the training data. ``fit`` estimates
    them from observed entries, stores them as ``"likelihood$column_mean"`` and
    ``"likelihood$column_sd"``, and never trains them. Without ``fit`` they are 0 and 1.

    - For a base on positive numbers with a log scale (``LogNormal``), the logarithm is standardized.
    - For counts and ``Gamma``, the density is that of the base, whose rates start at the data's mean.
    - The encoder sees the standardized numbers: of x, log x or log(1 + x), whichever the base shows.
      A missing entry is 0 for it, the mean.

    Scales of the base, such as ``LearnedScale(start=...)``, are in standard deviations of the entry.

    Args:
        base: a likelihood of numbers or counts that factorises, such as ``Gaussian(ColumnScale())``.

    Raises:
        ValueError: for a base that has a model of the mask. Standardize inside ``NotAtRandom``.

    Reference: Nazabal et al. 2020, arXiv:1807.03653 (HI-VAE), on data of several ranges.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.Standardized(likelihoods.Gaussian()))
        Normal(f(z), sigma^2), sigma learned, standardized by entry
    """

    base: Annotated[
        AbstractLikelihood,
        Requirement(
            "a likelihood of numbers or counts, such as Gaussian() or Poisson()", _can_standardize
        ),
    ]

    def __post_init__(self) -> None:
        if isinstance(self.base, AbstractLikelihood) and self.base.models_mask:
            raise ValueError(
                "Standardized(base=...) expects a likelihood without a model of the mask; got "
                f"{format_value(self.base)}. Standardize inside: "
                "NotAtRandom(Standardized(Gaussian()), missingness=...)."
            )
        for name in ("support", "data_range", "fill"):
            object.__setattr__(self, name, getattr(self.base, name))

    def output_shape(self, event_shape: Shape) -> Shape:
        return self.base.output_shape(event_shape)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        m, s = _read_moments(scope.event_shape)
        if self.base.support is constraints.real and scope.x is not None:
            p = self.base.distribution(outputs, scope._replace(x=(scope.x - m) / s))
        else:
            p = self.base.distribution(outputs, scope)
        return _restore_units(p, m, s)

    @property
    def encoder_view(self) -> "_StandardizedView":
        return _StandardizedView(self.base.encoder_view)

    @property
    def initial_values(self) -> InitialValues:
        return self._start_at_moments

    def _start_at_moments(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, Any]:
        view = self.base.encoder_view
        seen = np.asarray(x if view is None else view(jnp.asarray(x)), np.float64)
        m = _masked_mean(seen, mask)
        s = np.sqrt(_masked_mean((seen - m) ** 2, mask))
        s = np.where(s > TINY * np.maximum(np.abs(m), 1e-30), s, 1.0)  # a constant entry keeps its unit
        dtype = jnp.zeros(()).dtype
        values = {MEAN: m.astype(dtype), SD: s.astype(dtype)}
        if self.base.initial_values is None:
            return values
        if self.base.support is constraints.real:
            x = ((x - m) / s).astype(x.dtype)
        return {**values, **self.base.initial_values(x, mask, context)}

    def __str__(self) -> str:
        return f"{self.base}, standardized by entry"


@dataclass(frozen=True)
class _StandardizedView:
    """(g(x) - m) / s, with the base's view g. ``hide`` sets missing entries to 0, the mean."""

    inner: Any = None

    def __call__(self, x: jax.Array) -> jax.Array:
        m, s = _read_moments(x.shape[1:])
        return ((x if self.inner is None else self.inner(x)) - m) / s

    def hide(self, view: jax.Array, mask: jax.Array) -> jax.Array:
        return jnp.where(mask, view, 0.0)

    def __str__(self) -> str:
        return f"standardized {'x' if self.inner is None else self.inner}"


def _read_moments(shape: Shape) -> tuple[jax.Array, jax.Array]:
    """Return m and s. They are saved with the parameters, and no gradient moves them."""
    m = numpyro.param(MEAN, jnp.zeros(shape))
    s = numpyro.param(SD, jnp.ones(shape))
    return jax.lax.stop_gradient(m), jax.lax.stop_gradient(s)


def _restore_units(p: dist.Distribution, m: jax.Array, s: jax.Array) -> dist.Distribution:
    """Return p of y in the units of x = m + s y, or log x = m + s log y. The family stays the same."""
    if isinstance(p, dist.StudentT):
        return dist.StudentT(p.df, m + s * p.loc, s * p.scale)
    if isinstance(p, LOCATION_SCALE):
        return type(p)(m + s * p.loc, s * p.scale)
    return p


def _masked_mean(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, x, 0.0).sum(0) / np.maximum(mask.sum(0), 1)
