"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism import annealing, calibration, pareto
from probvae.criticism.annealer import AnnealedEvidence
from probvae.criticism.annealing import Bracket
from probvae.criticism.bits import bits_per_dimension
from probvae.criticism.calibration import Calibration, SiteCalibration
from probvae.criticism.datatree import to_datatree
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.pareto import ParetoShape

__all__ = [
    "AnnealedEvidence",
    "Bracket",
    "Calibration",
    "FactorScore",
    "InformationGap",
    "ParetoShape",
    "SiteCalibration",
    "annealing",
    "bits_per_dimension",
    "calibration",
    "factor_vae_score",
    "mutual_information_gap",
    "pareto",
    "to_datatree",
]
