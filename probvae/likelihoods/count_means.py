"""Components for the mean of counts: free, or proportional to the library size."""

import abc
from dataclasses import dataclass

import jax
import numpy as np

from probvae.checks import Checked
from probvae.interfaces import Scope


class AbstractMean(Checked, abc.ABC):
    """The log of the mean of counts, from $m + f(z)$ of ``AbstractCounts``, one number per entry."""

    @abc.abstractmethod
    def __call__(self, raw: jax.Array, scope: Scope) -> jax.Array:
        """Return log mu ``(batch, *event)`` from m + f(z) of the same shape."""

    def exposure(self, context: np.ndarray | None) -> np.ndarray | float:
        """Return the factor of each datum's mean that is known, ``(n,)``, or 1.0 for all data."""
        return 1.0


@dataclass(frozen=True)
class FreeMean(AbstractMean):
    r"""A mean without constraints: $\log \mu_d = m_d + f_d(z)$."""

    def __call__(self, raw: jax.Array, scope: Scope) -> jax.Array:
        return raw

    def __str__(self) -> str:
        return "log mu = m + f(z)"


@dataclass(frozen=True)
class LibrarySize(AbstractMean):
    r"""A mean that sums to the library size l of the datum.

    $\mu_d = l \, \mathrm{softmax}(m + f(z))_d$ over all entries of a datum, so that $\sum_d \mu_d = l$.

    log l is one column of the context, as in ``data.load("pbmc3k").context``. Encoder and decoder see
    it, too. If l is the sum of the counts that you score, log p(x | z, l) uses information about x:
    compare only models with the same context.

    Args:
        column: the column of log l in the context ``(batch, columns)``.

    Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI), where l has a prior.
    """

    column: int = 0

    def __call__(self, raw: jax.Array, scope: Scope) -> jax.Array:
        # The shares sum to 1, and so mu sums to l.
        log_size = self.read_log_size(scope)
        return log_shares(raw) + log_size.reshape(-1, *[1] * (raw.ndim - 1))

    def read_log_size(self, scope: Scope) -> jax.Array:
        """Return log l from the context, ``(batch,)``."""
        context, shape = scope.context, scope.context_shape
        if context is None or len(shape) != 1 or not 0 <= self.column < shape[0]:
            raise ValueError(
                f"LibrarySize(column={self.column}) expects the log library size in that column of the "
                f"context; got context_shape={shape}. Build VAE(..., context_shape=(1,)), and use "
                "log(sum of counts) as the context."
            )
        return context[:, self.column]

    def exposure(self, context: np.ndarray | None) -> np.ndarray | float:
        return 1.0 if context is None else np.exp(context[:, self.column].astype(np.float64))

    def __str__(self) -> str:
        return "mu = library size * softmax(m + f(z))"


def log_shares(raw: jax.Array) -> jax.Array:
    """Return the log softmax over all entries of each datum, ``(batch, *event)``."""
    return jax.nn.log_softmax(raw, axis=tuple(range(1, raw.ndim)))
