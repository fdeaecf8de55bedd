"""Distributions that NumPyro lacks, or whose NumPyro version loses digits or gradients."""

from probvae.distributions import kl as kl  # registers closed forms
from probvae.distributions.autoregressive import Autoregressive
from probvae.distributions.bernoulli import BernoulliLogits
from probvae.distributions.categorical import CategoricalLevels
from probvae.distributions.column_blocks import Blocks
from probvae.distributions.concrete import ExpConcrete
from probvae.distributions.continuous_bernoulli import ContinuousBernoulli
from probvae.distributions.counts import NegativeBinomialLogMean, PoissonLogMean
from probvae.distributions.discrete_codes import Bits, OneHotCategorical
from probvae.distributions.discretized_logistic import DiscretizedLogistic
from probvae.distributions.features import FeatureDistance
from probvae.distributions.gamma import GammaLogMean
from probvae.distributions.log_bounds import bound_scale, soft_clip
from probvae.distributions.missing_entries import MissingEntries, is_reparametrised
from probvae.distributions.mixture import NormalMixture, mixture
from probvae.distributions.multinomial import MultinomialLogShares
from probvae.distributions.normal import diagonal_normal
from probvae.distributions.pareto_tail import pareto_tail_shape
from probvae.distributions.partly_observed import PartlyObserved, partly_observed
from probvae.distributions.point_estimates import (
    find_averages,
    find_centre,
    merge_averages,
    probabilities,
)
from probvae.distributions.rounded import RoundedLogNormal, RoundedNormal
from probvae.distributions.sphere import PowerSpherical, SphericalUniform

__all__ = [
    "Autoregressive",
    "BernoulliLogits",
    "Bits",
    "Blocks",
    "CategoricalLevels",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "ExpConcrete",
    "FeatureDistance",
    "GammaLogMean",
    "MultinomialLogShares",
    "MissingEntries",
    "NegativeBinomialLogMean",
    "NormalMixture",
    "OneHotCategorical",
    "PartlyObserved",
    "PoissonLogMean",
    "PowerSpherical",
    "RoundedLogNormal",
    "RoundedNormal",
    "SphericalUniform",
    "bound_scale",
    "diagonal_normal",
    "find_averages",
    "find_centre",
    "is_reparametrised",
    "merge_averages",
    "mixture",
    "pareto_tail_shape",
    "partly_observed",
    "probabilities",
    "soft_clip",
]
