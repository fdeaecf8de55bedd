"""Methods of a distribution, and whole calls, as one compiled program each.

Called eagerly, every operation inside them is compiled alone, for every shape: most of a test's time.
"""

from functools import partial

import jax
import numpy as np
from flax import nnx
from numpyro import handlers

from probvae import objectives
from probvae.nets import module
from probvae.tracing import trace_structure


@jax.jit
def log_prob(p, value):
    """Return log p(value)."""
    return p.log_prob(value)


@partial(jax.jit, static_argnums=2)
def sample(p, key, shape=()):
    """Return draws, ``(*shape, *batch_shape, *event_shape)``."""
    return p.sample(key, shape)


@jax.jit
def mean(p):
    """Return the mean."""
    return p.mean


@jax.jit
def moments(p):
    """Return mean and variance."""
    return p.mean, p.variance


def run(function, *args):
    """Return the value of a call that is compiled as one program."""
    return jax.jit(lambda *args: function(*args))(*args)  # a support is not hashable


def structure(program, *args, **options):
    """Return the trace of a program that is run on shapes alone: no value in it may be read."""
    found = {}
    jax.eval_shape(
        lambda: found.update(handlers.trace(handlers.seed(program, 0)).get_trace(*args, **options))
    )
    return found


@partial(jax.jit, static_argnums=(2, 3), static_argnames=("closed_form", "num_data"))
def terms(rng_key, values, model, guide, *data, closed_form=True, **kwargs):
    """Return the terms of one particle."""
    return objectives.terms(rng_key, values, model, guide, *data, closed_form=closed_form, **kwargs)


@partial(jax.jit, static_argnums=(0, 3), static_argnames="num_data")
def loss(objective, rng_key, values, vae, *data, **kwargs):
    """Return an objective's loss."""
    return objective.loss(rng_key, values, vae.model, vae.guide, *data, **kwargs)


def build(recipe, in_shape, out_shape, rng_key):
    """Return the net of a recipe, its weights drawn by one program."""

    def make(rng_key):
        return module.build(recipe, in_shape, out_shape, rng_key)

    graph, _ = nnx.split(nnx.eval_shape(make, rng_key))
    return nnx.merge(graph, jax.jit(lambda rng_key: nnx.state(make(rng_key)))(rng_key))


def random_values(vae, scale=0.3):
    """Return values of all parameters, drawn by NumPy."""
    noise = np.random.default_rng(0)
    shapes = trace_structure(vae).params
    return jax.tree.map(lambda a: (scale * noise.normal(size=a.shape)).astype(a.dtype), shapes)
