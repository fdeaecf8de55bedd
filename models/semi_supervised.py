"""The semi-supervised VAE (M2): Kingma et al. 2014, arXiv:1406.5298.

The idea: the class is a code of its own, which is observed where a datum has a label and summed
over elsewhere, so that q(y|x) learns from all data. The context is the one-hot label, or zeros
where it is unknown. ``fitted.responsibilities(x)`` is q(y|x).
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
    """Return a VAE for binary data. ``alpha`` weights log q(y|x), ``style`` are sizes of its net."""
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
