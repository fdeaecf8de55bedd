"""A normal guide with a full covariance matrix."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.checks import PositiveFloat, scale_bound
from probvae.distributions import bound_scale
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class FullRank(AbstractDistributionGuide):
    r"""A normal with a full covariance.

    $q(z|x) = \mathrm{Normal}(z; m(x), L(x) L(x)^T)$, with $L = \mathrm{diag}(s) (I + B / n)$ and B
    strictly lower triangular.

    The encoder returns, in this order, m (n), r (n) with $\log s = b \tanh(r / 2b)$ as in
    ``MeanField``, and the n (n - 1) / 2 entries of B, row by row.

    Args:
        log_bound: b, the bound on $|\log s|$, in nats.

    Reference: Kingma and Welling 2019, arXiv:1906.02691, section 2.5.1.
    """

    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim * (latent_dim + 3) // 2,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        n = scope.latent_dim
        m, r, below = outputs[..., :n], outputs[..., n : 2 * n], outputs[..., 2 * n :]
        s = bound_scale(r, self.log_bound)[..., None]
        # B counts in units of s / n. If the encoder returned entries of L itself, a net's random start
        # would add noise of variance n to every unit, and units would collapse: on binarized MNIST with
        # 40 units that costs 20 nats.
        rows, columns = jnp.tril_indices(n, -1)
        unit = jnp.broadcast_to(jnp.eye(n), (*m.shape, n)).at[..., rows, columns].set(below / n)
        return dist.MultivariateNormal(m, scale_tril=s * unit)

    def __str__(self) -> str:
        return "Normal(m(x), L(x) L(x)^T)"
