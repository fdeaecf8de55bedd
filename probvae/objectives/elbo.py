"""The evidence lower bound."""

from dataclasses import dataclass

import jax

from probvae.objectives.compatibility import check_particles, check_weights
from probvae.objectives.estimators import AbstractEstimator, check_estimator
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import Schedule

NEARLY = 0.01  # a warm-up may end a step before its last value


@dataclass(frozen=True)
class ELBO(AbstractObjective):
    """E_q[log p(x|z)] - beta KL(q(z|x) || p(z)), in nats per datum.

    With ``beta=1`` it equals NumPyro's ``TraceMeanField_ELBO`` and, with ``closed_form=False``,
    ``Trace_ELBO``, key for key. A discrete code of at most 2^10 states is summed over exactly, weighted
    by q: no draws of it, whatever ``num_particles``; other codes beside it are drawn, given each state.

    Args:
        beta: weight of the KL: a number >= 0, or an optax schedule of the step.
        num_particles: draws of z per datum and step.
        closed_form: take a KL in closed form where that is exact (an estimator needs it sampled).
        estimator: of the gradient in the guide's parameters, such as ``STL()``; None is autodiff's.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, equation 10; for beta, Higgins et al. 2017.
    """

    can_infer_discrete = True
    fits_any = True
    fits_points = True
    scheduled = ("beta",)

    beta: float | Schedule = 1.0
    num_particles: int = 1
    closed_form: bool = True
    estimator: AbstractEstimator | None = None

    def __post_init__(self) -> None:
        check_particles(self)
        check_weights(self)
        check_estimator(self)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return abs(self.last_weight(self.beta, num_steps) - 1.0) < NEARLY

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return (read.log_likelihood - self.weight(self.beta, step) * read.total_kl).mean(0)
