"""Where the mean of a likelihood of counts comes from: two answers, each a component."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from probvae.checks import Checked
from probvae.interfaces import Scope


class AbstractMean(Checked, abc.ABC):
    """The log of the mean of counts, from one number per entry, m + f(z) of ``AbstractCounts``."""

    @abc.abstractmethod
    def __call__(self, raw: jax.Array, scope: Scope) -> jax.Array:
        """Return log mu ``(batch, *event)`` from numbers of the same shape."""

    def exposure(self, context: np.ndarray | None) -> np.ndarray | float:
        """Return what the mean of a datum is proportional to, ``(n,)``, or 1.0 for all data."""
        return 1.0


@dataclass(frozen=True)
class FreeMean(AbstractMean):
    """log mu_d = m_d + f_d(z)."""

    def __call__(self, raw: jax.Array, scope: Scope) -> jax.Array:
        return raw

    def __str__(self) -> str:
        return "log mu = m + f(z)"


@dataclass(frozen=True)
class LibrarySize(AbstractMean):
    """mu_d = l softmax(m + f(z))_d over all entries of a datum: sum_d mu_d = l, the library size.

    log l is one column of the context (which also enters encoder and decoder), as
    ``data.load("pbmc3k").context`` has it. If l is the sum of the very counts that are scored, then
    log p(x | z, l) uses what it should predict: compare only models that are told the same.

    Args:
        column: of the context ``(batch, columns)``.

    Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI; there l has a prior).
    """

    column: int = 0

    def __call__(self, raw: jax.Array, scope: Scope) -> jax.Array:
        context, shape = scope.context, scope.context_shape
        if context is None or len(shape) != 1 or not 0 <= self.column < shape[0]:
            raise ValueError(
                f"LibrarySize(column={self.column}) expects the log library size in that column of the "
                f"context; this VAE has context_shape={shape}. Build it with "
                "VAE(..., context_shape=(1,)) and give log(sum of counts), shape (batch, 1)."
            )
        log_size = context[:, self.column]
        entries = tuple(range(1, raw.ndim))
        share = jax.nn.log_softmax(raw, axis=entries)
        return share + log_size.reshape(-1, *[1] * (raw.ndim - 1))

    def exposure(self, context: np.ndarray | None) -> np.ndarray | float:
        return 1.0 if context is None else np.exp(context[:, self.column].astype(np.float64))

    def __str__(self) -> str:
        return "mu = library size * softmax(m + f(z))"


def check_mean(likelihood: Any) -> None:
    """Raise unless a likelihood's mean is a component."""
    if not isinstance(likelihood.mean, AbstractMean):
        raise TypeError(
            f"{type(likelihood).__name__}(mean=...) expects a component such as FreeMean() or "
            f"LibrarySize(); got {likelihood.mean!r}."
        )
