"""Shared by the runs on decoders as priors: a fitted decoder, and NUTS as one compiled program."""

import jax
import numpy as np
import optax
from numpyro.infer import MCMC, NUTS

from probvae import VAE, Fitted, fit, nets


def fit_decoder(
    x: np.ndarray, latent_dim: int, hidden: int, epochs: int, likelihood, seed: int
) -> Fitted:
    """Return a VAE fitted to the rows of x, with a learning rate that decays to 0."""
    net = nets.MLP((hidden, hidden))
    vae = VAE(
        event_shape=x.shape[1:], latent_dim=latent_dim, encoder=net, decoder=net, likelihood=likelihood
    )
    steps = epochs * (len(x) // 100)
    return fit(
        vae,
        x,
        rng_key=jax.random.key(seed),
        optimizer=optax.adam(optax.cosine_decay_schedule(2e-3, steps)),
        epochs=epochs,
        batch_size=100,
        progress=False,
    )


def nuts(program, num_samples: int, *sites: str):
    """Return compiled NUTS with four chains, ``(rng_key, *args) -> {site: (4, draws, *event)}``."""

    @jax.jit
    def run(rng_key, *args):
        mcmc = MCMC(
            NUTS(program),
            num_warmup=num_samples,
            num_samples=num_samples,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(rng_key, *args)
        samples = mcmc.get_samples(group_by_chain=True)
        return {site: samples[site] for site in sites}

    return run
