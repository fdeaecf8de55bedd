"""The semi-supervised VAE (M2): Kingma et al. 2014, arXiv:1406.5298.

The idea: the class is a code of its own beside the style, and a label, where a datum has one, is that
code observed; elsewhere it is summed over, weighted by q(y|x), which so learns from all data. The
context is the label, one-hot, or zeros where it is not known; ``fitted.responsibilities(x)`` is q(y|x).
"""

from probvae import VAE, Variant, guides, likelihoods, nets, objectives, priors


def semi_supervised(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    classes: int = 10,
    style: tuple[int, ...] = (100,),
    alpha: float = 5.0,
) -> Variant:
    """Return the VAE for binary data: ``alpha`` weighs log q(y|x), ``style`` are sizes of its net."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        context_shape=(classes,),
        prior=priors.ClassAndStyle(classes),
        posterior=guides.ClassAndStyle(classes, net=nets.MLP(style)),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    objective = objectives.SemiSupervisedELBO(alpha)
    return Variant(model, objective=objective, epochs=100, batch_size=100)
