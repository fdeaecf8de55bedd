"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism.convergence import Convergence, convergence
from probvae.criticism.datatree import to_datatree
from probvae.criticism.decoder import Response, response
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.population import Holes, Surgery, elbo_surgery, holes
from probvae.criticism.units import Units, units

__all__ = [
    "Convergence",
    "FactorScore",
    "Holes",
    "InformationGap",
    "Response",
    "Surgery",
    "Units",
    "convergence",
    "elbo_surgery",
    "factor_vae_score",
    "holes",
    "mutual_information_gap",
    "response",
    "to_datatree",
    "units",
]
