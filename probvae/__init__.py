"""ProbVAE: variational autoencoders as NumPyro programs made of swappable parts."""

from probvae import data, flows, guides, likelihoods, nets, objectives, priors
from probvae._version import __version__ as __version__
from probvae.criticism import Diagnosis, diagnose, to_datatree
from probvae.evidence import Batch, BoundEstimate
from probvae.fitted import (
    DecoderPrior,
    Fitted,
    History,
    Imputed,
    Incident,
    Samples,
    Sweep,
    latent_paths,
    load,
    point_weights,
)
from probvae.training import (
    AbstractRecovery,
    Checkpoints,
    DataParallel,
    EarlyStopping,
    HalveRate,
    LostProcessError,
    MovingAverage,
    NonFiniteLossError,
    SkipBatch,
    callbacks,
    fit,
    refit,
    sweep,
    transfer_params,
)
from probvae.vae import VAE
from probvae.variant import Variant

__all__ = [
    "AbstractRecovery",
    "Batch",
    "BoundEstimate",
    "Checkpoints",
    "DataParallel",
    "DecoderPrior",
    "Diagnosis",
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
    "VAE",
    "Variant",
    "callbacks",
    "data",
    "diagnose",
    "fit",
    "flows",
    "guides",
    "latent_paths",
    "likelihoods",
    "load",
    "nets",
    "objectives",
    "point_weights",
    "priors",
    "refit",
    "sweep",
    "to_datatree",
    "transfer_params",
]
