"""A fitted VAE from its file."""

import os

from probvae.training import store
from probvae.training.fitted import Fitted
from probvae.vae import VAE


def load(path: str | os.PathLike, vae: VAE) -> Fitted:
    """Read what :meth:`Fitted.save` wrote, for the VAE that it was written from.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is damaged or of another kind, or was saved from another VAE
            (names and shapes of all sites are compared).
    """
    return Fitted(vae, *store.load(path, vae))
