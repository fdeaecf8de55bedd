"""refit: a new prior for a fitted VAE."""

from dataclasses import replace
from typing import Any

from probvae.fitted.fitted import Fitted, check_fitted
from probvae.interfaces import AbstractPrior
from probvae.training.fit import fit
from probvae.training.initial_values import transfer_params
from probvae.typing import DataLike, Params, RngKey

FROZEN = ("encoder", "decoder", "guide", "likelihood")


def refit(
    fitted: Fitted,
    prior: AbstractPrior,
    train: DataLike,
    *,
    rng_key: RngKey,
    init_params: Params | None = None,
    **options: Any,
) -> Fitted:
    r"""Fit another prior to the codes of a fitted VAE. All other parts stay the same, bit for bit.

    With q(z|x) and p(x|z) fixed, the ELBO is $E_q[\log p(z)]$ plus a constant. So the prior is fitted
    by maximum likelihood to draws of q(z|x), x in ``train``, with new draws at each step. The optimum
    over all priors is $q(z) = E[q(z|x)]$. ``refit`` calls ``fit`` with ``freeze``, and initialises the
    prior. For example, it gives a plain autoencoder (``guides.PointMass``) a prior to generate from.

    For a second stage that is itself a VAE, fit one to the codes as data:

        z = fitted.encode(x).sample(key)
        second = fit(VAE(event_shape=(latent_dim,), ..., likelihood=likelihoods.Gaussian()), z, ...)
        fitted.decode(second.sample(100, rng_key=key).x).mean

    Args:
        fitted: a fitted VAE.
        prior: such as ``priors.GaussianMixture()``, ``priors.Flow()``. It must match the posterior.
        train: data, as in ``fit``.
        rng_key: a typed key.
        init_params: initial values of the prior, such as ``prior.start_at(...)``.
        options: of ``fit``: ``optimizer``, ``epochs``, ``batch_size``, ``validation``, ...

    Returns:
        the VAE with the new prior.

    Reference: Dai and Wipf 2019, arXiv:1903.05789 (two stages); Ghosh et al. 2020, arXiv:1903.12436.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, fit, likelihoods, priors, refit
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=2, progress=False)
        >>> mixture = priors.GaussianMixture(components=3)
        >>> options = {"rng_key": jax.random.key(1), "epochs": 2, "progress": False}
        >>> print(refit(fitted, mixture, x, **options).vae.prior)
        sum_k w_k Normal(m_k, diag(s_k^2)), k = 1..3, learned
    """
    check_fitted(fitted)
    vae = replace(fitted.vae, prior=prior)
    shared = transfer_params(fitted, vae).items()
    frozen = {name: value for name, value in shared if name.split("$")[0] in FROZEN}
    start = {**frozen, **(init_params or {})}
    return fit(vae, train, rng_key=rng_key, init_params=start, freeze=FROZEN, **options)
