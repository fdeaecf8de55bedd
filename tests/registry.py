"""Every public part, by role: the one list that the contract tests run over.

Zero-argument constructors, so that nothing is built at import. To add a part: one line here.
"""

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
    "Conditional": lambda: priors.Conditional(nets.MLP((8,))),
    "TwoLevel": lambda: priors.TwoLevel(net=nets.MLP((8,))),
    "Bernoulli": lambda: priors.Bernoulli(),
    "Bernoulli(learned)": lambda: priors.Bernoulli(learned=True),
    "Categorical": lambda: priors.Categorical(learned=True),
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
    "Bernoulli": lambda: guides.Bernoulli(),
    "Categorical": lambda: guides.Categorical(),
    "SemiAmortized": lambda: guides.SemiAmortized(steps=2),
    "PowerSpherical": lambda: guides.PowerSpherical(),
}
LIKELIHOODS = {
    "Bernoulli": lambda: likelihoods.Bernoulli(),
    "Gaussian": lambda: likelihoods.Gaussian(),
    "Gaussian(FixedScale)": lambda: likelihoods.Gaussian(scale=likelihoods.FixedScale(0.5)),
    "Gaussian(LearnedScale)": lambda: likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=0.5)),
    "Gaussian(PixelScale)": lambda: likelihoods.Gaussian(scale=likelihoods.PixelScale()),
    "Gaussian(OptimalScale)": lambda: likelihoods.Gaussian(scale=likelihoods.OptimalScale()),
    "Laplace": lambda: likelihoods.Laplace(),
    "Spread(Gaussian)": lambda: likelihoods.Spread(
        likelihoods.Gaussian(), noise=data.GaussianNoise(0.2)
    ),
    "Spread(Delta)": lambda: likelihoods.Spread(likelihoods.Delta(), noise=data.LaplaceNoise(0.3)),
    "StudentT": lambda: likelihoods.StudentT(4.0),
    "Poisson": lambda: likelihoods.Poisson(),
    "NegativeBinomial": lambda: likelihoods.NegativeBinomial(),
    "ZeroInflatedNegativeBinomial": lambda: likelihoods.ZeroInflatedNegativeBinomial(),
    "DiscretizedLogistic": lambda: likelihoods.DiscretizedLogistic(),
    "DiscretizedLogisticMixture": lambda: likelihoods.DiscretizedLogisticMixture(components=2),
    "Categorical": lambda: likelihoods.Categorical(4),
    "Beta": lambda: likelihoods.Beta(),
    "Joint": lambda: likelihoods.Joint(a=(1, likelihoods.Gaussian()), b=(1, likelihoods.Bernoulli())),
    "ContinuousBernoulli": lambda: likelihoods.ContinuousBernoulli(),
    "Autoregressive(MADE)": lambda: likelihoods.Autoregressive(nets.MADE((8,))),
    "Autoregressive(MaskedConv)": lambda: likelihoods.Autoregressive(nets.MaskedConv((4,), 3)),
}
NETS = {  # encoder and decoder
    "Linear": lambda: (nets.Linear(), nets.Linear()),
    "MLP": lambda: (nets.MLP((8,)), nets.MLP((8,))),
    "MLP(norm, dropout)": lambda: (nets.MLP((8,), norm=nnx.LayerNorm), nets.MLP((8,), dropout=0.1)),
    "GatedMLP": lambda: (nets.GatedMLP((8,)), nets.GatedMLP((8,))),
    "Conv": lambda: (nets.Conv((4,)), nets.ConvTranspose((4,))),
    "user's NNX class": lambda: (parts.BatchNormNet, parts.BatchNormNet),
}
OBJECTIVES = {
    "ELBO": lambda: objectives.ELBO(),
    "ELBO(closed_form=False)": lambda: objectives.ELBO(closed_form=False),
    "ELBO(num_particles=3)": lambda: objectives.ELBO(num_particles=3),
}
EVERY = {
    "priors": PRIORS,
    "guides": GUIDES,
    "likelihoods": LIKELIHOODS,
    "nets": NETS,
    "objectives": OBJECTIVES,
}

# Where a prior's code lives. Those not named live in the plane: any guide of the plane fits. A VampPrior
# lives where the guide does, if that is one distribution.
CODES = {
    "TwoLevel": "hierarchy",
    "TwoLevelTopDown": "hierarchy",
    "TwoLevelBottomUp": "hierarchy",
    "Bernoulli": "bits",
    "Bernoulli(learned)": "bits",
    "Categorical": "one-hot",
    "UniformSphere": "sphere",
    "PowerSpherical": "sphere",
}
PROGRAMS = {"TwoLevelTopDown", "TwoLevelBottomUp", "SemiAmortized"}


def fit_together(prior, guide):
    """Whether a prior and a guide make a VAE, by name."""
    if prior.startswith("VampPrior"):
        return guide not in PROGRAMS
    return CODES.get(prior) == CODES.get(guide)


def first_guide(prior):
    """The name of the first guide that fits a prior."""
    return next(guide for guide in GUIDES if fit_together(prior, guide))


def first_prior(guide):
    """The name of the first prior that fits a guide."""
    return next(prior for prior in PRIORS if fit_together(prior, guide))
