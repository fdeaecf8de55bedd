"""A fit over devices and processes, in a process of its own: for test_devices.py."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from probvae import VAE, Checkpoints, DataParallel, EarlyStopping, fit, likelihoods, nets, priors
from probvae.tracing import trace_structure

SHAPE = (4, 3)


def vae(*, stateful, norm=None):
    scale = likelihoods.OptimalScale() if stateful else likelihoods.FixedScale(1.0)
    return VAE(
        event_shape=SHAPE,
        latent_dim=2,
        prior=priors.VampPrior(components=3) if stateful else priors.StandardNormal(),
        likelihood=likelihoods.Gaussian(scale=scale),
        encoder=nets.MLP((8,), norm=norm and nnx.BatchNorm),
        decoder=nets.MLP((8,)),
    )


def data(n, seed):
    return (
        np.random.default_rng(seed).normal(size=(n, *SHAPE)).astype(float).astype(jnp.zeros(()).dtype)
    )


def parameters(model):
    """Values to start from in the precision in use, which that of the nets' own start is not."""
    draw = np.random.default_rng(4).normal
    params = trace_structure(model).params
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * draw(size=leaf.shape), float), params)


def fitted(*, stateful=False, impl=None, norm=False, **options):
    """163 data, so that shares are not equal, and 20 steps of 8 in an epoch; 3 wait."""
    model = vae(stateful=stateful, norm=norm or None)
    told = {"validation": data(21, 1), "rng_key": jax.random.key(3, impl=impl), "batch_size": 8}
    told |= {"optimizer": optax.adam(1e-2), "progress": False, "epochs": 10}
    return fit(model, data(163, 0), init_params=parameters(model), **told | options)


def series(found):
    """What a run comes to, as arrays."""
    leaves = [np.asarray(leaf, float).ravel() for leaf in jax.tree.leaves(found.values)]
    history = {"loss": found.history.steps["loss"], "elbo": found.history.validation["elbo"]}
    return {**history, "values": np.concatenate(leaves)}


def joined(at):
    """Become one of several processes."""
    waits = {"heartbeat_timeout_seconds": 20, "shutdown_timeout_seconds": 60}
    jax.distributed.initialize(at["coordinator"], at["processes"], at["process"], **waits)


def done(job):
    """A fit over all devices, from a job in words."""
    folder, x64 = job.pop("checkpoints", None), job.pop("x64", True)
    if folder is not None:
        job["checkpoints"] = Checkpoints(folder, seconds=0.0)
    if job.pop("stops", False):
        job["early_stopping"] = EarlyStopping(3)
    with jax.enable_x64(x64):
        return series(fitted(devices=DataParallel(), **job))


def main(out, at, jobs):
    jax.config.update("jax_disable_most_optimizations", True)  # as in the tests' own process
    if at := json.loads(at):
        joined(at)
    found = [done(job) for job in json.loads(jobs)]
    np.savez(out, **{f"{i} {name}": each[name] for i, each in enumerate(found) for name in each})


if __name__ == "__main__":
    main(*sys.argv[1:])
