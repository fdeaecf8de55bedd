"""Estimators of an objective's gradient in the guide's parameters: other draws of the same mean."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from probvae.checks import Checked
from probvae.objectives.particles import over_particles
from probvae.objectives.terms import Terms, latent_sites, trace_guide, trace_model
from probvae.typing import Params, RngKey


class AbstractEstimator(Checked, abc.ABC):
    """How the gradient reaches the guide: through the draws z alone, each weighted by a factor.

    log q(z|x) is that of the guide run a second time, with its parameters stopped and the same z; a
    flow is inverted there. The score d log q / d phi is left out: its mean is zero, or a path's in
    disguise. The value of the objective is the same; every KL is sampled.
    """

    @abc.abstractmethod
    def read(
        self, one: Callable[..., Terms], rng_key: RngKey, num_particles: int, alpha: float
    ) -> Terms:
        """Return terms with a leading axis of particles, from ``one(rng_key, traces)``.

        ``alpha`` is the order of the objective's mean over particles (``particles.log_power_mean``).
        """


@dataclass(frozen=True)
class STL(AbstractEstimator):
    """Sticking the landing: the score of q is left out.

    d/dphi = E[(d/dz)(log p(x, z) - log q(z|x)) dz/dphi]. Where q is the exact posterior the bracket is
    constant in z, and the gradient has no variance. For ``ELBO`` alone: with importance weights the
    score's mean is not zero (take ``DReG``).

    Reference: Roeder, Wu and Duvenaud 2017, arXiv:1703.09194.
    """

    def read(
        self, one: Callable[..., Terms], rng_key: RngKey, num_particles: int, alpha: float
    ) -> Terms:
        return over_particles(partial(one, traces=keep_path_gradient), rng_key, num_particles)


@dataclass(frozen=True)
class DReG(AbstractEstimator):
    """Doubly reparametrised gradients, for ``IWAE`` and ``Renyi``.

    d/dphi = sum_k v_k (alpha + (1 - alpha) v_k) (d log w_k / dz_k) (dz_k / dphi), w_k = p(x, z_k) /
    q(z_k|x), v_k = w_k^(1 - alpha) / sum_l w_l^(1 - alpha). The model's gradient keeps the weights
    v_k. At alpha = 0 (IWAE) the weights are the paper's v_k^2; at alpha = 1 it is ``STL``. (The paper
    has alpha = 0. For the others: the score's coefficient is v_k, and as a path that is its slope,
    dv_k / d log w_k = (1 - alpha) v_k (1 - v_k).)

    Programs run twice, once for the weights.

    Reference: Tucker et al. 2019, arXiv:1810.04152.
    """

    def read(
        self, one: Callable[..., Terms], rng_key: RngKey, num_particles: int, alpha: float
    ) -> Terms:
        log_w = jax.lax.stop_gradient(over_particles(one, rng_key, num_particles).log_weight)
        v = jax.nn.softmax((1 - alpha) * log_w, axis=0)

        def along(key: RngKey, factor: jax.Array) -> Terms:
            return one(key, partial(keep_path_gradient, factor=factor))

        return over_particles(along, rng_key, num_particles, alpha + (1 - alpha) * v)


def keep_path_gradient(
    rng_key: RngKey,
    params: Params,
    model: Any,
    guide: Any,
    args: tuple,
    kwargs: dict,
    factor: jax.Array | None = None,
) -> tuple[dict, dict]:
    """Run the guide, then again with stopped parameters and the same z, then the model.

    Keys are split as in ``terms.traced``. The gradient that reaches the guide through its draws is
    multiplied by ``factor`` ``(batch,)``.
    """
    model_key, guide_key = jax.random.split(rng_key)
    drawn = trace_guide(guide_key, params, guide, args, kwargs)
    z = {name: _scale_gradient(_path(name, drawn[name]), factor) for name in latent_sites(drawn)}
    stopped = {**jax.lax.stop_gradient(dict(params)), **z}
    again = trace_guide(guide_key, stopped, guide, args, kwargs)
    return again, trace_model(model_key, params, model, again, args, kwargs)


def _path(name: str, site: dict) -> jax.Array:
    if not site["fn"].has_rsample:
        raise ValueError(
            f'a gradient through the draws of q needs a reparametrised guide; site "{name}" is drawn '
            f"from {type(site['fn']).__name__}, which is not. Take the objective without an estimator."
        )
    return site["value"]


def _scale_gradient(z: jax.Array, factor: jax.Array | None) -> jax.Array:
    """Return z, its gradient multiplied by a factor per datum."""
    if factor is None:
        return z
    factor = factor.reshape(factor.shape + (1,) * (z.ndim - factor.ndim))
    return jax.lax.stop_gradient(z) + factor * (z - jax.lax.stop_gradient(z))


def check_estimator(objective: Any) -> None:
    """Raise unless an objective's estimator is one, and unbiased for it."""
    name, estimator = type(objective).__name__, objective.estimator
    if estimator is None:
        return
    if not isinstance(estimator, AbstractEstimator):
        raise ValueError(
            f"{name}(estimator=...) expects an estimator such as objectives.DReG(); got {estimator!r}."
        )
    if isinstance(estimator, STL) and objective.order != 1:
        raise ValueError(
            f"STL() is biased for {name}, whose weights make the score's mean differ from zero. Take "
            "objectives.DReG()."
        )
