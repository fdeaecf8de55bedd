"""Priors: p(z)."""

from probvae.priors.gaussian_mixture import GaussianMixture
from probvae.priors.learned_normal import LearnedNormal
from probvae.priors.standard_normal import StandardNormal
from probvae.priors.vamp import VampPrior

__all__ = ["GaussianMixture", "LearnedNormal", "StandardNormal", "VampPrior"]
