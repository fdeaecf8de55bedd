"""Every public part, by role: the one list that the contract tests run over.

Zero-argument constructors, so that nothing is built at import. To add a part: one line here.
"""

import jax.numpy as jnp
import parts
from flax import nnx

from probvae import data, flows, guides, likelihoods, nets, objectives, priors

PRIORS = {
    "StandardNormal": lambda: priors.StandardNormal(),
    "LearnedNormal": lambda: priors.LearnedNormal(),
    "GaussianMixture": lambda: priors.GaussianMixture(components=3),
    "VampPrior": lambda: priors.VampPrior(components=3),
    "VampPrior(learned_weights)": lambda: priors.VampPrior(components=3, learned_weights=True),
    "Flow(Coupling)": lambda: priors.Flow(flows.Coupling(nets.MLP((8,))), depth=1),
    "Flow(Autoregressive)": lambda: priors.Flow(flows.Autoregressive((8,)), depth=2),
    "Flow(SplineCoupling)": lambda: priors.Flow(flows.SplineCoupling(4, net=nets.MLP((8,))), depth=1),
    "StudentT": lambda: priors.StudentT(),
    "AutoregressiveNormal": lambda: priors.AutoregressiveNormal(delta=0.5),
    "ConditionalNormal": lambda: priors.ConditionalNormal(nets.MLP((8,))),
    "TwoLevel": lambda: priors.TwoLevel(net=nets.MLP((8,))),
    "TwoLevel(VampPrior)": lambda: priors.TwoLevel(priors.VampPrior(3), nets.MLP((8,))),
    "Ladder": lambda: priors.Ladder(3, width=6, net=nets.MLP((8,))),
    "Bernoulli": lambda: priors.Bernoulli(),
    "Bernoulli(learned)": lambda: priors.Bernoulli(learned=True),
    "Categorical": lambda: priors.Categorical(learned=True),
    "ClassAndStyle": lambda: priors.ClassAndStyle(2),
    "ClassAndStyle(ConditionalNormal)": lambda: priors.ClassAndStyle(
        2, priors.ConditionalNormal(nets.MLP((8,))), learned=True
    ),
    "RelaxedBernoulli": lambda: priors.RelaxedBernoulli(),
    "RelaxedCategorical": lambda: priors.RelaxedCategorical(),
    "UniformSphere": lambda: priors.UniformSphere(),
}
GUIDES = {
    "MeanField": lambda: guides.MeanField(),
    "FullRank": lambda: guides.FullRank(),
    "LowRank": lambda: guides.LowRank(rank=1),
    "Flow(Autoregressive)": lambda: guides.Flow(flows.Autoregressive((8,))),
    "Flow(Coupling)": lambda: guides.Flow(flows.Coupling(nets.MLP((8,))), depth=1),
    "TwoLevelTopDown": lambda: guides.TwoLevelTopDown(nets.MLP((8,))),
    "TwoLevelBottomUp": lambda: guides.TwoLevelBottomUp(nets.MLP((8,))),
    "Ladder": lambda: guides.Ladder(6, bottom_up=nets.MLP((8,)), message=nets.MLP((8,))),
    "Bernoulli": lambda: guides.Bernoulli(),
    "Categorical": lambda: guides.Categorical(),
    "ClassAndStyle": lambda: guides.ClassAndStyle(2, net=nets.MLP((8,))),
    "RelaxedBernoulli": lambda: guides.RelaxedBernoulli(),
    "RelaxedCategorical": lambda: guides.RelaxedCategorical(),
    "SemiAmortized": lambda: guides.SemiAmortized(steps=2),
    "PointMass": lambda: guides.PointMass(),
    "PowerSpherical": lambda: guides.PowerSpherical(),
}
LIKELIHOODS = {
    "Bernoulli": lambda: likelihoods.Bernoulli(),
    "Gaussian": lambda: likelihoods.Gaussian(),
    "Gaussian(FixedScale)": lambda: likelihoods.Gaussian(scale=likelihoods.FixedScale(0.5)),
    "Gaussian(LearnedScale)": lambda: likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=0.5)),
    "Gaussian(ColumnScale)": lambda: likelihoods.Gaussian(scale=likelihoods.ColumnScale()),
    "Gaussian(PixelScale)": lambda: likelihoods.Gaussian(scale=likelihoods.PixelScale()),
    "Gaussian(OptimalScale)": lambda: likelihoods.Gaussian(scale=likelihoods.OptimalScale()),
    "Laplace": lambda: likelihoods.Laplace(),
    "Spread(Gaussian)": lambda: likelihoods.Spread(
        likelihoods.Gaussian(), noise=data.GaussianNoise(0.2)
    ),
    "Spread(Delta)": lambda: likelihoods.Spread(likelihoods.Delta(), noise=data.LaplaceNoise(0.3)),
    "Rounded(Gaussian)": lambda: likelihoods.Rounded(likelihoods.Gaussian()),
    "Rounded(LogNormal)": lambda: likelihoods.Rounded(
        likelihoods.Standardized(likelihoods.LogNormal())
    ),
    "Standardized(Gaussian)": lambda: likelihoods.Standardized(likelihoods.Gaussian()),
    "Standardized(Poisson)": lambda: likelihoods.Standardized(likelihoods.Poisson()),
    "StudentT": lambda: likelihoods.StudentT(4.0),
    "Poisson": lambda: likelihoods.Poisson(),
    "NegativeBinomial": lambda: likelihoods.NegativeBinomial(),
    "ZeroInflatedNegativeBinomial": lambda: likelihoods.ZeroInflatedNegativeBinomial(),
    "Multinomial": lambda: likelihoods.Multinomial(total=20),
    "DiscretizedLogistic": lambda: likelihoods.DiscretizedLogistic(),
    "DiscretizedLogisticMixture": lambda: likelihoods.DiscretizedLogisticMixture(components=2),
    "Categorical": lambda: likelihoods.Categorical(4),
    "Ordinal": lambda: likelihoods.Ordinal(4),
    "Beta": lambda: likelihoods.Beta(),
    "LogNormal": lambda: likelihoods.LogNormal(),
    "Gamma": lambda: likelihoods.Gamma(),
    "Joint": lambda: likelihoods.Joint(a=(1, likelihoods.Gaussian()), b=(1, likelihoods.Bernoulli())),
    "NotAtRandom": lambda: likelihoods.NotAtRandom(
        likelihoods.Gaussian(), missingness=likelihoods.SelfMasking(sign=1)
    ),
    "ContinuousBernoulli": lambda: likelihoods.ContinuousBernoulli(),
    "PerceptualDistance": lambda: likelihoods.PerceptualDistance(jnp.tanh, scale=0.5),
    "Autoregressive(MADE)": lambda: likelihoods.Autoregressive(nets.MADE((8,))),
    "Autoregressive(MaskedConv)": lambda: likelihoods.Autoregressive(nets.MaskedConv((4,), 3)),
}
NETS = {  # encoder and decoder
    "Linear": lambda: (nets.Linear(), nets.Linear()),
    "MLP": lambda: (nets.MLP((8,)), nets.MLP((8,))),
    "MLP(norm, dropout)": lambda: (nets.MLP((8,), norm=nnx.LayerNorm), nets.MLP((8,), dropout=0.1)),
    "GatedMLP": lambda: (nets.GatedMLP((8,)), nets.GatedMLP((8,))),
    "Conv": lambda: (nets.Conv((4,)), nets.ConvDecoder((4,))),
    "GatedConv": lambda: (nets.GatedConv((3, 4), (3, 3), (1, 2)), nets.GatedConvDecoder((8,), (4,))),
    "ResNet": lambda: (nets.ResNet((4,), 1), nets.ResNetDecoder((4,), 1)),
    "Transformer": lambda: (
        nets.Transformer(1, 8, 1, heads=2),
        nets.TransformerDecoder(1, 8, 1, heads=2, dropout=0.1),
    ),
    "LinearSkip": lambda: (nets.LinearSkip(nets.MLP((8,))), nets.LinearSkip(nets.Linear())),
    "BFloat16": lambda: (nets.BFloat16(nets.MLP((8,))), nets.BFloat16(nets.MLP((8,)))),
    "Transformed": lambda: (nets.InputTransform(nets.MLP((8,)), jnp.tanh), nets.MLP((8,))),
    "Bayesian": lambda: (nets.MLP((8,)), nets.BayesianNet(nets.MLP((8,)))),
    "user's NNX class": lambda: (parts.BatchNormNet, parts.BatchNormNet),
    "user's linen class": lambda: (nets.Linen(parts.LinenNet), nets.Linen(parts.LinenNet)),
    "user's equinox class": lambda: (nets.Equinox(parts.EquinoxNet), nets.Equinox(parts.EquinoxNet)),
    "user's built module": lambda: (parts.BUILT, nets.MLP((8,))),
}
OBJECTIVES = {
    "ELBO": lambda: objectives.ELBO(),
    "ELBO(closed_form=False)": lambda: objectives.ELBO(closed_form=False),
    "ELBO(num_particles=3)": lambda: objectives.ELBO(num_particles=3),
    "ELBO(STL)": lambda: objectives.ELBO(estimator=objectives.STL()),
    "IWAE": lambda: objectives.IWAE(num_particles=2),
    "IWAE(DReG)": lambda: objectives.IWAE(num_particles=2, estimator=objectives.DReG()),
    "Renyi": lambda: objectives.Renyi(0.5, num_particles=2),
    "FreeBits": lambda: objectives.FreeBits(0.05),
    "FreeBits(PerSite)": lambda: objectives.FreeBits(0.1, groups=objectives.PerSite()),
    "BetaTC": lambda: objectives.BetaTC(),
    "BetaTC(MinibatchStratified)": lambda: objectives.BetaTC(
        sampling=objectives.MinibatchStratified(12)
    ),
    "InfoVAE": lambda: objectives.InfoVAE(0.5),
    "InfoVAE(InverseMultiquadratic)": lambda: objectives.InfoVAE(
        0.5, kernel=objectives.InverseMultiquadratic(objectives.MedianWidth())
    ),
    "Capacity": lambda: objectives.Capacity(1.0, gamma=2.0),
    "FactorVAE": lambda: objectives.FactorVAE(2.0, discriminator=nets.MLP((8,))),
    "AdversarialELBO": lambda: objectives.AdversarialELBO(
        discriminator=objectives.Discriminator(nets.MLP((8,)), 4)
    ),
    "MultiRate": lambda: objectives.MultiRate(),
    "SemiSupervisedELBO": lambda: objectives.SemiSupervisedELBO(0.5),
}
EVERY = {
    "priors": PRIORS,
    "guides": GUIDES,
    "likelihoods": LIKELIHOODS,
    "nets": NETS,
    "objectives": OBJECTIVES,
}

ASKS = {"MultiRate": {"context_shape": (1,)}}  # what an objective needs of the VAE

# Where a prior's code lives. Those not named live in the plane: any guide of the plane fits. A VampPrior
# lives where the guide does, if that is one distribution.
CODES = {
    "TwoLevel": "hierarchy",
    "TwoLevel(VampPrior)": "hierarchy",
    "TwoLevelTopDown": "hierarchy",
    "TwoLevelBottomUp": "hierarchy",
    "Ladder": "ladder",
    "Bernoulli": "bits",
    "Bernoulli(learned)": "bits",
    "Categorical": "one-hot",
    "ClassAndStyle": "class and style",
    "ClassAndStyle(ConditionalNormal)": "class and style",
    "RelaxedCategorical": "log-simplex",
    "UniformSphere": "sphere",
    "PowerSpherical": "sphere",
}
DISCRETE = {"Bernoulli", "Categorical", "ClassAndStyle"}  # guides whose draws have no gradient
SUMS = {  # over the states of a discrete code
    "ELBO",
    "ELBO(closed_form=False)",
    "ELBO(num_particles=3)",
    "FreeBits(PerSite)",
    "Capacity",
    "MultiRate",
}
ONE_POINT = {  # means something where q(z|x) is a point
    "ELBO",
    "ELBO(closed_form=False)",
    "ELBO(num_particles=3)",
    "AdversarialELBO",
    "FactorVAE",
    "InfoVAE",
    "InfoVAE(InverseMultiquadratic)",
}
BY_UNIT = {"MeanField", "SemiAmortized", "TwoLevelTopDown", "Ladder"}  # guides with a KL for each unit
PROGRAMS = {"TwoLevelTopDown", "TwoLevelBottomUp", "Ladder", "SemiAmortized", "ClassAndStyle"}


def fit_together(prior, guide):
    """Whether a prior and a guide make a VAE, by name."""
    if prior.startswith("VampPrior"):
        return guide not in PROGRAMS | {"PointMass"}
    if prior == "TwoLevel(VampPrior)":
        return guide in ("TwoLevelTopDown", "Ladder")
    if guide == "Ladder":  # of any number of levels
        return CODES.get(prior) in ("ladder", "hierarchy")
    return CODES.get(prior) == CODES.get(guide)


def objective_fits(objective, guide):
    """Whether an objective has the terms it needs, with a guide and the first prior that fits it."""
    if guide == "PointMass":
        return objective in ONE_POINT
    if objective == "SemiSupervisedELBO":
        return guide == "ClassAndStyle"
    if objective == "MultiRate" and guide == "ClassAndStyle":
        return False  # both would own the context
    if objective == "FreeBits":
        return guide in BY_UNIT
    if objective.startswith("BetaTC"):
        return guide in {
            "MeanField",
            "SemiAmortized",
            "RelaxedBernoulli",
        }  # one site, of units each alone
    if objective == "FactorVAE" and CODES.get(guide) in ("sphere", "log-simplex"):
        return False  # whose units are tied
    if objective in ("FactorVAE", "InfoVAE", "InfoVAE(InverseMultiquadratic)"):
        return guide not in DISCRETE | {"TwoLevelTopDown", "TwoLevelBottomUp", "Ladder"}
    return objective in SUMS or guide not in DISCRETE


def first_guide(prior):
    """The name of the first guide that fits a prior."""
    return next(guide for guide in GUIDES if fit_together(prior, guide))


def first_prior(guide):
    """The name of the prior of a guide's own name, or of the first one that fits it."""
    return (
        guide
        if guide in PRIORS and fit_together(guide, guide)
        else next(prior for prior in PRIORS if fit_together(prior, guide))
    )
