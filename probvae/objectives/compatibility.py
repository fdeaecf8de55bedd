"""Checks of objectives: their weights and schedules, and the VAEs for which they are correct."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import ELBO, RenyiELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

from probvae.compilation import hold_trace_lock
from probvae.distributions.support import list_states
from probvae.interfaces import AbstractVAE
from probvae.objectives.enumeration import check_single_site, check_state, explain_refusal
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import has_exact_closed_form, latent_sites

MAX_STEPS_AT_ONCE = 2**18  # of a schedule
ROUNDING = 1e-6  # tolerance of the lower bound of a weight: a cosine in float32 may end just below 0


def check_weights(objective: AbstractObjective) -> None:
    """Raise unless each weight is a finite number >= 0, or a schedule that starts at one."""
    for name in objective.scheduled:
        weight = getattr(objective, name)
        start = weight(0) if callable(weight) else weight
        try:
            is_valid = math.isfinite(start) and start >= 0
        except TypeError:
            is_valid = False
        if not is_valid:
            got = f"a schedule that gives {start!r} at step 0" if callable(weight) else repr(weight)
            raise ValueError(_weight_error(objective, name, 0.0, got))


def check_schedules(objective: ELBO, num_steps: int) -> None:
    """Raise, before a fit starts, if a schedule gives an invalid weight at any step of the fit.

    All steps are evaluated in one vectorised call (at most ``MAX_STEPS_AT_ONCE`` at a time), so the
    check is cheap even for long fits.
    """
    for name in objective.scheduled if isinstance(objective, AbstractObjective) else ():
        if callable(getattr(objective, name)):
            for start in range(0, num_steps, MAX_STEPS_AT_ONCE):
                _check_schedule(objective, name, start, min(start + MAX_STEPS_AT_ONCE, num_steps))


def _check_schedule(objective: AbstractObjective, name: str, start: int, end: int) -> None:
    schedule, minimum = getattr(objective, name), objective.min_weight(name)
    try:
        values = np.asarray(jax.vmap(schedule)(jnp.arange(start, end)))
    except TypeError as error:  # JAX raises it where a traced step meets `if` or a float
        got = f"a schedule that cannot be traced, {schedule!r} ({str(error).splitlines()[0]})"
        advice = " Write it with jax.numpy: jnp.where in place of `if`, jnp.cos in place of math.cos."
        raise ValueError(_weight_error(objective, name, minimum, got) + advice) from error
    is_invalid = ~(np.isfinite(values) & (values >= minimum - ROUNDING))
    if is_invalid.any():
        step = int(is_invalid.argmax())
        got = f"a schedule that gives {values[step]} at step {start + step} of this fit"
        advice = " Steps count from 0, one per batch."
        raise ValueError(_weight_error(objective, name, minimum, got) + advice)


def _weight_error(objective: AbstractObjective, name: str, minimum: float, got: str) -> str:
    return (
        f"{type(objective).__name__}({name}=...) expects a finite number >= {minimum:g}, or an optax "
        f"schedule of the step that gives such numbers; got {got}."
    )


def check_batch_size(objective: AbstractObjective, batch_size: int) -> None:
    """Raise if a batch holds too few data for an objective that compares them with each other."""
    if batch_size < objective.min_batch_size:
        raise ValueError(
            f"{type(objective).__name__} compares the data of a batch with each other and expects at "
            f"least {objective.min_batch_size}; got a batch of {batch_size}. Use a larger batch_size "
            "(100 is better), or objectives.ELBO()."
        )


def single_latent_site(objective: AbstractObjective, guide_trace: dict) -> str:
    """Return the name of the guide's latent site. Raise ValueError unless there is exactly one."""
    sites = latent_sites(guide_trace)
    if len(sites) != 1:
        raise ValueError(
            f"{type(objective).__name__} expects a guide with one latent site; got {sites}. Use "
            "guides.MeanField()."
        )
    return sites[0]


def check_terms(objective: ELBO, vae: AbstractVAE, batch_size: int) -> None:
    """Raise, before a fit starts, if one of our objectives needs terms that a VAE does not have.

    The loss is traced abstractly, on a batch of zeros, without arithmetic.
    """
    if not isinstance(objective, AbstractObjective):
        return
    check_batch_size(objective, batch_size)
    _check_context(objective, vae)
    if objective.accepts_all_parts:
        return
    x = jnp.zeros((batch_size, *vae.event_shape))
    context = jnp.zeros((batch_size, *vae.context_shape)) if vae.context_shape else None
    programs = objective.programs(vae.model, vae.guide)
    try:
        with hold_trace_lock():
            jax.eval_shape(lambda: objective.loss(jax.random.key(0), {}, *programs, x, context))
    except ValueError as error:
        raise ValueError(
            f"{type(objective).__name__} does not work with the prior {type(vae.prior).__name__} and "
            f"the posterior {type(vae.posterior).__name__}: {error}"
        ) from error


def _check_context(objective: AbstractObjective, vae: AbstractVAE) -> None:
    """Raise if an objective extends a context from which the prior reads labels."""
    extends_context = objective.data_context_shape(vae.context_shape) != vae.context_shape
    if extends_context and vae.prior.observes_context:
        raise ValueError(
            f"{type(objective).__name__} extends the context and expects a prior without labels; got "
            f"{type(vae.prior).__name__}. Use objectives.ELBO(), or a prior without labels."
        )


def check_objective(
    objective: object,
    model: Mapping[str, Any],
    guide: Mapping[str, Any],
    state: Mapping[str, Any] | Sequence[str],
    guide_name: str,
) -> None:
    """Raise if an objective would silently be wrong for a VAE.

    Args:
        objective: one of NumPyro's or of ours.
        model: latent sites of the model, in order (``probvae.tracing.Site`` by name).
        guide: latent sites of the guide, in order.
        state: names of running state.
        guide_name: the guide's name, for the message.

    Raises:
        TypeError: for a value that is not an objective.
        ValueError: if the objective's value or gradient would be wrong.
    """
    if not isinstance(objective, ELBO):
        raise TypeError(
            f"objective expects a numpyro.infer ELBO such as objectives.ELBO(); got {objective!r}."
        )
    problem = _find_problem(objective, model, guide, state, guide_name)
    if problem:
        raise ValueError(f"{type(objective).__name__} expects {problem}")
    has_score_only = any(not q.reparametrised for q in guide.values())
    if has_score_only and isinstance(objective, AbstractObjective):
        _check_enumerable(guide, state, guide_name)


def _find_problem(
    objective: ELBO,
    model: Mapping[str, Any],
    guide: Mapping[str, Any],
    state: Mapping[str, Any] | Sequence[str],
    guide_name: str,
) -> str | None:
    """Return what an objective expects of a VAE that this one does not have, and what to do."""
    ours = isinstance(objective, AbstractObjective)
    no_estimator = getattr(objective, "estimator", None) is None

    # Pathwise gradients: a draw without reparametrisation has none. Our ELBO sums over such a site.
    pathwise = ours or isinstance(objective, Trace_ELBO | TraceMeanField_ELBO | RenyiELBO)
    score_only = [site for site, q in guide.items() if not q.reparametrised]
    enumerates = no_estimator and getattr(objective, "can_infer_discrete", False)
    if pathwise and score_only and not enumerates:
        return (
            f"a reparametrised guide; the guide {guide_name} draws {score_only} without "
            "reparametrisation, so the encoder's gradient would be zero in expectation. Use "
            "objectives.ELBO() without an estimator (it sums over few states), "
            "numpyro.infer.TraceGraph_ELBO(), or a reparametrised guide."
        )

    # Point guides: log q is infinite, so weights w = p / q mean nothing. A KL becomes -log p(z).
    points = [site for site, q in guide.items() if q.point]
    scores_draws = ours or isinstance(objective, Trace_ELBO | TraceMeanField_ELBO)
    accepts_points = getattr(objective, "accepts_point_guides", True)
    if points and not (scores_draws and no_estimator and accepts_points):
        return (
            f"a density q(z|x); got the guide {guide_name}, which puts all mass on one point at "
            f"{points}. Use objectives.ELBO(beta=0.0) for a plain autoencoder, objectives.InfoVAE(), "
            "or a guide such as guides.MeanField()."
        )

    inexact = [site for site in model if not has_exact_closed_form(site, list(model), list(guide))]
    if isinstance(objective, TraceMeanField_ELBO) and inexact:
        return (
            f"a guide in whose order the KL at {inexact} is exact; got {guide_name}, which draws "
            f"{list(guide)}, and a model that draws {list(model)}. Use objectives.ELBO(), which "
            "samples this KL, or numpyro.infer.Trace_ELBO()."
        )

    # Weights per datum: with latents that all data share, log p(x) is no sum over data.
    shared = [site for site in model if model[site].shared]
    if shared and isinstance(objective, RenyiELBO):
        return (
            f"latent sites per datum, because it weights the particles of each datum separately; got "
            f"{shared}, which all data share. Use objectives.ELBO(), or a decoder without a prior on "
            "its weights."
        )

    drops_state = isinstance(objective, RenyiELBO | TraceGraph_ELBO) or objective.num_particles > 1
    if state and drops_state and not ours:
        return (
            f"parts without running state, which num_particles={objective.num_particles} drops; got "
            f"{sorted(state)}. Use objectives.ELBO(num_particles=...), or LayerNorm instead of "
            "BatchNorm and a learned scale instead of the optimal one."
        )
    return None


def _check_enumerable(
    guide: Mapping[str, Any], state: Mapping[str, Any] | Sequence[str], guide_name: str
) -> None:
    """Raise unless our objective can sum over the guide's states exactly."""
    discrete = [name for name, site in guide.items() if not site.reparametrised]
    check_single_site(discrete, f"the guide {guide_name}")
    site = guide[discrete[0]]
    if list_states(site.support, site.event_shape) is None:
        raise ValueError(explain_refusal(discrete[0], site.support, site.event_shape))
    check_state(state, f"ELBO with the guide {guide_name}")
