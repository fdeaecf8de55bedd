"""What objectives can be asked to do: their arguments, and the VAEs that they are right for."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import ELBO, RenyiELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

from probvae.compilation import hold_trace_lock
from probvae.distributions.support import states
from probvae.objectives.enumeration import SUMS, check_one, check_state, refusal
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import has_exact_closed_form

AT_ONCE = 2**18  # steps of a schedule
ROUNDING = 1e-6  # below which a weight is not too low: a cosine in float32 may end just under 0


def check_particles(objective: Any) -> None:
    """Raise unless ``num_particles`` is a positive integer."""
    n = objective.num_particles
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(
            f"{type(objective).__name__}(num_particles=...) expects a positive integer; got {n!r}."
        )


def check_weights(objective: Any) -> None:
    """Raise unless each weight is a finite number >= 0, or a schedule that starts at one."""
    for name in objective.scheduled:
        value = getattr(objective, name)
        got = value(0) if callable(value) else value
        try:
            fine = math.isfinite(got) and got >= 0
        except TypeError:
            fine = False
        if not fine:
            what = f"a schedule that gives {got!r} at step 0" if callable(value) else repr(value)
            raise ValueError(_weight_refusal(objective, name, 0.0, what))


def check_schedules(objective: Any, num_steps: int) -> None:
    """Raise, before a fit starts, where a schedule gives no fit weight at any of the fit's steps.

    All steps are evaluated in one vectorised call (``AT_ONCE`` of them at a time): a schedule that is
    NaN from step 50,000 on costs no more than the error.
    """
    for name in objective.scheduled if isinstance(objective, AbstractObjective) else ():
        if callable(getattr(objective, name)):
            for start in range(0, num_steps, AT_ONCE):
                _check_schedule(objective, name, start, min(start + AT_ONCE, num_steps))


def _check_schedule(objective: Any, name: str, start: int, end: int) -> None:
    schedule, least = getattr(objective, name), objective.least(name)
    try:
        values = np.asarray(jax.vmap(schedule)(jnp.arange(start, end)))
    except TypeError as error:  # what JAX raises where a traced step meets `if` or a float
        what = f"a schedule that cannot be traced, {schedule!r} ({str(error).splitlines()[0]})"
        fix = " Write it with jax.numpy: jnp.where in place of `if`, jnp.cos in place of math.cos."
        raise ValueError(_weight_refusal(objective, name, least, what) + fix) from error
    bad = ~(np.isfinite(values) & (values >= least - ROUNDING))
    if bad.any():
        step = int(bad.argmax())
        what = f"a schedule that gives {values[step]} at step {start + step} of this fit"
        fix = " Steps count from 0, one per batch; see that it neither divides by 0 nor falls too low."
        raise ValueError(_weight_refusal(objective, name, least, what) + fix)


def _weight_refusal(objective: Any, name: str, least: float, got: str) -> str:
    return (
        f"{type(objective).__name__}({name}=...) expects a finite number >= {least:g}, or an optax "
        f"schedule of the step that gives such numbers; got {got}."
    )


def check_compatible(objective: Any, batch: int) -> None:
    """Raise where a batch holds fewer data than an objective compares with each other."""
    if batch < objective.least_batch:
        raise ValueError(
            f"{type(objective).__name__} compares the data of a batch with each other, and got a batch "
            f"of one; it expects at least {objective.least_batch}, better a hundred. Take a larger "
            "batch_size, or objectives.ELBO()."
        )


def check_terms(objective: Any, vae: Any, batch_size: int) -> None:
    """Raise, before a fit starts, where an objective of ours needs terms that a VAE does not have.

    The loss is traced abstractly, on a batch of zeros: no arithmetic is done.
    """
    if not isinstance(objective, AbstractObjective):
        return
    check_compatible(objective, batch_size)
    _check_context(objective, vae)
    if objective.fits_any:
        return
    x = jnp.zeros((batch_size, *vae.event_shape))
    context = jnp.zeros((batch_size, *vae.context_shape)) if vae.context_shape else None
    told = (*objective.programs(vae.model, vae.guide), x, context)
    try:
        with hold_trace_lock():
            jax.eval_shape(lambda: objective.loss(jax.random.key(0), {}, *told))
    except ValueError as error:
        raise ValueError(
            f"{type(objective).__name__} does not work with the prior {type(vae.prior).__name__} and "
            f"the posterior {type(vae.posterior).__name__}: {error}"
        ) from error


def _check_context(objective: AbstractObjective, vae: Any) -> None:
    """Raise where an objective adds to a context that the prior reads labels from."""
    told = objective.data_context_shape(vae.context_shape) != vae.context_shape
    if told and vae.prior.observes_context:
        raise ValueError(
            f"{type(objective).__name__} adds to the context that nets are told, and the prior "
            f"{type(vae.prior).__name__} and the posterior {type(vae.posterior).__name__} read labels "
            "from it, which no net is told. Take objectives.ELBO(), or a prior without labels."
        )


def check_objective(objective: Any, model: dict, guide: dict, state: dict, guide_name: str) -> None:
    """Refuse objectives that would be silently wrong for a VAE.

    Args:
        objective: NumPyro's or ours.
        model: latent sites of the model, in order (``probvae.tracing.Site`` by name).
        guide: latent sites of the guide, in order.
        state: names of running state.
        guide_name: the guide's name, for the message.

    Raises:
        TypeError: if it is no objective.
        ValueError: where the objective's value or gradient would be wrong.
    """
    if not isinstance(objective, ELBO):
        raise TypeError(
            f"objective expects a numpyro.infer ELBO such as objectives.ELBO(); got {objective!r}."
        )
    name = type(objective).__name__
    pathwise = isinstance(objective, Trace_ELBO | TraceMeanField_ELBO | RenyiELBO | AbstractObjective)
    stuck = [site for site, q in guide.items() if not q.reparametrised]
    plain = getattr(objective, "estimator", None) is None
    if pathwise and stuck and not (plain and getattr(objective, "can_infer_discrete", False)):
        raise ValueError(
            f"{name} takes gradients through the draws of q, but the guide {guide_name} draws "
            f"{stuck} without reparametrisation: the encoder's gradient would be zero in "
            "expectation. Take objectives.ELBO() (it sums over few states, without an estimator), "
            "numpyro.infer.TraceGraph_ELBO(), or a guide that is reparametrised."
        )
    if stuck and isinstance(objective, AbstractObjective):
        _check_enumerable(guide, state, guide_name)
    points = [site for site, q in guide.items() if q.point]
    scored = isinstance(objective, Trace_ELBO | TraceMeanField_ELBO | AbstractObjective)
    if points and not (scored and plain and getattr(objective, "fits_points", True)):
        raise ValueError(
            f"{name} needs a density q(z|x), and the guide {guide_name} puts all mass on one point at "
            f"{points}. Take objectives.ELBO(beta=0.0), which makes it a plain autoencoder, "
            "objectives.InfoVAE(), or a guide with a density such as guides.MeanField()."
        )
    inexact = [site for site in model if not has_exact_closed_form(site, list(model), list(guide))]
    if isinstance(objective, TraceMeanField_ELBO) and inexact:
        raise ValueError(
            f"TraceMeanField_ELBO takes the KL at {inexact} in closed form, which is wrong here: the "
            f"guide {guide_name} draws {list(guide)}, the model {list(model)}. Take "
            "objectives.ELBO(), which samples it, or numpyro.infer.Trace_ELBO()."
        )
    shared = [site for site in model if model[site].shared]
    if shared and isinstance(objective, RenyiELBO):
        raise ValueError(
            f"{name} weighs the particles of each datum alone, but the latent sites {shared} belong to "
            "all data. Take objectives.ELBO(), or a decoder without a prior on its weights."
        )
    if state:
        _check_state(objective, name, state)


def _check_enumerable(guide: dict, state: dict, guide_name: str) -> None:
    """Raise unless our objective can sum over the guide's states exactly."""
    stuck = [name for name, site in guide.items() if not site.reparametrised]
    check_one(stuck, f"the guide {guide_name}")
    name, site = stuck[0], guide[stuck[0]]
    if states(site.support, site.event_shape) is None:
        raise ValueError(refusal(name, site.support, site.event_shape))
    check_state(state, f"with the guide {guide_name}, {SUMS}")


def _check_state(objective: Any, name: str, state: dict) -> None:
    if isinstance(objective, AbstractObjective):
        return
    if isinstance(objective, RenyiELBO | TraceGraph_ELBO) or objective.num_particles > 1:
        raise ValueError(
            f"{name} with num_particles={objective.num_particles} drops running state, and this VAE "
            f"has {sorted(state)}. Take objectives.ELBO(num_particles=...), or parts without state "
            "(LayerNorm instead of BatchNorm; a learned scale instead of the optimal one)."
        )
