"""``fitted.log_prob``, or NumPyro's ``RenyiELBO`` datum by datum, on a stored fit.

``evidence_ours.py IMAGES REPEATS STORE PRIOR PARTICLES ours|renyi``
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import reporting
from numpyro.infer import RenyiELBO
from sizes import HIDDEN, LATENT

from probvae import VAE, load, nets, priors

PRIORS = {"standard": priors.StandardNormal(), "vamp": priors.VampPrior(components=50)}


def vae(prior: str) -> VAE:
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    return VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net, prior=PRIORS[prior])


def renyi(fitted: object, images: np.ndarray, key: jax.Array, particles: int) -> float:
    """Return the mean of minus NumPyro's loss, one datum at a time."""
    objective = RenyiELBO(alpha=0, num_particles=particles)

    @jax.jit
    def bound(key: jax.Array, x: jax.Array) -> jax.Array:
        return -objective.loss(key, {}, fitted.model, fitted.guide, x[None])

    keys = jax.random.split(key, len(images))
    return float(np.mean([bound(k, x) for k, x in zip(keys, images.astype(float), strict=True)]))


def main() -> None:
    images, repeats = reporting.arguments()
    store, prior, particles, contender = sys.argv[3:]
    images, particles = images.reshape(-1, 28, 28), int(particles)
    fitted = load(store, vae(prior))
    compiled, clock = reporting.Compilations(), reporting.Clock()
    for key in jax.random.split(jax.random.key(0), repeats):
        if contender == "ours":
            nats = fitted.log_prob(images, rng_key=key, num_particles=particles).mean
        else:
            nats = renyi(fitted, jnp.asarray(images), key, particles)
        clock.tick()
    reporting.report(clock, nats, compiled.of("_importance"))


if __name__ == "__main__":
    main()
