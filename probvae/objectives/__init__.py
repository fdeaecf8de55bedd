"""Objectives: what SVI minimises. NumPyro's own are accepted wherever they are right."""

from probvae.objectives.adversarial import Adversarial, Discriminator
from probvae.objectives.beta_tc import AbstractSampling, BetaTC, Stratified, Weighted
from probvae.objectives.capacity import Capacity
from probvae.objectives.elbo import ELBO
from probvae.objectives.estimators import STL, AbstractEstimator, DReG
from probvae.objectives.factor_vae import FactorVAE
from probvae.objectives.free_bits import AbstractGroups, FreeBits, PerSite, PerUnit
from probvae.objectives.info_vae import InfoVAE
from probvae.objectives.iwae import IWAE, Renyi
from probvae.objectives.kernels import (
    RBF,
    AbstractKernel,
    AbstractWidth,
    Fixed,
    InverseMultiquadratic,
    Median,
)
from probvae.objectives.multi_rate import MultiRate
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.schedules import CosineWarmUp, Cyclical
from probvae.objectives.semi_supervised import SemiSupervised
from probvae.objectives.terms import Terms, terms

__all__ = [
    "AbstractEstimator",
    "AbstractGroups",
    "AbstractKernel",
    "AbstractObjective",
    "AbstractSampling",
    "AbstractWidth",
    "Adversarial",
    "BetaTC",
    "Capacity",
    "CosineWarmUp",
    "Cyclical",
    "DReG",
    "Discriminator",
    "ELBO",
    "FactorVAE",
    "Fixed",
    "FreeBits",
    "IWAE",
    "InfoVAE",
    "InverseMultiquadratic",
    "Median",
    "MultiRate",
    "PerSite",
    "PerUnit",
    "RBF",
    "Renyi",
    "STL",
    "SemiSupervised",
    "Stratified",
    "Terms",
    "Weighted",
    "terms",
]
