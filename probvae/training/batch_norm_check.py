"""Nets that normalise by the batch: a batch of one row leaves nothing of it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from probvae.compilation import hold_trace_lock
from probvae.tracing import trace_structure

STATISTICS = {"mean", "var"}  # the names of BatchNorm's running state, in NNX and in linen


def check_batch_statistics(vae: Any, batch_size: int) -> None:
    """Raise where batches of one row are normalised to nothing.

    The mean of one row is the row itself. After BatchNorm in training mode nothing of the row is left,
    unless the mean is over more, such as the pixels of an image. So the net is tried on two rows.

    Raises:
        ValueError: it names BatchNorm and what to do.
    """
    if batch_size > 1:
        return
    for name, state in trace_structure(vae).state.items():
        role = name.split("$")[0]
        if role in vae.frozen or not _has_statistics(state):
            continue
        if role not in ("encoder", "decoder") or not _sees_its_input(vae, role):
            raise ValueError(
                f"batch_size=1 and BatchNorm in the {role} do not fit: the mean of one row is the row "
                "itself, so that after BatchNorm nothing of it is left to learn from. Take "
                "batch_size=20 or more, or a norm within each row: norm=nnx.LayerNorm."
            )


def _has_statistics(state: Any) -> bool:
    if not isinstance(state, Mapping):
        return False
    return state.keys() >= STATISTICS or any(map(_has_statistics, state.values()))


def _sees_its_input(vae: Any, role: str) -> bool:
    """Say whether a net in training mode tells two batches of one row apart, at its start."""
    shape = vae.event_shape if role == "encoder" else (vae.prior.code_dim(vae.latent_dim),)
    context = jnp.zeros((1, *vae.context_shape)) if vae.context_shape else None
    run = vae.encoded if role == "encoder" else vae.p_x

    def output(key: jax.Array) -> list[np.ndarray]:
        with hold_trace_lock(), handlers.seed(rng_seed=0):
            return jax.device_get(jax.tree.leaves(run(jax.random.uniform(key, (1, *shape)), context)))

    one, two = (output(key) for key in jax.random.split(jax.random.key(0)))
    return any(not np.allclose(a, b, rtol=1e-4) for a, b in zip(one, two, strict=True))
