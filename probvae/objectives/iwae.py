"""Importance-weighted bounds IWAE and Renyi: particles are averaged before the logarithm."""

from dataclasses import dataclass
from typing import ClassVar

import jax

from probvae.checks import PositiveInt
from probvae.objectives.enumeration import check_state
from probvae.objectives.estimators import Estimator, check_estimator
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.particles import log_power_mean
from probvae.objectives.terms import Terms, in_plate, latent_sites, running_state
from probvae.typing import RngKey


@dataclass(frozen=True)
class IWAE(AbstractObjective):
    r"""The importance-weighted bound on log p(x) with K particles, in nats per datum.

    $\log (1/K) \sum_k w_k$, with $w_k = p(x, z_k) / q(z_k|x)$ and $z_k \sim q(z|x)$.

    With K = 1 it is the ELBO with a sampled KL. It increases with K towards log p(x). It equals
    NumPyro's ``RenyiELBO(alpha=0)``, which splits its key once more before the particles. The history's
    other parts are plain means over particles from q.

    Args:
        num_particles: K.
        estimator: estimator of the gradient in the guide's parameters: ``DReG()``, or None for
            automatic differentiation, whose signal-to-noise ratio decreases as K grows.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, fit, likelihoods, objectives
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> options = {"rng_key": jax.random.key(0), "epochs": 2, "progress": False}
        >>> fitted = fit(vae, x, objective=objectives.IWAE(num_particles=5), **options)
        >>> len(fitted.history.train["bound"])
        2
    """

    closed_form: ClassVar[bool] = False
    order: ClassVar[float] = 0.0

    num_particles: PositiveInt = 5
    estimator: Estimator | None = None

    def __post_init__(self) -> None:
        check_estimator(self, self.estimator, self.order)

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> None:
        check_importance_weights(self, guide_trace, model_trace)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return True

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return log_power_mean(read.log_weight, self.order)


@dataclass(frozen=True)
class Renyi(AbstractObjective):
    r"""The variational Renyi bound of order alpha with K particles, in nats per datum.

    $\log ((1/K) \sum_k w_k^{1 - \alpha}) / (1 - \alpha)$, with $w_k$ as in ``IWAE``.

    At alpha = 1 it is the ELBO, and at alpha = 0 IWAE. For alpha >= 0 it is a lower bound on log p(x).
    For alpha < 0 it is an *estimate*, which may lie on either side. Its limit in K is an upper bound.

    Args:
        alpha: the order, any finite number.
        num_particles: K.
        estimator: estimator of the gradient, as for ``IWAE``.

    Reference: Li and Turner 2016, arXiv:1602.02311.
    """

    closed_form: ClassVar[bool] = False

    alpha: float = 0.5
    num_particles: PositiveInt = 5
    estimator: Estimator | None = None

    def __post_init__(self) -> None:
        check_estimator(self, self.estimator, self.order)

    @property
    def order(self) -> float:  # type: ignore[override]
        return self.alpha

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> None:
        check_importance_weights(self, guide_trace, model_trace)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return self.alpha >= 0.0

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return log_power_mean(read.log_weight, self.alpha)


def check_importance_weights(
    objective: AbstractObjective, guide_trace: dict, model_trace: dict
) -> None:
    """Raise if a weight per datum is wrong: for latents that data share, or state of the particles."""
    name = type(objective).__name__
    shared = [site for site in latent_sites(model_trace) if not in_plate(model_trace[site])]
    if shared:
        raise ValueError(
            f"{name} expects latent sites per datum; got {shared}, which all data share. Use "
            "objectives.ELBO(), or parts without priors on their parameters."
        )
    check_state(running_state(guide_trace) | running_state(model_trace), name)
