"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism.datatree import to_datatree
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)

__all__ = [
    "FactorScore",
    "InformationGap",
    "factor_vae_score",
    "mutual_information_gap",
    "to_datatree",
]
