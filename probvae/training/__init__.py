"""Training: fit and what serves it."""

from probvae.training.fit import NonFiniteLossError, fit
from probvae.training.fitted import Fitted, Samples, load
from probvae.training.history import History

__all__ = ["Fitted", "History", "NonFiniteLossError", "Samples", "fit", "load"]
