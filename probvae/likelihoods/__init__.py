"""Likelihoods p(x|z): families for data of many kinds, each with its normalising constant."""

from probvae.likelihoods.autoregressive import Autoregressive
from probvae.likelihoods.bernoulli import Bernoulli
from probvae.likelihoods.beta import Beta
from probvae.likelihoods.categorical import Categorical
from probvae.likelihoods.continuous_bernoulli import ContinuousBernoulli
from probvae.likelihoods.count_means import FreeMean, LibrarySize
from probvae.likelihoods.delta import Delta
from probvae.likelihoods.discretized_logistic import (
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
)
from probvae.likelihoods.gamma import Gamma
from probvae.likelihoods.gaussian import Gaussian
from probvae.likelihoods.joint import Joint
from probvae.likelihoods.laplace import Laplace
from probvae.likelihoods.log_normal import LogNormal
from probvae.likelihoods.missingness import MaskingNet, SelfMasking
from probvae.likelihoods.multinomial import Multinomial
from probvae.likelihoods.negative_binomial import NegativeBinomial
from probvae.likelihoods.not_at_random import NotAtRandom
from probvae.likelihoods.ordinal import Ordinal
from probvae.likelihoods.perceptual import PerceptualDistance
from probvae.likelihoods.poisson import Poisson
from probvae.likelihoods.rounded import Rounded
from probvae.likelihoods.scales import ColumnScale, FixedScale, LearnedScale, OptimalScale, PixelScale
from probvae.likelihoods.spread import Spread
from probvae.likelihoods.standardized import Standardized
from probvae.likelihoods.student_t import StudentT
from probvae.likelihoods.zero_inflated import ZeroInflatedNegativeBinomial

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Beta",
    "Categorical",
    "ColumnScale",
    "ContinuousBernoulli",
    "Delta",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "FixedScale",
    "FreeMean",
    "Gamma",
    "Gaussian",
    "Joint",
    "Laplace",
    "LearnedScale",
    "LibrarySize",
    "LogNormal",
    "Multinomial",
    "MaskingNet",
    "NegativeBinomial",
    "NotAtRandom",
    "OptimalScale",
    "Ordinal",
    "PerceptualDistance",
    "PixelScale",
    "Poisson",
    "Rounded",
    "SelfMasking",
    "Spread",
    "Standardized",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
]
