"""Guides q(z|x): the families of the approximate posterior."""

from probvae.guides.bernoulli import Bernoulli
from probvae.guides.categorical import Categorical
from probvae.guides.class_and_style import ClassAndStyle
from probvae.guides.flow import Flow
from probvae.guides.full_rank import FullRank
from probvae.guides.ladder import Ladder
from probvae.guides.low_rank import LowRank
from probvae.guides.mean_field import MeanField
from probvae.guides.point_mass import PointMass
from probvae.guides.power_spherical import PowerSpherical
from probvae.guides.relaxed import RelaxedBernoulli, RelaxedCategorical
from probvae.guides.semi_amortized import SemiAmortized
from probvae.guides.two_level import TwoLevelBottomUp, TwoLevelTopDown

__all__ = [
    "Bernoulli",
    "Categorical",
    "ClassAndStyle",
    "Flow",
    "FullRank",
    "Ladder",
    "LowRank",
    "MeanField",
    "PointMass",
    "PowerSpherical",
    "RelaxedBernoulli",
    "RelaxedCategorical",
    "SemiAmortized",
    "TwoLevelBottomUp",
    "TwoLevelTopDown",
]
