"""A fitted VAE: queries, saving and loading, training history."""

from probvae.fitted.decoder_prior import DecoderPrior
from probvae.fitted.fitted import Fitted, load, point_weights
from probvae.fitted.history import History, Incident
from probvae.fitted.queries import Imputed, Samples
from probvae.fitted.sweep import Sweep

__all__ = [
    "DecoderPrior",
    "Fitted",
    "History",
    "Imputed",
    "Incident",
    "Samples",
    "Sweep",
    "load",
    "point_weights",
]
