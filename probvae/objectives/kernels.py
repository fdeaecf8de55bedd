"""Kernels, their widths, and the maximum mean discrepancy."""

import abc
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from probvae.checks import Checked


class AbstractWidth(Checked, abc.ABC):
    """The squared widths h^2 that a kernel is summed over."""

    @abc.abstractmethod
    def squares(self, squared_distances: jax.Array, units: int) -> jax.Array:
        """Return h^2 ``(widths,)``, from the distances ``(batch, batch)`` between draws."""


@dataclass(frozen=True)
class FixedWidth(AbstractWidth):
    """h = width sqrt(D): a distance between two codes of D units grows like sqrt(D).

    Args:
        widths: in units of the code, each > 0; a kernel is the mean over them.

    Raises:
        ValueError: for widths that are not finite and positive.
    """

    widths: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.widths or not all(math.isfinite(h) and h > 0 for h in self.widths):
            raise ValueError(f"Fixed(widths=...) expects finite numbers > 0; got {self.widths!r}.")

    def squares(self, squared_distances: jax.Array, units: int) -> jax.Array:
        return units * jnp.asarray(self.widths) ** 2


@dataclass(frozen=True)
class MedianWidth(AbstractWidth):
    """h^2 = half the median squared distance between all draws but equal ones, without a gradient.

    It follows the codes: the MMD of two steps is then not one number's.

    Reference: Gretton et al. 2012, JMLR 13, section 8.
    """

    def squares(self, squared_distances: jax.Array, units: int) -> jax.Array:
        n = len(squared_distances)
        apart = jax.lax.stop_gradient(squared_distances)[jnp.triu_indices(n, 1)]
        return jnp.median(apart)[None] / 2


class AbstractKernel(Checked, abc.ABC):
    """A kernel of the distance between two codes."""

    width: AbstractWidth

    @abc.abstractmethod
    def of(self, ratio: jax.Array) -> jax.Array:
        """Return k from |z - z'|^2 / h^2."""


@dataclass(frozen=True)
class RBF(AbstractKernel):
    """k(z, z') = exp(-|z - z'|^2 / (2 h^2)), the mean over the widths h.

    Args:
        width: where h comes from: ``Fixed(...)`` or ``Median(...)``.
    """

    width: AbstractWidth = field(default_factory=FixedWidth)

    def of(self, ratio: jax.Array) -> jax.Array:
        return jnp.exp(-ratio / 2)


@dataclass(frozen=True)
class InverseMultiquadratic(AbstractKernel):
    """k(z, z') = 1 / (1 + |z - z'|^2 / (2 h^2)), the mean over the widths h: a heavier tail.

    Args:
        width: where h comes from: ``Fixed(...)`` or ``Median(...)``.

    Reference: Tolstikhin et al. 2018, arXiv:1711.01558, section 4, whose C is 2 h^2.
    """

    width: AbstractWidth = field(default_factory=FixedWidth)

    def of(self, ratio: jax.Array) -> jax.Array:
        return 1 / (1 + ratio / 2)


def mmd(kernel: AbstractKernel, z: jax.Array, other: jax.Array) -> jax.Array:
    """Return the unbiased estimate of MMD^2 between two laws from as many draws ``(n, D)`` of each.

    mean_{i != j} k(z_i, z_j) + mean_{i != j} k(y_i, y_j) - 2 mean_ij k(z_i, y_j).
    """
    n, units = z.shape
    both = jnp.concatenate([z, other])
    squared = jnp.square(both[:, None] - both).sum(-1)
    ratio = squared / kernel.width.squares(squared, units)[:, None, None]
    k = kernel.of(ratio).mean(0)
    apart = k * (1 - jnp.eye(2 * n, dtype=k.dtype))
    within = apart[:n, :n].sum() + apart[n:, n:].sum()
    return within / (n * (n - 1)) - 2 * k[:n, n:].mean()
