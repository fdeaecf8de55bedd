"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism.datatree import to_datatree
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.predictive import PredictiveChecks, predictive_checks
from probvae.criticism.typicality import Typicality, typicality

__all__ = [
    "FactorScore",
    "InformationGap",
    "PredictiveChecks",
    "Typicality",
    "factor_vae_score",
    "mutual_information_gap",
    "predictive_checks",
    "to_datatree",
    "typicality",
]
