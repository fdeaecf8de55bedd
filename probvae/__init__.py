"""ProbVAE: variational autoencoders as NumPyro programs made of swappable parts."""

__version__ = "0.1.0"

from probvae import data, flows, guides, likelihoods, nets, objectives, priors
from probvae.criticism import Diagnosis, diagnose, to_datatree
from probvae.evidence import Batch, Evidence
from probvae.training import (
    AbstractRecovery,
    Checkpoints,
    DataParallel,
    DecoderPrior,
    EarlyStopping,
    Fitted,
    HalveRate,
    History,
    Imputed,
    Incident,
    MovingAverage,
    NonFiniteLossError,
    Samples,
    SkipBatch,
    Sweep,
    callbacks,
    fit,
    load,
    paths,
    point_weights,
    refit,
    shared_params,
    sweep,
)
from probvae.vae import VAE
from probvae.variant import Variant

__all__ = [
    "AbstractRecovery",
    "Batch",
    "Checkpoints",
    "DataParallel",
    "DecoderPrior",
    "Diagnosis",
    "EarlyStopping",
    "Evidence",
    "Fitted",
    "HalveRate",
    "History",
    "Imputed",
    "Incident",
    "MovingAverage",
    "NonFiniteLossError",
    "Samples",
    "SkipBatch",
    "Sweep",
    "VAE",
    "Variant",
    "callbacks",
    "data",
    "diagnose",
    "fit",
    "flows",
    "guides",
    "likelihoods",
    "load",
    "nets",
    "objectives",
    "paths",
    "point_weights",
    "priors",
    "refit",
    "shared_params",
    "sweep",
    "to_datatree",
]
