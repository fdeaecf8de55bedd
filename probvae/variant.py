"""What a file of `models/` returns: a VAE, with the settings that its paper's idea asks for."""

from typing import Any, NamedTuple

import optax

from probvae.typing import Params
from probvae.vae import VAE


class Variant(NamedTuple):
    """A VAE and the settings recommended with it; None leaves ``fit`` its default.

    Attributes:
        vae: the VAE.
        objective: a ``numpyro.infer`` ELBO, where the idea is in it.
        optimizer: an optax optimizer, where the idea is in it.
        epochs: passes through the training data.
        batch_size: data per step.
        init_params: values to start from, by site.
    """

    vae: VAE
    objective: Any = None
    optimizer: optax.GradientTransformation | None = None
    epochs: int | None = None
    batch_size: int | None = None
    init_params: Params | None = None
