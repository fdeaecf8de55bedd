"""Training: ``fit``, ``refit`` and ``sweep``, with their settings."""

from probvae.training.averaging import MovingAverage
from probvae.training.bad_steps import NonFiniteLossError
from probvae.training.checkpointing.checkpoints import Checkpoints
from probvae.training.early_stopping import EarlyStopping
from probvae.training.fit import fit
from probvae.training.initial_values import transfer_params
from probvae.training.parallel.devices import DataParallel
from probvae.training.parallel.processes import LostProcessError
from probvae.training.recovery import AbstractRecovery, HalveRate, SkipBatch
from probvae.training.refit import refit
from probvae.training.sweeps.sweep import sweep

__all__ = [
    "AbstractRecovery",
    "Checkpoints",
    "DataParallel",
    "EarlyStopping",
    "HalveRate",
    "LostProcessError",
    "MovingAverage",
    "NonFiniteLossError",
    "SkipBatch",
    "fit",
    "refit",
    "sweep",
    "transfer_params",
]
