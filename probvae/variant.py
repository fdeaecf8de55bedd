"""``Variant``: the result of a file in ``models/``, a VAE with its paper's training settings."""

from typing import Any, NamedTuple

import optax

from probvae.short_repr import short_repr
from probvae.typing import Params
from probvae.vae import VAE


@short_repr
class Variant(NamedTuple):
    """A VAE with recommended settings. None means the default of ``fit``.

    Attributes:
        vae: the VAE.
        objective: a ``numpyro.infer`` ELBO or one of ``objectives``.
        optimizer: an optax optimizer.
        epochs: passes through the training data.
        batch_size: data per step.
        init_params: initial parameters, by site.
    """

    vae: VAE
    objective: Any = None
    optimizer: optax.GradientTransformation | None = None
    epochs: int | None = None
    batch_size: int | None = None
    init_params: Params | None = None
