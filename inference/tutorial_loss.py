"""The loss of Frans's tutorial on faces, for comparison. It is not a bound on log p(x)."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from probvae.objectives import AbstractObjective
from probvae.objectives.terms import Terms


@dataclass(frozen=True)
class TutorialLoss(AbstractObjective):
    """What the tutorial minimises, with its sign turned: no bound, and not in nats.

    -1/2 sum_d [((x_d - m_d) / sigma_d)^2 + log sigma_d] - weight / 2 sum_i [e^s_i + mu_i^2 - 1 - s_i],

    where s is the log of q's standard deviation, read as that of its variance.
    """

    num_particles: int = 1
    closed_form: bool = True
    weight: float = 100.0

    def look(self, guide_trace: dict, model_trace: dict, rng_key: jax.Array) -> tuple:
        """Return the sum of log sigma and the misread KL of each datum."""
        p, q = model_trace["x"]["fn"], guide_trace["z"]["fn"]
        entries = math.prod(p.event_shape)
        log_scale = jnp.log(jnp.sqrt(p.variance)).reshape(-1, entries).sum(-1)
        scale = jnp.sqrt(q.variance)
        kl = (scale + q.mean**2 - 1 - jnp.log(scale)).sum(-1) / 2
        return log_scale + entries * math.log(2 * math.pi), kl

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        """Return the loss with its sign turned, for each datum."""
        log_scale, kl = read.extra
        return (read.log_likelihood + log_scale / 2 - self.weight * kl).mean(0)
