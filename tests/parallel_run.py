"""A fit over devices and processes, in a process of its own: for test_devices.py and test_processes.py."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from probvae import VAE, Checkpoints, DataParallel, SkipBatch, fit, join, likelihoods, nets, priors

SHAPE = (4, 3)


def vae(*, stateful):
    scale = likelihoods.OptimalScale() if stateful else likelihoods.FixedScale(1.0)
    return VAE(
        event_shape=SHAPE,
        latent_dim=2,
        prior=priors.VampPrior(components=3) if stateful else priors.StandardNormal(),
        likelihood=likelihoods.Gaussian(scale=scale),
        encoder=nets.MLP((8,)),
        decoder=nets.MLP((8,)),
    )


def data(n, seed):
    return (
        np.random.default_rng(seed).normal(size=(n, *SHAPE)).astype(float).astype(jnp.zeros(()).dtype)
    )


def parameters(model):
    """Values to start from in the precision in use, which that of the nets' own start is not."""
    draw = np.random.default_rng(4).normal
    params = join.structure(model).params
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * draw(size=leaf.shape), float), params)


def fitted(*, stateful=False, impl=None, **options):
    """163 data, so that shares are not equal, and 20 steps of 8 in an epoch; 3 wait."""
    model = vae(stateful=stateful)
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
    options = {"heartbeat_timeout_seconds": 10, "shutdown_timeout_seconds": 20}
    jax.distributed.initialize(
        at["coordinator"], at["processes"], at["process"], local_device_ids=None, **options
    )


def main(out, told):
    told = json.loads(told)
    jax.config.update("jax_disable_most_optimizations", True)  # as in the tests' own process
    jax.config.update("jax_enable_x64", told.pop("x64", False))
    if at := told.pop("at", None):
        joined(at)
    used = told.pop("used", None)
    folder = told.pop("checkpoints", None)
    if folder is not None:
        told["checkpoints"] = Checkpoints(folder, seconds=0.0)
    if told.pop("skip", False):
        told["recovery"] = SkipBatch()
    np.savez(out, **series(fitted(devices=DataParallel(jax.devices()[:used]), **told)))


if __name__ == "__main__":
    main(*sys.argv[1:])
