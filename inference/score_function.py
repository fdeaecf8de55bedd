"""The score-function gradient, as an example of your own estimator: the package has none."""

from collections.abc import Callable
from functools import partial

import jax

from probvae import objectives
from probvae.objectives.particles import over_particles
from probvae.objectives.terms import latent_sites, trace_guide, trace_model


class ScoreFunction(objectives.AbstractEstimator):
    """The estimator log w times d log q, for ``ELBO`` with one particle."""

    def read(self, one: Callable, rng_key: jax.Array, num_particles: int, alpha: float):
        read_terms = over_particles(partial(one, traces=stop_draws), rng_key, num_particles)
        factor = jax.lax.stop_gradient(read_terms.log_weight) + 1  # the sampled KL's own score is -1
        log_q = sum(read_terms.log_guide.values())
        surrogate = factor * (log_q - jax.lax.stop_gradient(log_q))
        return read_terms._replace(log_likelihood=read_terms.log_likelihood + surrogate)


def stop_draws(key, params, model, guide, args, kwargs):
    """Run both programs without a gradient through the draws."""
    model_key, guide_key = jax.random.split(key)
    guide_trace = trace_guide(guide_key, params, guide, args, kwargs)
    z = {name: jax.lax.stop_gradient(guide_trace[name]["value"]) for name in latent_sites(guide_trace)}
    again = trace_guide(guide_key, {**params, **z}, guide, args, kwargs)
    return again, trace_model(model_key, params, model, again, args, kwargs)
