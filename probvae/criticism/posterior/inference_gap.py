"""The inference gap, log p(x) - ELBO, in two parts: the guide's family and the shared encoder."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.batching import Rows, data_per_block, map_blocks, map_rows
from probvae.checks import PositiveFloat, check_draw_arguments, check_kind
from probvae.compilation import compile_program
from probvae.criticism.observed import observe
from probvae.criticism.posterior.local_guide import (
    LocalPrograms,
    Plan,
    Scores,
    local_programs,
    optimize_outputs,
    score_draws,
    with_local_encoder,
)
from probvae.criticism.posterior.unconstrained import draw_code
from probvae.evidence import Batch, BoundEstimate, check_density, check_one_decoder, log_mean_exp
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.short_repr import short_repr
from probvae.tracing import trace_structure
from probvae.typing import DataLike, Params, RngKey
from probvae.vae import VAE

MOMENT_DRAWS = 1_000  # of each guide, for its means and standard deviations


@short_repr
class InferenceGap(NamedTuple):
    """log p(x) - ELBO per datum in two parts, and how the guide differs from the best of its family.

    All but the last three fields are ``(n,)``, in nats. Their Monte Carlo standard errors
    (``elbo_standard_error``, ``elbo_local_standard_error``, ``log_prob_standard_error``,
    ``amortization_standard_error``, ``approximation_standard_error``) are conditional on the local
    guide.

    - ``approximation`` = ``log_prob`` - ``elbo_local`` is the limit of the family.
    - ``amortization`` = ``elbo_local`` - ``elbo`` is the cost of sharing the encoder.

    ``log_prob`` is a lower bound in expectation, and the optimization may end at a local optimum. So
    the sum of the gaps and the amortization are lower bounds.

    ``scale_ratio`` and ``shift`` are ``(n, units)``, with the units of a hierarchy site after site, by
    name. Their moments are of draws of both guides from the same keys. ``scale_ratio`` is the standard
    deviation of the encoder's q over that of the local one (below 1: narrower than the best).
    ``shift`` is the encoder's mean minus the local one, in standard deviations of the local one.
    ``climbed`` ``(n,)`` is false where the optimization did not improve on the encoder's own start.
    """

    elbo: np.ndarray
    elbo_standard_error: np.ndarray
    elbo_local: np.ndarray
    elbo_local_standard_error: np.ndarray
    log_prob: np.ndarray
    log_prob_standard_error: np.ndarray
    amortization: np.ndarray
    amortization_standard_error: np.ndarray
    approximation: np.ndarray
    approximation_standard_error: np.ndarray
    scale_ratio: np.ndarray
    shift: np.ndarray
    climbed: np.ndarray


def inference_gap(
    fitted: Fitted,
    x: DataLike,
    *,
    rng_key: RngKey,
    num_steps: int = 500,
    rate: float = 0.05,
    num_draws: int = 8,
    num_particles: int = 1000,
    log_prob: BoundEstimate | None = None,
) -> InferenceGap:
    r"""Split log p(x) - ELBO into the gap of the guide's family and the gap of the encoder.

    $\log p(x) - L(q) = (\log p(x) - L(q^*)) + (L(q^*) - L(q))$, where $q = q(z|x)$ is the encoder's
    guide and $q^*$ the best local guide of the same family.

    To find q*, the outputs of the encoder for a datum become free parameters. They start at the
    encoder's values, and Adam moves them uphill, each datum by itself. The model stays fixed, and so
    does all that the guide shares between data (the nets of a flow or of a hierarchy). So a guide that
    is a program has a best local member too. If the result is not better on draws of its own (after a
    wild step, or with an exact encoder), the start remains.

    By default log p(x) is the importance-weighted bound from q* or from q. It comes from the guide
    whose bound is larger on those other draws, so that no bound is chosen by its own luck. Both guides
    are scored on the same keys, so that a difference has less noise than its parts. The cost per datum
    is ``num_steps * num_draws`` gradients through the decoder, and ``4 * num_particles`` runs of it.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. If the likelihood adds noise
            (``Spread``), the results are about one noisy draw of them.
        rng_key: a typed key.
        num_steps: steps of Adam.
        rate: its first rate, in the encoder's outputs. It falls to 0 as a cosine.
        num_draws: draws of z per datum and step, fresh at each step.
        num_particles: draws for each bound.
        log_prob: a better bound on log p(x) of these data (annealed), as a ``BoundEstimate`` like that
            of ``fitted.log_prob``.

    Raises:
        ValueError: for a part that has no density, a discrete code, or invalid data or numbers.

    Reference: Cremer, Li and Duvenaud 2018, arXiv:1801.03558.
    """
    check_fitted(fitted)
    check_density(fitted.vae)
    check_one_decoder(fitted.vae, "inference_gap")
    check_draw_arguments(rng_key, num_steps=num_steps, num_draws=num_draws, num_particles=num_particles)
    if num_particles < 2:
        raise ValueError("num_particles expects at least 2, for standard errors; got 1.")
    check_kind("rate", rate, PositiveFloat)
    check_kind("log_prob", log_prob, BoundEstimate | None)
    _check_continuous(fitted.vae)
    noise_key, key = jax.random.split(rng_key)
    data = observe(fitted, x, noise_key)
    if log_prob is not None and np.shape(log_prob.value) != (len(data.x),):
        raise ValueError(
            f"log_prob expects a BoundEstimate of these {len(data.x)} data; got one with values of "
            f"shape {np.shape(log_prob.value)}."
        )
    local = with_local_encoder(fitted.vae)
    plan = Plan(num_steps, rate, num_draws, num_particles)
    measure = partial(_measure_gap, fitted.vae.eval(), local, fitted.values, plan=plan)
    arrays = map_blocks(measure, data, key)
    gap = InferenceGap(
        **{name: np.asarray(a, None if name == "climbed" else np.float64) for name, a in arrays.items()}
    )
    return gap if log_prob is None else _with_log_prob(gap, log_prob)


def _check_continuous(vae: VAE) -> None:
    discrete = [name for name, site in trace_structure(vae).guide.items() if site.discrete]
    if discrete:
        raise ValueError(
            "inference_gap finds the best local guide by gradients in z, and the guide "
            f"{type(vae.posterior).__name__} draws a discrete code at {discrete}. Sum over its states "
            "instead: log p(x) = log sum_z p(x, z). Under guides.Categorical(), which is any law over "
            "them, all of log p(x) - ELBO is amortization."
        )


@partial(compile_program, static_argnames=("vae", "local", "plan"))
def _measure_gap(vae: VAE, local: VAE, values: Params, rows: Rows, plan: Plan) -> dict[str, jax.Array]:
    """Optimize and score the local guide of each datum, ``ROWS`` decoder rows at a time at most."""

    def measure_datum(key: RngKey, datum: Batch) -> dict[str, jax.Array]:
        climb_key, score_key, moment_key = jax.random.split(key, 3)
        programs = local_programs(vae, local, values, datum)
        # Row 0 is the encoder's guide, row 1 the local one. Both get the same keys.
        both = jnp.stack([programs.start, optimize_outputs(climb_key, programs, plan)])
        score_keys = jax.random.split(score_key, 2 * plan.num_particles)
        moment_keys = jax.random.split(moment_key, MOMENT_DRAWS)
        scores = jax.vmap(lambda outputs: score_draws(programs, outputs, score_keys, plan.num_draws))
        moments = jax.vmap(lambda outputs: _moments(programs, outputs, moment_keys, plan.num_draws))
        return _combine(scores(both), moments(both), plan.num_particles)

    return map_rows(measure_datum, rows, batch_size=data_per_block(plan.num_draws))


def _moments(
    programs: LocalPrograms, outputs: jax.Array, keys: jax.Array, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """Return means and standard deviations of a guide's draws, ``(units,)``, all sites joined."""

    def draw(key: RngKey) -> jax.Array:
        return draw_code(key, {}, programs.guide(outputs), programs.batch)

    z = jax.lax.map(draw, keys, batch_size=min(batch_size, MOMENT_DRAWS))
    return z.mean(0), z.std(0, ddof=1)


def _combine(scores: Scores, moments: tuple, num_particles: int) -> dict[str, jax.Array]:
    """Return the numbers of one datum, from scores ``(2, 2 * num_particles)`` of both guides."""
    # The first half of the draws chooses, and the second half measures. A bound that is chosen and
    # measured on the same draws would be too large by the luck of the choice.
    choice = Scores(*(a[:, :num_particles] for a in scores))
    measure = Scores(*(a[:, num_particles:] for a in scores))
    improved = choice.elbo[1].mean() > choice.elbo[0].mean()  # false for nan
    looser = log_mean_exp(choice.log_weight[1])[0] < log_mean_exp(choice.log_weight[0])[0]

    def best(rows: jax.Array) -> jax.Array:
        return jnp.where(improved, rows[1], rows[0])

    encoder, local = Scores(*(a[0] for a in measure)), Scores(*(best(a) for a in measure))
    bounds = [log_mean_exp(each.log_weight) for each in (encoder, local)]
    log_prob, relative = jax.tree.map(partial(jnp.where, looser), *bounds)
    mean, deviation = moments
    return dict(
        elbo=encoder.elbo.mean(),
        elbo_standard_error=_error(encoder.elbo),
        elbo_local=local.elbo.mean(),
        elbo_local_standard_error=_error(local.elbo),
        log_prob=log_prob,
        log_prob_standard_error=_error(relative),
        amortization=(local.elbo - encoder.elbo).mean(),
        amortization_standard_error=_error(local.elbo - encoder.elbo),
        approximation=log_prob - local.elbo.mean(),
        approximation_standard_error=_error(relative - local.elbo),
        scale_ratio=deviation[0] / best(deviation),
        shift=(mean[0] - best(mean)) / best(deviation),
        climbed=improved,
    )


def _error(values: jax.Array) -> jax.Array:
    """Return the standard error of a mean over particles."""
    return values.std(ddof=1) / len(values) ** 0.5


def _with_log_prob(gap: InferenceGap, log_prob: BoundEstimate) -> InferenceGap:
    """Put another bound in place of the importance-weighted one."""
    return gap._replace(
        log_prob=log_prob.value,
        log_prob_standard_error=log_prob.standard_error,
        approximation=log_prob.value - gap.elbo_local,
        approximation_standard_error=np.hypot(log_prob.standard_error, gap.elbo_local_standard_error),
    )
