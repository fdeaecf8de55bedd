"""An objective that holds the KL at a given capacity."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from probvae.checks import PositiveInt
from probvae.objectives.compatibility import check_weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import Schedule


@dataclass(frozen=True)
class Capacity(AbstractObjective):
    r"""An ELBO whose KL is held at a capacity C, in nats per datum.

    $E_q[\log p(x|z)] - \gamma |\mathrm{KL}(q(z|x) || p(z)) - C|$.

    The absolute value is that of each datum, as in the paper. (Some programs use the batch's mean, so
    that data can exchange their rates.) A sampled KL is averaged over particles first, so use several
    particles. **This is not a bound on log p(x)**: where KL < C, a larger KL increases it. With C = 0
    it is ``ELBO(beta=gamma)``.

    Args:
        capacity: C, in nats: a number >= 0, or an optax schedule of the step such as
            ``optax.linear_schedule(0.0, 25.0, steps)``.
        gamma: the price of a deviation, much larger than 1: a number >= 0, or a schedule.
        num_particles: draws of z per datum and step.
        closed_form: use the closed form of a KL where it is exact.

    Reference: Burgess et al. 2018, arXiv:1804.03599.
    """

    can_infer_discrete = True
    accepts_all_parts = True
    scheduled = ("capacity", "gamma")

    capacity: float | Schedule = 0.0
    gamma: float | Schedule = 100.0
    num_particles: PositiveInt = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_weights(self)

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        excess = read.total_kl.mean(0) - self.weight(self.capacity, step)
        return read.log_likelihood.mean(0) - self.weight(self.gamma, step) * jnp.abs(excess)
