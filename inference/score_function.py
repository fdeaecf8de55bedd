"""The score-function gradient, as an example of your own estimator: the package has none."""

from collections.abc import Callable
from functools import partial

import jax

from probvae import objectives
from probvae.objectives.particles import over_particles
from probvae.objectives.terms import latent_sites, trace_guide, trace_model


class ScoreFunction(objectives.AbstractEstimator):
    """Log w times d log q, for ``ELBO`` of one particle: as the package has none, one of our own."""

    def read(self, one: Callable, rng_key: jax.Array, num_particles: int, alpha: float):
        found = over_particles(partial(one, traces=stop_draws), rng_key, num_particles)
        factor = jax.lax.stop_gradient(found.log_weight) + 1  # the sampled KL's own score is -1
        log_q = sum(found.log_guide.values())
        surrogate = factor * (log_q - jax.lax.stop_gradient(log_q))
        return found._replace(log_likelihood=found.log_likelihood + surrogate)


def stop_draws(key, params, model, guide, args, kwargs):
    """Run both programs, with no gradient through the draws."""
    model_key, guide_key = jax.random.split(key)
    drawn = trace_guide(guide_key, params, guide, args, kwargs)
    z = {name: jax.lax.stop_gradient(drawn[name]["value"]) for name in latent_sites(drawn)}
    again = trace_guide(guide_key, {**params, **z}, guide, args, kwargs)
    return again, trace_model(model_key, params, model, again, args, kwargs)
