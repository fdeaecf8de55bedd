"""Importance-weighted bounds: the particles of a datum are averaged before the logarithm."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from probvae.objectives.compatibility import check_particles
from probvae.objectives.enumeration import check_state
from probvae.objectives.estimators import AbstractEstimator, check_estimator
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.particles import log_power_mean
from probvae.objectives.terms import Terms, in_plate, latent_sites, state_of
from probvae.typing import RngKey


@dataclass(frozen=True)
class IWAE(AbstractObjective):
    """log (1/K) sum_k w_k, w_k = p(x, z_k) / q(z_k|x), z_k ~ q(z|x): a bound on log p(x), in nats.

    The mean is over the K particles of one datum. With K = 1 it is the ELBO with a sampled KL; it
    rises with K to log p(x). Key for key NumPyro's ``RenyiELBO(alpha=0)`` (whose key is split once
    before the particles'). The parts recorded beside the bound are means over particles from q.

    Args:
        num_particles: K.
        estimator: of the gradient in the guide's parameters: ``DReG()``, or None for autodiff's, whose
            signal fades against its noise as K grows.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.
    """

    closed_form: ClassVar[bool] = False
    order: ClassVar[float] = 0.0

    num_particles: int = 5
    estimator: AbstractEstimator | None = None

    def __post_init__(self) -> None:
        check_particles(self)
        check_estimator(self)

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Any:
        check_weights(self, guide_trace, model_trace)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return True

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return log_power_mean(read.log_weight, self.order)


@dataclass(frozen=True)
class Renyi(AbstractObjective):
    """log ((1/K) sum_k w_k^(1 - alpha)) / (1 - alpha), w_k as in ``IWAE``, in nats.

    The variational Renyi bound of order alpha: alpha -> 1 is the ELBO (and alpha = 1 is), alpha = 0
    IWAE. For alpha >= 0 it bounds log p(x) from below; for alpha < 0 it is an *estimate*: it
    may lie on either side, and its limit in K lies above. ``bound`` is then just what is maximised.

    Args:
        alpha: the order, any finite number.
        num_particles: K.
        estimator: as for ``IWAE``.

    Raises:
        ValueError: for an order that is not finite.

    Reference: Li and Turner 2016, arXiv:1602.02311.
    """

    closed_form: ClassVar[bool] = False

    alpha: float = 0.5
    num_particles: int = 5
    estimator: AbstractEstimator | None = None

    def __post_init__(self) -> None:
        check_particles(self)
        if not math.isfinite(self.alpha):
            raise ValueError(f"Renyi(alpha=...) expects a finite number; got {self.alpha!r}.")
        check_estimator(self)

    @property
    def order(self) -> float:  # type: ignore[override]
        return self.alpha

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Any:
        check_weights(self, guide_trace, model_trace)

    def ends_as_evidence(self, num_steps: int) -> bool:
        return self.alpha >= 0.0

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return log_power_mean(read.log_weight, self.alpha)


def check_weights(objective: Any, guide_trace: dict, model_trace: dict) -> None:
    """Raise where a weight per datum is wrong: latents that data share, state that particles share."""
    name = type(objective).__name__
    shared = [site for site in latent_sites(model_trace) if not in_plate(model_trace[site])]
    if shared:
        raise ValueError(
            f"{name} weighs the particles of each datum alone, but the latent sites {shared} belong to "
            "all data: the result would be no bound. Take objectives.ELBO(), or parts without priors "
            "on their parameters."
        )
    check_state(
        state_of(guide_trace) | state_of(model_trace),
        f"{name} weighs its particles, and each gives its own update to the",
        "weighted with them",
    )
