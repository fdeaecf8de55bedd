"""A KL that is held at a capacity."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from probvae.objectives.compatibility import check_particles, check_weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import Schedule


@dataclass(frozen=True)
class Capacity(AbstractObjective):
    """E_q[log p(x|z)] - gamma |KL(q(z|x) || p(z)) - C|, in nats per datum.

    The absolute value is that of each datum, as the paper writes it (some programs take it of the
    batch's mean, which lets data trade their rates). A KL that is sampled is averaged over particles
    first: take several. **Not a bound on log p(x)**: where KL < C it pays for more of it, and ``bound``
    is just what is maximised. With C = 0 it is ``ELBO(beta=gamma)``.

    Args:
        capacity: C, in nats: a number >= 0, or an optax schedule of the step such as
            ``optax.linear_schedule(0.0, 25.0, steps)``.
        gamma: the price, large against 1: a number >= 0, or a schedule.
        num_particles: draws of z per datum and step.
        closed_form: take a KL in closed form where that is exact.

    Reference: Burgess et al. 2018, arXiv:1804.03599.
    """

    can_infer_discrete = True
    fits_any = True
    scheduled = ("capacity", "gamma")

    capacity: float | Schedule = 0.0
    gamma: float | Schedule = 100.0
    num_particles: int = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_particles(self)
        check_weights(self)

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        excess = read.total_kl.mean(0) - self.weight(self.capacity, step)
        return read.log_likelihood.mean(0) - self.weight(self.gamma, step) * jnp.abs(excess)
