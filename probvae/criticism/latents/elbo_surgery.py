"""The population posterior, q(z) = (1/N) sum_n q(z|x_n), against the prior."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from probvae.checks import check_kind, check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.observed import apply_noise
from probvae.criticism.short_repr import short_repr
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import latent_sites, site_log_prob, trace_guide, trace_model
from probvae.typing import Params, RngKey

AT_A_TIME = 100  # codes scored together, each under the posteriors of all data


@short_repr
class ELBODecomposition(NamedTuple):
    """The KL of the ELBO in two parts, in nats, each with its standard error over data.

    ``kl`` = ``mutual_information`` + ``population_kl``, the means over data of log q(z|x_n) - log p(z),
    log q(z|x_n) - log q(z) and log q(z) - log p(z) (``kl_error``, ``mutual_information_error``,
    ``population_kl_error``: their errors). ``limit`` is log N, the most that the mutual
    information of a datum's index and its code can be: near it, more data would change both parts.
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
    """Where the prior lies and no datum encodes to: ``log_ratio`` ``(num_samples,)``, nats.

    It is log q(z) - log p(z) at draws of p(z), whose mean is -KL(p(z) || q(z)). ``share`` of the draws
    lie where q(z) is less than ``ratio`` of p(z), and ``share_error`` is its binomial standard error.
    """

    log_ratio: np.ndarray
    share: float
    share_error: float
    ratio: float


def elbo_surgery(fitted: Fitted, x: Any, *, rng_key: RngKey, num_samples: int = 4) -> ELBODecomposition:
    """Split E_x KL(q(z|x) || p(z)) = I_q(n; z) + KL(q(z) || p(z)), q(z) = (1/N) sum_n q(z|x_n).

    The first part is what the code says of which datum it was; the second what the prior gets wrong
    about the population of codes: generation pays for it, and a better prior mends it. Both are of the
    N data given, and cost N^2 densities. With a prior that depends on a context p(z) is its mean over
    the contexts, and the two parts sum to less than the ELBO's KL.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_samples: draws of z per datum.

    Raises:
        ValueError: for fewer than two data, or a part that is no density.

    Reference: Hoffman and Johnson 2016, "ELBO surgery", NIPS workshop on advances in approximate
    Bayesian inference.
    """
    check_fitted(fitted)
    check_positive_integer("num_samples", num_samples)
    data = apply_noise(fitted, x, rng_key, least=2)
    vae, n = fitted.vae.eval(), len(data.x)
    own, all_q, all_p = jax.device_get(_at_posterior(vae, fitted.values, rng_key, data, num_samples))
    index, population = own - all_q, all_q - all_p
    parts = (own - all_p, index, population)
    means = [float(part.mean()) for part in parts]
    errors = [float(part.mean(0).std(ddof=1) / math.sqrt(n)) for part in parts]
    pairs = [number for pair in zip(means, errors, strict=True) for number in pair]
    return ELBODecomposition(*pairs, limit=math.log(n))


def prior_holes(
    fitted: Fitted, x: Any, *, rng_key: RngKey, num_samples: int = 1000, ratio: float = 0.01
) -> PriorHoles:
    """Return how much of the prior lies where the codes of the data are ``ratio`` times rarer, or more.

    In many dimensions N posteriors cover little: read the share beside that of another model, or of
    data drawn from this one.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_samples: draws of p(z).
        ratio: q(z) / p(z) below which a draw lies in a hole.

    Raises:
        ValueError: as ``elbo_surgery``, and for a ratio outside (0, 1).

    Reference: Rosca, Lakshminarayanan and Mohamed 2018, arXiv:1802.06847 (the mismatch); the measure
    is defined here.
    """
    check_fitted(fitted)
    check_positive_integer("num_samples", num_samples)
    check_kind("ratio", ratio, float)
    if not 0 < ratio < 1:
        raise ValueError(f"ratio expects a number between 0 and 1; got {ratio!r}.")
    data = apply_noise(fitted, x, rng_key, least=2)
    found = _at_prior(fitted.vae.eval(), fitted.values, rng_key, data, num_samples)
    log_ratio = np.asarray(found, np.float64)
    share = float((log_ratio < math.log(ratio)).mean())
    return PriorHoles(log_ratio, share, math.sqrt(share * (1 - share) / num_samples), ratio)


@partial(compile_program, static_argnames=("vae", "num_samples"))
def _at_posterior(vae: Any, params: Params, key: RngKey, data: Batch, num_samples: int) -> tuple:
    """Return log q(z|x_n), log q(z) and log p(z), each ``(num_samples, n)``, at z ~ q(z|x_n)."""

    def draw(key: RngKey) -> tuple[dict, Any]:
        guide = trace_guide(key, params, vae.guide, tuple(data), {})
        z = {name: guide[name]["value"] for name in latent_sites(guide)}
        return z, sum(site_log_prob(guide[name]) for name in z)

    z, own = jax.lax.map(draw, jax.random.split(key, num_samples))
    shape = own.shape
    flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), z)
    log_q, log_p = _population(vae, params, flat, data)
    return own, log_q.reshape(shape), log_p.reshape(shape)


@partial(compile_program, static_argnames=("vae", "num_samples"))
def _at_prior(vae: Any, params: Params, key: RngKey, data: Batch, num_samples: int) -> jax.Array:
    """Return log q(z) - log p(z) at z ~ p(z), under the contexts of the data in turn."""
    n = len(data.x)
    rows = jnp.arange(num_samples) % n
    context = None if data.context is None else data.context[rows]
    blank = Batch(jnp.broadcast_to(data.x[0], (num_samples, *data.x.shape[1:])), context)
    model = trace_model(key, params, vae.model, {}, tuple(blank), {})
    z = {name: model[name]["value"] for name in latent_sites(model)}
    log_q, log_p = _population(vae, params, z, data)
    return log_q - log_p


def _population(vae: Any, params: Params, z: dict[str, jax.Array], data: Batch) -> tuple:
    """Return log (1/N) sum_n q(z|x_n), and the same of p(z|context_n), at codes ``(m, ...)``."""
    n, key = len(data.x), jax.random.key(0)

    def score(one: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
        rows = {name: jnp.broadcast_to(value, (n, *value.shape)) for name, value in one.items()}
        guide = trace_guide(key, {**params, **rows}, vae.guide, tuple(data), {})
        model = trace_model(key, params, vae.model, guide, tuple(data), {})
        return tuple(
            logsumexp(sum(site_log_prob(trace[name]) for name in one)) - math.log(n)
            for trace in (guide, model)
        )

    m = len(next(iter(z.values())))
    return jax.lax.map(score, z, batch_size=min(AT_A_TIME, m))
