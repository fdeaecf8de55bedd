"""Kernels, their widths, and the maximum mean discrepancy (MMD) between two samples."""

import abc
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from probvae.checks import Checked


class AbstractWidth(Checked, abc.ABC):
    """The squared widths h^2 over which a kernel is averaged."""

    @abc.abstractmethod
    def squares(self, squared_distances: jax.Array, units: int) -> jax.Array:
        """Return h^2 ``(widths,)``.

        Args:
            squared_distances: between all draws, ``(batch, batch)``.
            units: D, the length of a code.
        """


@dataclass(frozen=True)
class FixedWidth(AbstractWidth):
    r"""Fixed widths, $h = \mathrm{width} \sqrt{D}$ for codes of D units.

    The factor $\sqrt{D}$ is there because the distance between two codes grows like $\sqrt{D}$.

    Args:
        widths: in units of the code, each > 0. A kernel is the mean over them.

    Raises:
        ValueError: for widths that are not finite and positive.
    """

    widths: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.widths or not all(0 < h < math.inf for h in self.widths):
            raise ValueError(f"FixedWidth(widths=...) expects finite numbers > 0; got {self.widths!r}.")

    def squares(self, squared_distances: jax.Array, units: int) -> jax.Array:
        return units * jnp.asarray(self.widths) ** 2


@dataclass(frozen=True)
class MedianWidth(AbstractWidth):
    r"""The median heuristic: $h^2$ is half the median squared distance between all draws.

    The width follows the codes, so you cannot compare the MMD of two steps. It has no gradient.

    Reference: Gretton et al. 2012, JMLR 13, section 8.
    """

    def squares(self, squared_distances: jax.Array, units: int) -> jax.Array:
        pairs = jnp.triu_indices(len(squared_distances), 1)  # each pair once, no draw with itself
        return jnp.median(jax.lax.stop_gradient(squared_distances)[pairs])[None] / 2


class AbstractKernel(Checked, abc.ABC):
    """A kernel k(z, z') of the distance between two codes."""

    width: AbstractWidth

    @abc.abstractmethod
    def evaluate(self, ratio: jax.Array) -> jax.Array:
        """Return k at ``ratio``, which is |z - z'|^2 / h^2."""


@dataclass(frozen=True)
class RBF(AbstractKernel):
    r"""The Gaussian kernel: $k(z, z') = \exp(-|z - z'|^2 / (2 h^2))$, averaged over the widths h.

    Args:
        width: the source of h, ``FixedWidth(...)`` or ``MedianWidth()``.
    """

    width: AbstractWidth = field(default_factory=FixedWidth)

    def evaluate(self, ratio: jax.Array) -> jax.Array:
        return jnp.exp(-ratio / 2)


@dataclass(frozen=True)
class InverseMultiquadratic(AbstractKernel):
    """A kernel with a heavier tail than ``RBF``, averaged over the widths h.

    $k(z, z') = 1 / (1 + |z - z'|^2 / (2 h^2))$.

    Args:
        width: the source of h, ``FixedWidth(...)`` or ``MedianWidth()``.

    Reference: Tolstikhin et al. 2018, arXiv:1711.01558, section 4, where C is 2 h^2.
    """

    width: AbstractWidth = field(default_factory=FixedWidth)

    def evaluate(self, ratio: jax.Array) -> jax.Array:
        return 1 / (1 + ratio / 2)


def mmd(kernel: AbstractKernel, z: jax.Array, other: jax.Array) -> jax.Array:
    r"""Return the unbiased estimate of MMD^2 between two distributions.

    $\mathrm{mean}_{i \ne j} k(z_i, z_j) + \mathrm{mean}_{i \ne j} k(y_i, y_j)
    - 2 \, \mathrm{mean}_{ij} k(z_i, y_j)$.

    Args:
        kernel: k.
        z: n draws of the first distribution, ``(n, D)``.
        other: n draws y of the second, ``(n, D)``.
    """
    # One matrix k of all 2n draws has the blocks zz, zy, yz and yy. The width is computed from all
    # draws together, so that it is the same in each block. Without the diagonals k(z_i, z_i) = 1 the
    # estimate is unbiased, and can therefore be negative.
    n, units = z.shape
    draws = jnp.concatenate([z, other])  # (2n, D)
    squared = jnp.square(draws[:, None] - draws).sum(-1)  # (2n, 2n)
    ratio = squared / kernel.width.squares(squared, units)[:, None, None]  # (widths, 2n, 2n)
    k = kernel.evaluate(ratio).mean(0)
    off_diagonal = k * (1 - jnp.eye(2 * n, dtype=k.dtype))
    within = off_diagonal[:n, :n].sum() + off_diagonal[n:, n:].sum()
    return within / (n * (n - 1)) - 2 * k[:n, n:].mean()
