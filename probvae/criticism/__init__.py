"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism import inference_gap, reference_chains
from probvae.criticism.datatree import to_datatree
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.inference_gap import InferenceGap
from probvae.criticism.reference_chains import ReferenceChains

__all__ = [
    "FactorScore",
    "InferenceGap",
    "InformationGap",
    "ReferenceChains",
    "factor_vae_score",
    "inference_gap",
    "mutual_information_gap",
    "reference_chains",
    "to_datatree",
]
