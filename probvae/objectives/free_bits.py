"""Free bits: a KL below a threshold costs nothing."""

import abc
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from probvae.checks import Checked, PositiveInt
from probvae.objectives.compatibility import check_weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import Schedule


class AbstractGroups(Checked, abc.ABC):
    """A partition of the units into groups. Each group has one threshold."""

    @abc.abstractmethod
    def kl(self, read: Terms) -> jax.Array:
        """Return the KL of each group, averaged over particles and batch: ``(groups,)``, in nats."""


@dataclass(frozen=True)
class PerUnit(AbstractGroups):
    """Groups of ``size`` neighbouring units of a site. By default each unit is a group.

    The KL must be known for each unit, so it must have a closed form.

    Args:
        size: units in a group. It must divide the number of units of the site.
    """

    size: PositiveInt = 1

    def kl(self, read: Terms) -> jax.Array:
        ndim = read.log_likelihood.ndim
        return jnp.concatenate([self._group_kl(name, kl, ndim) for name, kl in read.kl.items()])

    def _group_kl(self, name: str, kl: jax.Array, ndim: int) -> jax.Array:
        if kl.ndim == ndim:
            raise ValueError(
                f'PerUnit() expects a KL per unit in closed form; site "{name}" has a joint KL. Use '
                "groups=objectives.PerSite(), or guides.MeanField() with a normal prior."
            )
        units = kl.reshape(*kl.shape[:ndim], -1).mean(range(ndim))
        if len(units) % self.size:
            raise ValueError(
                f'PerUnit(size=...) expects a divisor of {len(units)}, the units of site "{name}"; got '
                f"{self.size}. Use {math.gcd(self.size, len(units))}."
            )
        return units.reshape(-1, self.size).sum(-1)


@dataclass(frozen=True)
class PerSite(AbstractGroups):
    """One group for each latent site (a level of a hierarchy). Its KL may be sampled."""

    def kl(self, read: Terms) -> jax.Array:
        shape = read.log_likelihood.shape
        return jnp.stack([kl.reshape(*shape, -1).sum(-1).mean() for kl in read.kl.values()])


@dataclass(frozen=True)
class FreeBits(AbstractObjective):
    r"""The ELBO with a KL of at least lambda nats per group j, in nats per datum.

    $E_q[\log p(x|z)] - \sum_j \max(\lambda, \mathrm{mean}_i \mathrm{KL}(q(z_j|x_i) || p(z_j)))$.

    The mean is over the minibatch (and particles), and is taken *before* the max, as in the paper. So a
    group may use less than lambda for one datum and more for another. Below the threshold the KL has no
    gradient. The value is at most the mean ELBO of the batch. It bounds the batch's mean log p(x), but
    not log p(x) of single data. With lambda = 0 it is the ELBO.

    Args:
        lam: lambda, in nats per group: a number >= 0, or an optax schedule of the step.
        groups: ``PerUnit()``, ``PerUnit(size=...)`` or ``PerSite()``.
        num_particles: draws of z per datum and step.
        closed_form: use the closed form of a KL where it is exact.

    Reference: Kingma et al. 2016, arXiv:1606.04934, equation 15.
    """

    can_infer_discrete = True
    scheduled = ("lam",)

    lam: float | Schedule = 0.1
    groups: AbstractGroups = field(default_factory=PerUnit)
    num_particles: PositiveInt = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_weights(self)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return self.last_weight(self.lam, num_steps) == 0.0

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        cost = jnp.maximum(self.weight(self.lam, step), self.groups.kl(read)).sum()
        return read.log_likelihood.mean(0) - cost
