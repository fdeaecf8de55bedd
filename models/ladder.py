"""A ladder of codes: Sonderby et al. 2016, arXiv:1602.02282.

The idea: the guide computes features of x from the bottom up, then draws the codes from the top
down with the prior's own nets. Each q(z_l | x, z_>l) is p(z_l | z_>l) times a message of x. The
weight of the KL rises from 0 to 1 in the first ``warm_up`` steps, so that no level collapses early.
The residual state is that of Child 2021, arXiv:2011.10650.
"""

import optax

from probvae import VAE, Variant, guides, likelihoods, nets, objectives, priors


def ladder(
    event_shape: tuple[int, ...],
    *,
    groups: int = 5,
    latent_dim: int = 8,
    hidden: tuple[int, ...] = (200,),
    width: int = 64,
    warm_up: int = 2000,
) -> Variant:
    """Return a ladder for binary data: ``groups`` codes of length ``latent_dim`` each."""
    inner = nets.MLP((2 * width,))
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.Ladder(groups, width=width, net=inner),
        posterior=guides.Ladder(width, bottom_up=inner, message=inner),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    objective = objectives.ELBO(optax.linear_schedule(0.0, 1.0, warm_up))
    return Variant(model, objective=objective, epochs=100, batch_size=100)
