"""Free bits: a KL below a threshold costs nothing more."""

import abc
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from probvae.checks import Checked
from probvae.objectives.compatibility import check_particles, check_weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import Schedule


class AbstractGroups(Checked, abc.ABC):
    """What shares one threshold."""

    @abc.abstractmethod
    def kl(self, read: Terms) -> jax.Array:
        """Return the KL of each group, mean over particles and batch: ``(groups,)``, in nats."""


@dataclass(frozen=True)
class PerUnit(AbstractGroups):
    """Each ``size`` neighbouring units of a site are a group: by default each unit alone.

    The KL must be known unit by unit, in closed form.

    Args:
        size: units in a group; must divide the site's.

    Raises:
        ValueError: for a size below 1.
    """

    size: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 1:
            raise ValueError(f"PerUnit(size=...) expects a positive integer; got {self.size!r}.")

    def kl(self, read: Terms) -> jax.Array:
        ndim = read.log_likelihood.ndim
        return jnp.concatenate([self._of(name, kl, ndim) for name, kl in read.kl.items()])

    def _of(self, name: str, kl: jax.Array, ndim: int) -> jax.Array:
        if kl.ndim == ndim:
            raise ValueError(
                f'PerUnit() needs the KL at site "{name}" unit by unit, and it is known for the whole '
                "site only: it is sampled, summed over states, or joint over units. Take "
                "groups=objectives.PerSite(), or guides.MeanField() with a normal prior."
            )
        units = kl.reshape(*kl.shape[:ndim], -1).mean(range(ndim))
        if len(units) % self.size:
            raise ValueError(
                f'PerUnit(size={self.size}) does not divide the {len(units)} units of site "{name}". '
                f"Take a size that does, such as {math.gcd(self.size, len(units))}."
            )
        return units.reshape(-1, self.size).sum(-1)


@dataclass(frozen=True)
class PerSite(AbstractGroups):
    """Each latent site (a layer of a hierarchy) is a group; its KL may be sampled."""

    def kl(self, read: Terms) -> jax.Array:
        shape = read.log_likelihood.shape
        return jnp.stack([kl.reshape(*shape, -1).sum(-1).mean() for kl in read.kl.values()])


@dataclass(frozen=True)
class FreeBits(AbstractObjective):
    """E_q[log p(x|z)] - sum_j max(lambda, mean_i KL(q(z_j|x_i) || p(z_j))), in nats per datum.

    The mean is over the minibatch (and particles) and taken *before* the max, as in the paper: a group
    may spend less than lambda on one datum if it spends more on another. Below the threshold the KL
    has no gradient. The value is one of the batch, at most its mean ELBO: a bound on the batch's mean
    log p(x), not on each datum's. With lambda = 0 it is the ELBO.

    Args:
        lam: lambda, nats per group: a number >= 0, or an optax schedule of the step.
        groups: ``PerUnit()``, ``PerUnit(size=...)`` or ``PerSite()``.
        num_particles: draws of z per datum and step.
        closed_form: take a KL in closed form where that is exact.

    Reference: Kingma et al. 2016, arXiv:1606.04934, equation 15.
    """

    can_infer_discrete = True
    scheduled = ("lam",)

    lam: float | Schedule = 0.1
    groups: AbstractGroups = field(default_factory=PerUnit)
    num_particles: int = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_particles(self)
        check_weights(self)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return self.last_weight(self.lam, num_steps) == 0.0

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        spent = jnp.maximum(self.weight(self.lam, step), self.groups.kl(read)).sum()
        return read.log_likelihood.mean(0) - spent
