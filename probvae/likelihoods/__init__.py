"""Likelihoods: the family of p(x|z), normalising constant included."""

from probvae.likelihoods.bernoulli import Bernoulli
from probvae.likelihoods.gaussian import Gaussian
from probvae.likelihoods.scales import FixedScale, LearnedScale, OptimalScale, PixelScale

__all__ = ["Bernoulli", "FixedScale", "Gaussian", "LearnedScale", "OptimalScale", "PixelScale"]
