"""Training: fit and what serves it."""

from probvae.training.fit import NonFiniteLossError, fit
from probvae.training.fitted import Fitted
from probvae.training.history import History
from probvae.training.queries import Imputed, Samples
from probvae.training.saved import load

__all__ = ["Fitted", "History", "Imputed", "NonFiniteLossError", "Samples", "fit", "load"]
