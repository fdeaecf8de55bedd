"""Priors p(z): the distributions of the code before you see any data."""

from probvae.priors.autoregressive_normal import AutoregressiveNormal
from probvae.priors.bernoulli import Bernoulli
from probvae.priors.categorical import Categorical
from probvae.priors.class_and_style import ClassAndStyle
from probvae.priors.conditional import ConditionalNormal
from probvae.priors.flow import Flow
from probvae.priors.gaussian_mixture import GaussianMixture
from probvae.priors.ladder import Ladder
from probvae.priors.learned_normal import LearnedNormal
from probvae.priors.relaxed import RelaxedBernoulli, RelaxedCategorical
from probvae.priors.standard_normal import StandardNormal
from probvae.priors.student_t import StudentT
from probvae.priors.two_level import TwoLevel
from probvae.priors.uniform_sphere import UniformSphere
from probvae.priors.vamp import VampPrior

__all__ = [
    "AutoregressiveNormal",
    "Bernoulli",
    "Categorical",
    "ClassAndStyle",
    "ConditionalNormal",
    "Flow",
    "GaussianMixture",
    "Ladder",
    "LearnedNormal",
    "RelaxedBernoulli",
    "RelaxedCategorical",
    "StandardNormal",
    "StudentT",
    "TwoLevel",
    "UniformSphere",
    "VampPrior",
]
