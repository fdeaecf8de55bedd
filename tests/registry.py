"""Every public part, by role: the one list that the contract tests run over.

Zero-argument constructors, so that nothing is built at import. To add a part: one line here.
"""

import parts
from flax import nnx

from probvae import data, guides, likelihoods, nets, objectives, priors

PRIORS = {
    "StandardNormal": lambda: priors.StandardNormal(),
    "LearnedNormal": lambda: priors.LearnedNormal(),
    "GaussianMixture": lambda: priors.GaussianMixture(components=3),
    "VampPrior": lambda: priors.VampPrior(components=3),
    "VampPrior(learned_weights)": lambda: priors.VampPrior(components=3, learned_weights=True),
}
GUIDES = {"MeanField": lambda: guides.MeanField()}
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
