r"""ELBO decomposition and holes in the prior, from $q(z) = \frac1N \sum_n q(z|x_n)$."""

import math
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from probvae.checks import OpenUnitInterval, check_kind, check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.observed import observe
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import latent_sites, site_log_prob, trace_guide, trace_model
from probvae.short_repr import short_repr
from probvae.typing import DataLike, Params, RngKey
from probvae.vae import VAE

CODES_PER_STEP = 100  # codes that are scored together, each under the posteriors of all rows


@short_repr
class ELBODecomposition(NamedTuple):
    """The KL of the ELBO in two parts, in nats, each with its standard error over rows.

    ``kl`` = ``mutual_information`` + ``population_kl``. They are the means of log q(z|x_n) - log p(z),
    log q(z|x_n) - log q(z) and log q(z) - log p(z). ``kl_error``, ``mutual_information_error`` and
    ``population_kl_error`` are their standard errors. ``limit`` is log N, the largest possible mutual
    information of a row's index and its code. Near the limit, more rows would change both parts.
    """

    kl: float
    kl_error: float
    mutual_information: float
    mutual_information_error: float
    population_kl: float
    population_kl_error: float
    limit: float


@short_repr
class PriorHoles(NamedTuple):
    """The share of the prior's mass at which the data have almost no codes.

    ``log_ratio`` ``(num_samples,)`` is log q(z) - log p(z) in nats at draws of p(z). Its mean is
    -KL(p(z) || q(z)). At a ``share`` of the draws, q(z) / p(z) is below ``ratio``. ``share_error`` is
    the binomial standard error.
    """

    log_ratio: np.ndarray
    share: float
    share_error: float
    ratio: float


def elbo_surgery(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_samples: int = 4
) -> ELBODecomposition:
    r"""Split the KL of the ELBO into mutual information and the mismatch of the prior.

    $E_x KL(q(z|x) || p(z)) = I_q(n; z) + KL(q(z) || p(z))$, where
    $q(z) = \frac1N \sum_n q(z|x_n)$ is the population of codes.

    The first part is the information that the code has about which row it belongs to. The second is the
    difference between the prior and the population of codes. It makes samples worse, and a better prior
    reduces it. Both parts refer to the N rows of x, and cost N^2 densities. If the prior depends on a
    context, p(z) is its mean over the contexts, and the parts sum to less than the KL of the ELBO.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_samples: draws of z per row.

    Raises:
        ValueError: for fewer than two rows, or a part that is not a density.

    Reference: Hoffman and Johnson 2016, "ELBO surgery", NIPS workshop on advances in approximate
    Bayesian inference.
    """
    check_fitted(fitted)
    check_positive_integer("num_samples", num_samples)
    data = observe(fitted, x, rng_key, least=2)
    vae, n = fitted.vae.eval(), len(data.x)
    own, all_q, all_p = jax.device_get(_score_codes(vae, fitted.values, rng_key, data, num_samples))
    index, population = own - all_q, all_q - all_p
    pairs = (
        (float(part.mean()), float(part.mean(0).std(ddof=1) / math.sqrt(n)))
        for part in (own - all_p, index, population)
    )
    return ELBODecomposition(*chain(*pairs), limit=math.log(n))


def prior_holes(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_samples: int = 1000, ratio: float = 0.01
) -> PriorHoles:
    """Measure the share of the prior's mass at which q(z) is less than ``ratio`` times p(z).

    In many dimensions, N posteriors cover only a small part of the space. Compare the share with that
    of another model, or with that of data drawn from this model.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_samples: draws of p(z).
        ratio: a draw lies in a hole if q(z) / p(z) is below this number, in (0, 1).

    Raises:
        ValueError: as in ``elbo_surgery``, or for a ratio outside (0, 1).

    Reference: Rosca, Lakshminarayanan and Mohamed 2018, arXiv:1802.06847 (the mismatch); the measure
    is defined here.
    """
    check_fitted(fitted)
    check_positive_integer("num_samples", num_samples)
    check_kind("ratio", ratio, OpenUnitInterval)
    data = observe(fitted, x, rng_key, least=2)
    scores = _score_prior_draws(fitted.vae.eval(), fitted.values, rng_key, data, num_samples)
    log_ratio = np.asarray(scores, np.float64)
    share = float((log_ratio < math.log(ratio)).mean())
    return PriorHoles(log_ratio, share, math.sqrt(share * (1 - share) / num_samples), ratio)


@partial(compile_program, static_argnames=("vae", "num_samples"))
def _score_codes(vae: VAE, params: Params, key: RngKey, data: Batch, num_samples: int) -> tuple:
    """Return log q(z|x_n), log q(z) and log p(z), each ``(num_samples, n)``, at z ~ q(z|x_n)."""

    def draw(key: RngKey) -> tuple[dict, Any]:
        guide = trace_guide(key, params, vae.guide, tuple(data), {})
        z = {name: guide[name]["value"] for name in latent_sites(guide)}
        return z, sum(site_log_prob(guide[name]) for name in z)

    z, own = jax.lax.map(draw, jax.random.split(key, num_samples))
    shape = own.shape
    flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), z)
    log_q, log_p = _population_log_probs(vae, params, flat, data)
    return own, log_q.reshape(shape), log_p.reshape(shape)


@partial(compile_program, static_argnames=("vae", "num_samples"))
def _score_prior_draws(
    vae: VAE, params: Params, key: RngKey, data: Batch, num_samples: int
) -> jax.Array:
    """Return log q(z) - log p(z) at z ~ p(z), with the contexts of the data one after the other."""
    n = len(data.x)
    rows = jnp.arange(num_samples) % n
    context = None if data.context is None else data.context[rows]
    blank_batch = Batch(jnp.broadcast_to(data.x[0], (num_samples, *data.x.shape[1:])), context)
    model = trace_model(key, params, vae.model, {}, tuple(blank_batch), {})
    z = {name: model[name]["value"] for name in latent_sites(model)}
    log_q, log_p = _population_log_probs(vae, params, z, data)
    return log_q - log_p


def _population_log_probs(vae: VAE, params: Params, z: dict[str, jax.Array], data: Batch) -> tuple:
    """Return log (1/N) sum_n q(z|x_n) and log (1/N) sum_n p(z|context_n) at codes ``(m, ...)``."""
    n, key = len(data.x), jax.random.key(0)

    def score(code: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
        # The programs score a batch, so one code is repeated for all n rows. As parameters, the
        # repeated codes take the place of the guide's draws.
        rows = {name: jnp.broadcast_to(value, (n, *value.shape)) for name, value in code.items()}
        guide = trace_guide(key, {**params, **rows}, vae.guide, tuple(data), {})
        model = trace_model(key, params, vae.model, guide, tuple(data), {})
        return tuple(
            logsumexp(sum(site_log_prob(trace[name]) for name in code)) - math.log(n)
            for trace in (guide, model)
        )

    m = len(next(iter(z.values())))
    return jax.lax.map(score, z, batch_size=min(CODES_PER_STEP, m))
