"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism import pareto
from probvae.criticism.datatree import to_datatree
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.pareto import ParetoShape

__all__ = [
    "FactorScore",
    "InformationGap",
    "ParetoShape",
    "factor_vae_score",
    "mutual_information_gap",
    "pareto",
    "to_datatree",
]
