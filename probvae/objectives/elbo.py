"""The ELBO: the evidence lower bound, with a weight on its KL."""

from dataclasses import dataclass

import jax

from probvae.checks import PositiveInt
from probvae.objectives.compatibility import check_weights
from probvae.objectives.estimators import Estimator, check_estimator
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import Schedule

TOLERANCE = 0.01  # of the last beta: a warm-up may end a step before its last value


@dataclass(frozen=True)
class ELBO(AbstractObjective):
    r"""The evidence lower bound with a weight beta on the KL, in nats per datum.

    $E_q[\log p(x|z)] - \beta \mathrm{KL}(q(z|x) || p(z))$.

    With ``beta=1`` it equals NumPyro's ``TraceMeanField_ELBO`` and, with ``closed_form=False``,
    ``Trace_ELBO``, for the same key. A discrete code with at most 2^10 states is not drawn: the
    objective sums over its states exactly, weighted by q. If there are other codes, they are drawn
    given each state.

    Args:
        beta: weight of the KL: a number >= 0, or an optax schedule of the step.
        num_particles: draws of z per datum and step.
        closed_form: use the closed form of a KL where it is exact. (An estimator samples it.)
        estimator: estimator of the gradient in the guide's parameters, such as ``STL()``. None uses
            automatic differentiation.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, equation 10. For beta: Higgins et al. 2017.

    Examples:
        >>> import optax
        >>> from probvae import objectives
        >>> objectives.ELBO(beta=optax.linear_schedule(0.0, 1.0, 1000)).num_particles
        1
    """

    can_infer_discrete = True
    accepts_all_parts = True
    accepts_point_guides = True
    scheduled = ("beta",)

    beta: float | Schedule = 1.0
    num_particles: PositiveInt = 1
    closed_form: bool = True
    estimator: Estimator | None = None

    def __post_init__(self) -> None:
        check_weights(self)
        check_estimator(self, self.estimator, self.order)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return abs(self.last_weight(self.beta, num_steps) - 1.0) < TOLERANCE

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return (read.log_likelihood - self.weight(self.beta, step) * read.total_kl).mean(0)
