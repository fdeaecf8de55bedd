"""``fitted.log_prob``, or NumPyro's ``RenyiELBO`` datum by datum, on a stored fit.

``evidence_ours.py IMAGES REPEATS STORE PRIOR PARTICLES ours|renyi``
"""

import sys
from collections.abc import Callable

import jax
import numpy as np
import reporting
from numpyro.infer import RenyiELBO
from sizes import HIDDEN, LATENT

from probvae import VAE, load, nets, priors
from probvae.fitted import Fitted

PRIORS = {"standard": priors.StandardNormal(), "vamp": priors.VampPrior(components=50)}


def vae(prior: str) -> VAE:
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    return VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net, prior=PRIORS[prior])


def ours(fitted: Fitted, images: np.ndarray, particles: int) -> Callable[[jax.Array], float]:
    return lambda key: fitted.log_prob(images, rng_key=key, num_particles=particles).mean


def renyi(fitted: Fitted, images: np.ndarray, particles: int) -> Callable[[jax.Array], float]:
    """Return the mean of minus NumPyro's loss, one datum at a time, as a function of the key."""
    objective = RenyiELBO(alpha=0, num_particles=particles)

    @jax.jit
    def bound(key: jax.Array, x: jax.Array) -> jax.Array:
        return -objective.loss(key, {}, fitted.model, fitted.guide, x[None])

    def mean(key: jax.Array) -> float:
        keys = jax.random.split(key, len(images))
        return float(np.mean([bound(k, x) for k, x in zip(keys, images, strict=True)]))

    return mean


def main() -> None:
    images, repeats = reporting.arguments()
    store, prior, particles, contender = sys.argv[3:]
    start = {"ours": ours, "renyi": renyi}[contender]
    score = start(load(store, vae(prior)), images.reshape(-1, 28, 28), int(particles))
    compiled, clock = reporting.Compilations(), reporting.Clock()
    for key in jax.random.split(jax.random.key(0), repeats):
        nats = score(key)
        clock.tick()
    reporting.report(clock, nats, compiled.of("_importance"))


if __name__ == "__main__":
    main()
