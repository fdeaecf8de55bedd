"""Every public part, by role: the one list that the contract tests run over.

Zero-argument constructors, so that nothing is built at import. To add a part: one line here.
"""

import parts

from probvae import guides, likelihoods, nets, objectives, priors

PRIORS = {
    "StandardNormal": lambda: priors.StandardNormal(),
    "LearnedNormal": lambda: priors.LearnedNormal(),
    "GaussianMixture": lambda: priors.GaussianMixture(components=3),
    "VampPrior": lambda: priors.VampPrior(components=3),
    "VampPrior(learned_weights)": lambda: priors.VampPrior(components=3, learned_weights=True),
}
GUIDES = {
    "MeanField": lambda: guides.MeanField(),
    "FullRank": lambda: guides.FullRank(),
    "LowRank": lambda: guides.LowRank(rank=1),
}
LIKELIHOODS = {
    "Bernoulli": lambda: likelihoods.Bernoulli(),
    "Gaussian": lambda: likelihoods.Gaussian(),
    "Gaussian(FixedScale)": lambda: likelihoods.Gaussian(scale=likelihoods.FixedScale(0.5)),
    "Gaussian(LearnedScale)": lambda: likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=0.5)),
    "Gaussian(PixelScale)": lambda: likelihoods.Gaussian(scale=likelihoods.PixelScale()),
    "Gaussian(OptimalScale)": lambda: likelihoods.Gaussian(scale=likelihoods.OptimalScale()),
}
NETS = {
    "Linear": lambda: nets.Linear(),
    "MLP": lambda: nets.MLP((8,)),
    "GatedMLP": lambda: nets.GatedMLP((8,)),
    "user's NNX class": lambda: parts.BatchNormNet,
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
