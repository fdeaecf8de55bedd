"""Gradient estimators STL and DReG: lower variance for the gradient in the guide's parameters."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import jax

from probvae.checks import Checked, Requirement
from probvae.objectives.particles import over_particles
from probvae.objectives.terms import Terms, latent_sites, trace_guide, trace_model
from probvae.typing import Params, Program, RngKey


class AbstractEstimator(Checked, abc.ABC):
    r"""An estimator whose gradient reaches the guide through the draws z alone.

    The score $d \log q / d \phi$ at fixed z is dropped. Its mean is zero, or it equals a path gradient
    (``DReG``). The value of the objective is the same as without an estimator. Every KL is sampled.
    log q(z|x) comes from a second run of the guide at the same z, with its parameters stopped. A flow
    is inverted there.
    """

    @abc.abstractmethod
    def read(
        self, one: Callable[..., Terms], rng_key: RngKey, num_particles: int, alpha: float
    ) -> Terms:
        """Return terms with a leading axis of particles.

        Args:
            one: a function ``(rng_key, traces)`` that returns the terms of one particle.
            rng_key: the key of all particles.
            num_particles: the number of particles.
            alpha: order of the objective's mean over particles (``particles.log_power_mean``).
        """


@dataclass(frozen=True)
class STL(AbstractEstimator):
    r"""Sticking the landing: the path gradient, without the score of q.

    $d/d\phi = E[(d/dz)(\log p(x, z) - \log q(z|x)) \, dz/d\phi]$.

    If q is the exact posterior, the difference of logs is constant in z, and the gradient has no
    variance. Use it with ``ELBO``. With importance weights the mean of the score is not zero, so use
    ``DReG`` there.

    Reference: Roeder, Wu and Duvenaud 2017, arXiv:1703.09194.
    """

    def read(
        self, one: Callable[..., Terms], rng_key: RngKey, num_particles: int, alpha: float
    ) -> Terms:
        return over_particles(partial(one, traces=keep_path_gradient), rng_key, num_particles)


@dataclass(frozen=True)
class DReG(AbstractEstimator):
    r"""Doubly reparametrised gradients, for ``IWAE`` and ``Renyi``.

    $d/d\phi = \sum_k v_k (\alpha + (1 - \alpha) v_k) (d \log w_k / dz_k) (dz_k / d\phi)$, with
    $w_k = p(x, z_k) / q(z_k|x)$ and $v_k = w_k^{1 - \alpha} / \sum_l w_l^{1 - \alpha}$.

    The model's gradient keeps the weights $v_k$. At $\alpha = 0$ (IWAE) the guide's weights are the
    paper's $v_k^2$. At $\alpha = 1$ the estimator is ``STL``. The programs run twice, once for the
    weights.

    Reference: Tucker et al. 2019, arXiv:1810.04152, for alpha = 0.
    """

    def read(
        self, one: Callable[..., Terms], rng_key: RngKey, num_particles: int, alpha: float
    ) -> Terms:
        # The bound's gradient is sum_k v_k d log w_k. Its score part has the coefficient v_k, which
        # itself depends on z_k. Reparametrising once more (the "doubly") turns the score into a path
        # gradient with the coefficient's slope, dv_k / d log w_k = (1 - alpha) v_k (1 - v_k), which is
        # subtracted from v_k: v_k (alpha + (1 - alpha) v_k). The bound itself supplies one v_k, so the
        # draws z_k need only the rest as factor. The same keys give the same draws in both runs.
        log_w = jax.lax.stop_gradient(over_particles(one, rng_key, num_particles).log_weight)
        v = jax.nn.softmax((1 - alpha) * log_w, axis=0)  # (particles, batch)

        def read_particle(key: RngKey, factor: jax.Array) -> Terms:
            return one(key, partial(keep_path_gradient, factor=factor))

        return over_particles(read_particle, rng_key, num_particles, alpha + (1 - alpha) * v)


def keep_path_gradient(
    rng_key: RngKey,
    params: Params,
    model: Program,
    guide: Program,
    args: tuple,
    kwargs: dict,
    factor: jax.Array | None = None,
) -> tuple[dict, dict]:
    """Run the guide, then the guide with stopped parameters at the same z, then the model.

    Keys are split as in ``terms.trace_programs``. The gradient that reaches the guide through its draws
    is multiplied by ``factor`` ``(batch,)``.
    """
    # The first run makes z a function of the guide's parameters: the path. The second run evaluates
    # log q(z|x) with the parameters stopped, so that the score vanishes while d log q / dz remains. The
    # model sees the same z. All gradients of the guide pass through z, where `factor` scales them.
    model_key, guide_key = jax.random.split(rng_key)
    first = trace_guide(guide_key, params, guide, args, kwargs)
    z = {name: _scale_gradient(_path_value(name, first[name]), factor) for name in latent_sites(first)}
    stopped = {**jax.lax.stop_gradient(dict(params)), **z}
    guide_trace = trace_guide(guide_key, stopped, guide, args, kwargs)
    return guide_trace, trace_model(model_key, params, model, guide_trace, args, kwargs)


def _path_value(name: str, site: dict) -> jax.Array:
    if not site["fn"].has_rsample:
        raise ValueError(
            f'the estimator expects a reparametrised guide; site "{name}" is drawn from '
            f"{type(site['fn']).__name__}, which is not. Use the objective without an estimator."
        )
    return site["value"]


def _scale_gradient(z: jax.Array, factor: jax.Array | None) -> jax.Array:
    """Return z, with its gradient multiplied by a factor per datum."""
    if factor is None:
        return z
    factor = factor.reshape(factor.shape + (1,) * (z.ndim - factor.ndim))
    return jax.lax.stop_gradient(z) + factor * (z - jax.lax.stop_gradient(z))


Estimator = Annotated[AbstractEstimator, Requirement("an estimator such as objectives.DReG()")]


def check_estimator(objective: object, estimator: AbstractEstimator | None, order: float) -> None:
    """Raise if an estimator is biased for an objective with a mean of this order over particles."""
    if isinstance(estimator, STL) and order != 1:
        raise ValueError(
            f"{type(objective).__name__}(estimator=...) expects an estimator that is unbiased with "
            f"importance weights; got {estimator!r}. Use objectives.DReG()."
        )
