"""Objectives: the bounds that ``fit`` and NumPyro's SVI maximise. NumPyro's own work, too."""

from probvae.objectives.adversarial import AdversarialELBO, Discriminator
from probvae.objectives.beta_tc import AbstractSampling, BetaTC, MinibatchStratified, MinibatchWeighted
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
    FixedWidth,
    InverseMultiquadratic,
    MedianWidth,
)
from probvae.objectives.multi_rate import MultiRate
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.schedules import CosineWarmUp, CyclicalSchedule
from probvae.objectives.semi_supervised import SemiSupervisedELBO
from probvae.objectives.terms import Terms, terms

__all__ = [
    "AbstractEstimator",
    "AbstractGroups",
    "AbstractKernel",
    "AbstractObjective",
    "AbstractSampling",
    "AbstractWidth",
    "AdversarialELBO",
    "BetaTC",
    "Capacity",
    "CosineWarmUp",
    "CyclicalSchedule",
    "DReG",
    "Discriminator",
    "ELBO",
    "FactorVAE",
    "FixedWidth",
    "FreeBits",
    "IWAE",
    "InfoVAE",
    "InverseMultiquadratic",
    "MedianWidth",
    "MinibatchStratified",
    "MinibatchWeighted",
    "MultiRate",
    "PerSite",
    "PerUnit",
    "RBF",
    "Renyi",
    "STL",
    "SemiSupervisedELBO",
    "Terms",
    "terms",
]
