"""Another prior for a fitted VAE."""

from dataclasses import replace
from typing import Any

from probvae.fitted.fitted import Fitted, check_fitted
from probvae.interfaces import AbstractPrior
from probvae.training.fit import fit
from probvae.training.initial_values import transfer_params
from probvae.typing import Params, RngKey

KEPT = ("encoder", "decoder", "guide", "likelihood")


def refit(
    fitted: Fitted,
    prior: AbstractPrior,
    train: Any,
    *,
    rng_key: RngKey,
    init_params: Params | None = None,
    **options: Any,
) -> Fitted:
    """Fit another prior to the codes of a fitted VAE; all else stays as it is, bit for bit.

    With q(z|x) and p(x|z) fixed, the ELBO is E_q[log p(z)] and a constant: the prior is fitted by
    maximum likelihood to draws of q(z|x), x in ``train``, fresh at each step. The optimum over all
    priors is q(z) = E[q(z|x)]. It is ``fit`` with ``freeze``, and starts the prior anew. It gives a
    plain autoencoder (``guides.PointMass``) a prior to generate from.

    A second stage that is a VAE of its own is a fit to the codes as data:

        z = fitted.encode(x).sample(key)
        second = fit(VAE(event_shape=(latent_dim,), ..., likelihood=likelihoods.Gaussian()), z, ...)
        fitted.decode(second.sample(100, rng_key=key).x).mean

    Args:
        fitted: a fitted VAE.
        prior: such as ``priors.GaussianMixture()``, ``priors.Flow()``; it must fit the posterior.
        train: data, as ``fit`` takes them.
        rng_key: a typed key.
        init_params: values that the prior starts from, such as ``prior.start_at(...)``.
        options: of ``fit``: ``optimizer``, ``epochs``, ``batch_size``, ``validation``, ...

    Returns:
        the VAE with the new prior.

    Reference: Dai and Wipf 2019, arXiv:1903.05789 (two stages); Ghosh et al. 2020, arXiv:1903.12436.
    """
    check_fitted(fitted)
    vae = replace(fitted.vae, prior=prior)
    shared = transfer_params(fitted, vae).items()
    kept = {name: value for name, value in shared if name.split("$")[0] in KEPT}
    start = {**kept, **(init_params or {})}
    return fit(vae, train, rng_key=rng_key, init_params=start, freeze=KEPT, **options)
