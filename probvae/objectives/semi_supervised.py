"""The ELBO of data of which some are labelled, with a classifier's term for their labels."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from probvae.distributions import PartlyObserved
from probvae.objectives.compatibility import check_particles, check_weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms, latent_sites, unwrap_expanded
from probvae.typing import RngKey, Schedule


@dataclass(frozen=True)
class SemiSupervisedELBO(AbstractObjective):
    """ELBO(x, y) + alpha log q(y|x) for a labelled datum, ELBO(x) for another, in nats per datum.

    The ELBO alone trains q(y|x) on unlabelled data only. A discrete y is summed over, weighted by q.
    With alpha = 0 it is ``ELBO()``, a bound on log p(x, y) or log p(x); otherwise it is none. The paper
    weighs the *mean* over n labelled data by 0.1 N, N all data: here that is alpha = 0.1 N / n.

    Args:
        alpha: the weight of the classifier: a number >= 0, or an optax schedule of the step.
        num_particles: draws of the other codes per datum and step.
        closed_form: take a KL in closed form where that is exact.

    Reference: Kingma et al. 2014, arXiv:1406.5298, equation 9.
    """

    can_infer_discrete = True
    scheduled = ("alpha",)
    reports = ("log_q_label",)

    alpha: float | Schedule = 1.0
    num_particles: int = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_particles(self)
        check_weights(self)

    def look(
        self, guide_trace: dict, model_trace: dict, rng_key: RngKey
    ) -> tuple[jax.Array, jax.Array]:
        """Return log q(y|x) of each datum's label, in nats (0 without one), and who has one."""
        fns = [unwrap_expanded(guide_trace[name]["fn"]) for name in latent_sites(guide_trace)]
        found = [fn for fn in fns if isinstance(fn, PartlyObserved)]
        if not found:
            raise ValueError(
                "it needs a site that is observed in some rows, and the guide draws "
                f"{latent_sites(guide_trace)}. Take priors.ClassAndStyle(...) and "
                "guides.ClassAndStyle(...), and VAE(..., context_shape=(classes,))."
            )
        known = jnp.stack([fn.known for fn in found]).any(0)
        log_q = sum((fn.log_prob_of_known() for fn in found), jnp.zeros(()))
        return log_q, known.astype(log_q.dtype)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return self.last_weight(self.alpha, num_steps) == 0.0

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        elbo = read.log_likelihood - read.total_kl
        return (elbo + self.weight(self.alpha, step) * read.seen[0]).mean(0)

    def parts(self, read: Terms, step: Any) -> dict[str, jax.Array]:
        log_q, known = read.seen
        return {"log_q_label": log_q.sum() / jnp.maximum(known.sum(), 1)}
