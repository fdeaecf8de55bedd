"""A check of batch normalisation with batches of one row, of which it leaves nothing."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from probvae.compilation import hold_trace_lock
from probvae.tracing import trace_structure
from probvae.typing import PyTree
from probvae.vae import VAE

STATISTICS = {"mean", "var"}  # the names of BatchNorm's running state, in NNX and in linen


def check_batch_statistics(vae: VAE, batch_size: int) -> None:
    """Raise ValueError if BatchNorm maps every batch of one row to the same values.

    The mean of one row is the row itself. BatchNorm in training mode then leaves nothing of the row,
    unless the mean is over more, such as the pixels of an image. So the net is tried on two rows.
    """
    if batch_size > 1:
        return
    for name, state in trace_structure(vae).state.items():
        role = name.split("$")[0]
        if role in vae.frozen or not _has_statistics(state):
            continue
        if role not in ("encoder", "decoder") or not _depends_on_input(vae, role):
            raise ValueError(
                f"batch_size=1 and BatchNorm in the {role} are incompatible. The mean of one row is "
                "the row itself, so BatchNorm leaves nothing to learn from. Use batch_size=20 or more, "
                "or a norm within each row: norm=nnx.LayerNorm."
            )


def _has_statistics(state: PyTree) -> bool:
    if not isinstance(state, Mapping):
        return False
    return state.keys() >= STATISTICS or any(map(_has_statistics, state.values()))


def _depends_on_input(vae: VAE, role: str) -> bool:
    """Return whether a new net in training mode tells apart two batches of one row."""
    shape = vae.event_shape if role == "encoder" else (vae.prior.code_dim(vae.latent_dim),)
    context = jnp.zeros((1, *vae.context_shape)) if vae.context_shape else None
    run = vae.run_encoder if role == "encoder" else vae.p_x

    def output(key: jax.Array) -> list[np.ndarray]:
        with hold_trace_lock(), handlers.seed(rng_seed=0):
            return jax.device_get(jax.tree.leaves(run(jax.random.uniform(key, (1, *shape)), context)))

    one, two = (output(key) for key in jax.random.split(jax.random.key(0)))
    return any(not np.allclose(a, b, rtol=1e-4) for a, b in zip(one, two, strict=True))
