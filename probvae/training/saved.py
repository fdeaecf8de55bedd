"""A fitted VAE from its file."""

import os

from probvae.fields import PATH, check_kind
from probvae.training import checks, store
from probvae.training.fitted import Fitted
from probvae.vae import VAE


def load(path: str | os.PathLike, vae: VAE) -> Fitted:
    """Read what ``Fitted.save`` wrote, for the VAE that it was written from.

    Args:
        path: the file.
        vae: the VAE, made anew by the same code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is damaged or of another kind, or was saved from another VAE. All
            parts and their fields are compared, and the names and shapes of all sites. The error names
            what differs.
    """
    checks.check_vae("load", vae)
    check_kind("path", path, PATH)
    values, history, description = store.load(path, vae)
    return Fitted(vae, values, history, data=description)
