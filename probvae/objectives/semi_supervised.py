"""The ELBO of data of which some are labelled, with a classifier's term for the labels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from probvae.checks import PositiveInt
from probvae.distributions import PartlyObserved
from probvae.objectives.compatibility import check_weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms, latent_sites, unwrap_expanded
from probvae.typing import RngKey, Schedule


@dataclass(frozen=True)
class SemiSupervisedELBO(AbstractObjective):
    r"""The ELBO of partly labelled data, plus alpha log q(y|x) for labels, in nats per datum.

    $ELBO(x, y) + \alpha \log q(y|x)$ for a labelled datum, $ELBO(x)$ for an unlabelled one.

    The ELBO alone trains q(y|x) on unlabelled data only. A discrete y is not drawn: the objective sums
    over it, weighted by q. With alpha = 0 it equals ``ELBO()``, a bound on log p(x, y) or log p(x).
    Otherwise it is not a bound.

    Args:
        alpha: the weight of the classifier: a number >= 0, or an optax schedule of the step.
        num_particles: draws of the other codes per datum and step.
        closed_form: use the closed form of a KL where it is exact.

    Reference: Kingma et al. 2014, arXiv:1406.5298, equation 9. They weight the *mean* over n labelled
    data by 0.1 N, with N data in all, which is alpha = 0.1 N / n here.
    """

    can_infer_discrete = True
    scheduled = ("alpha",)
    reports = ("log_q_label",)

    alpha: float | Schedule = 1.0
    num_particles: PositiveInt = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_weights(self)

    def look(
        self, guide_trace: dict, model_trace: dict, rng_key: RngKey
    ) -> tuple[jax.Array, jax.Array]:
        """Return log q(y|x) of each datum's label, in nats (0 without a label), and who has one."""
        fns = [unwrap_expanded(guide_trace[name]["fn"]) for name in latent_sites(guide_trace)]
        label_sites = [fn for fn in fns if isinstance(fn, PartlyObserved)]
        if not label_sites:
            raise ValueError(
                "SemiSupervisedELBO expects a site that is observed in some rows; the guide draws "
                f"{latent_sites(guide_trace)}. Use priors.ClassAndStyle(...) and "
                "guides.ClassAndStyle(...), and VAE(..., context_shape=(classes,))."
            )
        has_label = jnp.stack([fn.known for fn in label_sites]).any(0)
        log_q = sum((fn.log_prob_of_known() for fn in label_sites), jnp.zeros(()))
        return log_q, has_label.astype(log_q.dtype)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return self.last_weight(self.alpha, num_steps) == 0.0

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        elbo = read.log_likelihood - read.total_kl
        return (elbo + self.weight(self.alpha, step) * read.extra[0]).mean(0)

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        log_q, has_label = read.extra
        return {"log_q_label": log_q.sum() / jnp.maximum(has_label.sum(), 1)}
