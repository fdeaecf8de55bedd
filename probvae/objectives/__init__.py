"""Objectives: what SVI minimises. NumPyro's own are accepted wherever they are right."""

from probvae.objectives.elbo import ELBO
from probvae.objectives.estimators import STL, AbstractEstimator, DReG
from probvae.objectives.iwae import IWAE, Renyi
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.schedules import CosineWarmUp, Cyclical
from probvae.objectives.terms import Terms, terms

__all__ = [
    "AbstractEstimator",
    "AbstractObjective",
    "CosineWarmUp",
    "Cyclical",
    "DReG",
    "ELBO",
    "IWAE",
    "Renyi",
    "STL",
    "Terms",
    "terms",
]
