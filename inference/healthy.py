"""Fits without a fault, for which `planted_faults.py` expects `diagnose` to find nothing."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from probvae import VAE, Fitted, fit, guides, likelihoods, nets, priors
from probvae.data import load


class Case(NamedTuple):
    """A fit, its test data, and its training data."""

    fitted: Fitted
    held_out: np.ndarray
    train: np.ndarray


class Settings(NamedTuple):
    """The lengths of the fits."""

    epochs: int = 150


def fitted(vae: VAE, data: Any, seed: int, epochs: int, **options: Any) -> Fitted:
    """Fit with a validation set and the settings that all cases share."""
    settings = {"optimizer": optax.adam(2e-3), "batch_size": 100, "progress": False, **options}
    valid, key = data[1], jax.random.key(seed)
    return fit(vae, data[0], validation=valid, rng_key=key, epochs=epochs, **settings)


def digits(**options: Any) -> tuple[np.ndarray, ...]:
    """Return the digits' training, validation and test images, binarised."""
    data = load("digits", **options)
    train = data.observation(jax.random.key(0), data.train)
    return tuple(np.asarray(x) for x in (train, data.valid, data.test))


def vae_of_digits(**changes: Any) -> VAE:
    """Return the VAE of digits into which faults are planted."""
    net = nets.MLP((100,), dropout=0.1)
    return VAE(**{"event_shape": (8, 8), "latent_dim": 8, "encoder": net, "decoder": net, **changes})


@cache
def healthy_digits(seed: int, epochs: int) -> Fitted:
    """Return a fit of digits without a fault."""
    return fitted(vae_of_digits(), digits(), seed, epochs)


def linear_gaussian(seed: int, s: Settings) -> Case:
    """Healthy: the linear-Gaussian model with a guide that contains its posterior."""
    random = np.random.default_rng(0)
    w = random.normal(size=(10, 3)) * [3, 2, 1]
    x = (random.normal(size=(1500, 3)) @ w.T + 0.5 * random.normal(size=(1500, 10))).astype(np.float32)
    vae = VAE(
        event_shape=(10,),
        latent_dim=3,
        posterior=guides.FullRank(),
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale()),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    data = (x[:1000], x[1000:1250], x[1250:])
    rate = optax.cosine_decay_schedule(1e-2, 30 * s.epochs)
    return Case(fitted(vae, data, seed, 3 * s.epochs, optimizer=optax.adam(rate)), data[2], data[0])


def mixture(seed: int, s: Settings) -> Case:
    """Healthy: clusters, with a mixture for a prior."""
    random = np.random.default_rng(0)
    centres = 3 * random.normal(size=(3, 2))
    z = centres[random.integers(0, 3, 1500)] + 0.4 * random.normal(size=(1500, 2))
    x = z @ random.normal(size=(2, 6)) + 0.5 * random.normal(size=(1500, 6))
    x = x.astype(np.float32)
    vae = VAE(
        event_shape=(6,),
        latent_dim=2,
        prior=priors.GaussianMixture(components=3),
        posterior=guides.FullRank(),
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale()),
        encoder=nets.MLP((64,)),
        decoder=nets.Linear(),
    )
    data = (x[:1000], x[1000:1250], x[1250:])
    rate = optax.cosine_decay_schedule(1e-2, 30 * s.epochs)
    return Case(fitted(vae, data, seed, 3 * s.epochs, optimizer=optax.adam(rate)), data[2], data[0])


def plain_digits(seed: int, s: Settings) -> Case:
    """Healthy: digits."""
    data = digits()
    return Case(healthy_digits(seed, s.epochs), data[2], data[0])


def mnist(seed: int, s: Settings) -> Case:
    """Healthy: binarized MNIST (needs the data), trained to the end of a falling rate."""
    data, epochs = load("binarized-mnist"), max(s.epochs // 4, 5)
    wide, net = nets.MLP((500,)), nets.MLP((200,))
    vae = VAE(event_shape=(28, 28), latent_dim=10, encoder=wide, decoder=net)
    rate = optax.cosine_decay_schedule(2e-3, epochs * (len(data.train) // 100))
    parts = data.train, data.valid[:1000]
    return Case(fitted(vae, parts, seed, epochs, optimizer=optax.adam(rate)), data.test, data.train)


def counts(seed: int, s: Settings) -> Case:
    """Healthy: counts under a negative binomial."""
    x = draw_counts(seed)
    vae = VAE(
        event_shape=(20,),
        latent_dim=3,
        likelihood=likelihoods.NegativeBinomial(),
        encoder=nets.InputTransform(nets.MLP((64,)), jnp.log1p),
        decoder=nets.MLP((64,)),
    )
    data = (x[:1000], x[1000:1250], x[1250:])
    return Case(fitted(vae, data, seed, s.epochs), data[2], data[0])


def draw_counts(seed: int) -> np.ndarray:
    """Return counts of Poisson rates on a plane, most of them 0: ``(1500, 20)``."""
    random = np.random.default_rng(seed)
    rates = np.exp(random.normal(size=(1500, 2)) @ random.normal(size=(2, 20)) - 1.0)
    return random.poisson(rates).clip(max=30).astype(np.float32)
