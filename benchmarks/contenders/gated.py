"""``probvae.fit`` with gated nets, 300-300, 40 latents, batch 100: standard normal or VampPrior(500).

``gated.py IMAGES EPOCHS PRIOR``; ``naive`` is the VampPrior with NumPyro's own, elementwise mixture.
"""

import sys

import jax
import numpyro.distributions as dist
import reporting

from probvae import VAE, fit, nets, priors

BATCH = 100


def elementwise(logits: jax.Array, components: dist.Distribution) -> dist.Distribution:
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), components)


def main() -> None:
    images, epochs = reporting.arguments()
    compiled = reporting.Compilations()
    name = sys.argv[3]
    if name == "naive":
        sys.modules["probvae.priors.vamp"].mixture = elementwise
    vamp = priors.VampPrior(components=500, start_mean=0.05, start_scale=0.01)
    net = nets.GatedMLP((300, 300))
    prior = priors.StandardNormal() if name == "standard" else vamp
    vae = VAE(event_shape=(28, 28), latent_dim=40, prior=prior, encoder=net, decoder=net)
    clock = reporting.Clock()
    fitted = fit(
        vae,
        images.reshape(-1, 28, 28),
        rng_key=jax.random.key(0),
        epochs=epochs,
        batch_size=BATCH,
        callbacks=(lambda _: clock.tick(),),
    )
    first = float(fitted.history.steps["loss"][0]) / BATCH
    reporting.report(clock, first, compiled.of("epoch"))


if __name__ == "__main__":
    main()
