"""Training: fit and what serves it."""

from probvae.training.average import MovingAverage
from probvae.training.checkpoints import Checkpoints
from probvae.training.decoder_prior import DecoderPrior
from probvae.training.devices import DataParallel
from probvae.training.finite import NonFiniteLossError
from probvae.training.fit import fit
from probvae.training.fitted import Fitted
from probvae.training.history import History
from probvae.training.point_weights import point_weights
from probvae.training.processes import LostProcessError
from probvae.training.queries import Imputed, Samples
from probvae.training.recovery import AbstractRecovery, HalveRate, Incident, SkipBatch
from probvae.training.refit import refit
from probvae.training.saved import load
from probvae.training.stopping import EarlyStopping
from probvae.training.sweep import sweep
from probvae.training.sweep_result import Sweep
from probvae.training.warm_start import shared_params

__all__ = [
    "AbstractRecovery",
    "Checkpoints",
    "DataParallel",
    "DecoderPrior",
    "EarlyStopping",
    "Fitted",
    "HalveRate",
    "History",
    "Imputed",
    "Incident",
    "LostProcessError",
    "MovingAverage",
    "NonFiniteLossError",
    "Samples",
    "SkipBatch",
    "Sweep",
    "fit",
    "load",
    "point_weights",
    "refit",
    "shared_params",
    "sweep",
]
