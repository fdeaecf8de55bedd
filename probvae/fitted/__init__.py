"""A fitted VAE: queries, saving and loading, training history."""

from probvae.fitted.decoder_prior import DecoderPrior
from probvae.fitted.fitted import Fitted, load, point_weights
from probvae.fitted.history import History, Incident
from probvae.fitted.imputation import Imputed, Interval
from probvae.fitted.pooling import Pooled
from probvae.fitted.queries import Samples
from probvae.fitted.sweep import Sweep

__all__ = [
    "DecoderPrior",
    "Fitted",
    "History",
    "Imputed",
    "Incident",
    "Interval",
    "Pooled",
    "Samples",
    "Sweep",
    "load",
    "point_weights",
]
