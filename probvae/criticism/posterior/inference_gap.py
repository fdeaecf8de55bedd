"""The inference gap: what the guide's family costs, and what sharing one encoder costs."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from probvae.batching import Rows, data_per_block, map_blocks, map_rows
from probvae.checks import check_key, check_kind, check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.observed import apply_noise
from probvae.criticism.posterior.local_guide import (
    Plan,
    Programs,
    Scores,
    optimize_outputs,
    programs,
    scores,
    with_local_encoder,
)
from probvae.criticism.posterior.unconstrained import draw_code
from probvae.evidence import Batch, BoundEstimate, check_density, check_one_decoder
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.tracing import trace_structure
from probvae.typing import Params, RngKey

MOMENT_DRAWS = 1_000  # of each guide, for its means and standard deviations


class InferenceGap(NamedTuple):
    """log p(x) - ELBO per datum in two parts, and how the guide differs from the best of its family.

    All but the last three of shape ``(n,)``, in nats, with their Monte Carlo standard errors
    (``elbo_standard_error``, ``elbo_local_standard_error``, ``log_prob_standard_error``,
    ``amortization_standard_error``, ``approximation_standard_error``; given the local guide found):
    ``approximation`` = ``log_prob`` - ``elbo_local`` is the limit of the family, ``amortization`` =
    ``elbo_local`` - ``elbo`` what the encoder leaves. ``log_prob`` is a lower bound in expectation, and
    a climb may end at a local optimum: the gap's sum, and its second part, are at least this large. Per
    unit ``(n, units)``, of a hierarchy site after site, by name: ``scale_ratio`` is the standard
    deviation of the encoder's q over that of the local one (below 1: narrower than the best), ``shift``
    the encoder's mean minus the local one, in standard deviations of the local one (the moments are
    those of draws of both from the same keys). ``climbed`` ``(n,)`` is false where the encoder's own
    start was not improved on.
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
    x: Any,
    *,
    rng_key: RngKey,
    num_steps: int = 500,
    rate: float = 0.05,
    num_draws: int = 8,
    num_particles: int = 1000,
    log_prob: BoundEstimate | None = None,
) -> InferenceGap:
    """Split log p(x) - ELBO into the gap of the guide's family and the gap of the encoder.

    log p(x) - L(q) = (log p(x) - L(q*)) + (L(q*) - L(q)), q = q(z|x) the encoder's, q* the best local
    guide of the same family. The outputs of the encoder for a datum are made free parameters, started
    where the encoder puts them, and moved uphill by Adam, each datum by itself; model and all that the
    guide holds for all data in common (the nets of a flow or of a hierarchy) stay as they are. So a
    program guide has a best local member too. Where draws of its own say that a climb has not improved
    on the start (a wild step, an encoder that is exact), the start is kept.

    Unless given, log p(x) is the importance-weighted bound from q* or from q: from that whose bound is
    the larger on those other draws, so that no bound is chosen by its own luck. Both guides are scored
    on the same keys, so that the noise of a difference is less than its parts'. Per datum ``num_steps *
    num_draws`` gradients through the decoder, and ``4 * num_particles`` runs of it.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``; where the likelihood adds noise
            (``Spread``), all is about one noisy draw of them.
        rng_key: a typed key.
        num_steps: steps of Adam.
        rate: its first rate, in the encoder's outputs; it falls to 0 as a cosine.
        num_draws: draws of z per datum and step, fresh at each.
        num_particles: draws for each bound.
        log_prob: a better bound on log p(x) of these data (annealed), as ``fitted.log_prob`` gives it.

    Raises:
        ValueError: where a part is no density, the code is discrete, or data or numbers do not fit.

    Reference: Cremer, Li and Duvenaud 2018, arXiv:1801.03558.
    """
    check_fitted(fitted)
    _check(
        fitted.vae, rng_key, rate, num_steps=num_steps, num_draws=num_draws, num_particles=num_particles
    )
    check_kind("log_prob", log_prob, BoundEstimate | None)
    noise_key, key = jax.random.split(rng_key)
    data = apply_noise(fitted, x, noise_key)
    if log_prob is not None and np.shape(log_prob.value) != (len(data.x),):
        raise ValueError(
            f"log_prob expects an Evidence of these {len(data.x)} data; got one with values of shape "
            f"{np.shape(log_prob.value)}."
        )
    local = with_local_encoder(fitted.vae)
    plan = Plan(num_steps, rate, num_draws, num_particles)
    measure = partial(_measure_gap, fitted.vae.eval(), local, fitted.values, plan=plan)
    run = map_blocks(measure, data, key)
    numbers = {k: np.asarray(v, bool if k == "climbed" else np.float64) for k, v in run.items()}
    found = InferenceGap(**numbers)
    return found if log_prob is None else _with_log_prob(found, log_prob)


def _check(vae: Any, rng_key: Any, rate: Any, **counts: Any) -> None:
    check_key(rng_key)
    check_density(vae)
    check_one_decoder(vae, "the gap of the guide in z")
    for name, count in counts.items():
        check_positive_integer(name, count)
    if counts["num_particles"] < 2:
        raise ValueError("num_particles expects at least 2, for standard errors; got 1.")
    check_kind("rate", rate, float)
    if not rate > 0:
        raise ValueError(f"rate expects a number > 0; got {rate!r}.")
    discrete = [name for name, site in trace_structure(vae).guide.items() if site.discrete]
    if discrete:
        raise ValueError(
            f"the best local guide is found by gradients in z, and the posterior "
            f"{type(vae.posterior).__name__} draws a discrete code at {discrete}. Sum over its states "
            "instead: log p(x) = log sum_z p(x, z). Under guides.Categorical(), which is any law over "
            "them, all of log p(x) - ELBO is amortization."
        )


@partial(compile_program, static_argnames=("vae", "local", "plan"))
def _measure_gap(vae: Any, local: Any, values: Params, rows: Rows, plan: Plan) -> dict[str, jax.Array]:
    """Climb and score, so many data at a time that ``ROWS`` rows are decoded at once."""

    def one_datum(key: RngKey, datum: Batch) -> dict[str, jax.Array]:
        climb_key, score_key, moment_key = jax.random.split(key, 3)
        at = programs(vae, local, values, datum)
        both = jnp.stack([at.start, optimize_outputs(climb_key, at, plan)])
        score_keys = jax.random.split(score_key, 2 * plan.num_particles)
        moment_keys = jax.random.split(moment_key, MOMENT_DRAWS)
        scored = jax.vmap(lambda outputs: scores(at, outputs, score_keys, plan.num_draws))(both)
        moments = jax.vmap(lambda outputs: _moments(at, outputs, moment_keys, plan.num_draws))(both)
        return _gap(scored, moments, plan.num_particles)

    together = data_per_block(plan.num_draws)
    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=together)


def _moments(
    at: Programs, outputs: jax.Array, keys: jax.Array, at_a_time: int
) -> tuple[jax.Array, jax.Array]:
    """Return means and standard deviations of a guide's draws, ``(units,)``, all sites joined."""

    def draw(key: RngKey) -> jax.Array:
        return draw_code(key, {}, at.guide(outputs), at.batch)

    z = jax.lax.map(draw, keys, batch_size=min(at_a_time, MOMENT_DRAWS))
    return z.mean(0), z.std(0, ddof=1)


def _gap(scored: Scores, moments: tuple, num_particles: int) -> dict[str, jax.Array]:
    """Put the numbers of one datum together; rows are start and end, the first half is to choose by."""
    tried, kept = (
        Scores(*(a[:, half] for a in scored))
        for half in (slice(num_particles), slice(num_particles, None))
    )
    improved = tried.elbo[1].mean() > tried.elbo[0].mean()  # false for nan
    looser = _log_mean(tried.log_weight[1])[0] < _log_mean(tried.log_weight[0])[0]

    def best(rows: jax.Array) -> jax.Array:
        return jnp.where(improved, rows[1], rows[0])

    begun, ended = Scores(*(a[0] for a in kept)), Scores(*(best(a) for a in kept))
    mean, deviation = moments
    bounds = [_log_mean(each.log_weight) for each in (begun, ended)]
    log_prob, relative = jax.tree.map(partial(jnp.where, looser), *bounds)
    return dict(
        elbo=begun.elbo.mean(),
        elbo_standard_error=_error(begun.elbo),
        elbo_local=ended.elbo.mean(),
        elbo_local_standard_error=_error(ended.elbo),
        log_prob=log_prob,
        log_prob_standard_error=_error(relative),
        amortization=(ended.elbo - begun.elbo).mean(),
        amortization_standard_error=_error(ended.elbo - begun.elbo),
        approximation=log_prob - ended.elbo.mean(),
        approximation_standard_error=_error(relative - ended.elbo),
        scale_ratio=deviation[0] / best(deviation),
        shift=(mean[0] - best(mean)) / best(deviation),
        climbed=improved,
    )


def _log_mean(log_weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return log mean_k w_k, and w_k / mean w, whose spread is the bound's (the delta method)."""
    value = logsumexp(log_weight) - jnp.log(len(log_weight))
    return value, jnp.exp(log_weight - value)


def _error(values: jax.Array) -> jax.Array:
    """Standard error of a mean over particles."""
    return values.std(ddof=1) / len(values) ** 0.5


def _with_log_prob(found: InferenceGap, log_prob: BoundEstimate) -> InferenceGap:
    """Put another bound in place of the importance-weighted one."""
    return found._replace(
        log_prob=log_prob.value,
        log_prob_standard_error=log_prob.standard_error,
        approximation=log_prob.value - found.elbo_local,
        approximation_standard_error=np.hypot(log_prob.standard_error, found.elbo_local_standard_error),
    )
