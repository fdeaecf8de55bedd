"""A likelihood of rows of counts with a known total: shares of a whole."""

from dataclasses import dataclass, field
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import Requirement
from probvae.distributions import MultinomialLogShares, soft_clip
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.likelihoods.count_base import Log1p
from probvae.likelihoods.count_means import LibrarySize, log_shares
from probvae.likelihoods.log_means import LOG_MEAN, MAX_F, MIN_F
from probvae.typing import Shape

Total = Annotated[
    int | LibrarySize,
    Requirement(
        "a positive integer, or LibrarySize() if the context holds the log total of each row",
        lambda total: isinstance(total, LibrarySize) or total >= 1,
    ),
]


@dataclass(frozen=True)
class Multinomial(AbstractLikelihood):
    r"""A row of counts, given their sum N: all entries together have one multinomial distribution.

    $p(x|z, N) = N! \prod_d p_d^{x_d} / x_d!$, with $p = \mathrm{softmax}(m + f(z))$ over all entries.

    Use it if only the shares of a whole vary with z, as for words of a document, votes or species. Its
    product with a Poisson distribution of N is ``Poisson(LibrarySize())``. The entries depend on each
    other, so it allows no mask, and it cannot be a block of ``Joint``.

    The density uses the sum of x as N. Draws and means need N from elsewhere: ``total``.

    m has one learned number per entry (``"likelihood$log_mean"``). ``fit`` starts it at the log of the
    data's shares. The encoder sees log(1 + x), unless it is ``nets.InputTransform``. f is softly
    clipped beyond 15.

    Args:
        total: N of draws. ``LibrarySize(column)`` reads log N from a column of the context, rounded to
            an integer. An integer is the same N for every row.

    Reference: Liang et al. 2018, Variational autoencoders for collaborative filtering,
    arXiv:1802.05814, equation 2.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.Multinomial(total=100))
        Multinomial(N, softmax(m + f(z))), N = 100
    """

    support = constraints.nonnegative_integer
    data_range = (0.0, float("inf"))
    factorises = False
    total: Total = field(default_factory=LibrarySize)

    @property
    def encoder_view(self) -> Log1p:
        return Log1p()

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        m = numpyro.param(LOG_MEAN, jnp.zeros(scope.event_shape))
        shares = log_shares(m + soft_clip(outputs, MIN_F, MAX_F))
        if isinstance(self.total, LibrarySize):
            total = jnp.round(jnp.exp(self.total.read_log_size(scope)))
        else:
            total = jnp.asarray(self.total)
        return MultinomialLogShares(shares, total, event_dim=len(scope.event_shape))

    @property
    def initial_values(self) -> InitialValues:
        return self._start_at_shares

    def _start_at_shares(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Return m, the log of each entry's share of all counts. Half a count is added to each."""
        counts = x.sum(0, dtype=np.float64) + 0.5
        return {LOG_MEAN: (np.log(counts) - np.log(counts.sum())).astype(jnp.zeros(()).dtype)}

    def __str__(self) -> str:
        total = "library size" if isinstance(self.total, LibrarySize) else self.total
        return f"Multinomial(N, softmax(m + f(z))), N = {total}"
