"""Question: do better parts give better bounds? Priors and guides on binarized MNIST.

The baseline has a standard normal prior and a mean-field guide. Compared are a flow prior, a VampPrior,
an inverse autoregressive guide and a full-rank guide. All else is equal: two ReLU layers of 300, 40
latents, batch 128, Adam 1e-3, the same steps. The pseudo-inputs of the VampPrior start at training
images and have their own learning rate (`models/vampprior.py`). The test log p(x) is the
importance-weighted bound with 500 particles on all 10,000 test images. The spread is over trainings.

    python -m inference.better_parts [--seeds 3] [--epochs 20] [--quick]
"""

from dataclasses import replace

import jax
import optax

from inference.comparison import compare, options
from probvae import VAE, fit, flows, guides, nets, priors
from probvae.data import load

BASELINE = "standard normal, mean field"


def variants(event_shape: tuple[int, ...], hidden: int, latent_dim: int) -> dict[str, VAE]:
    """Return the VAEs to compare, by name."""
    net = nets.MLP((hidden, hidden))
    plain = VAE(event_shape=event_shape, latent_dim=latent_dim, encoder=net, decoder=net)
    layers = flows.Coupling(nets.MLP((100,)))
    iaf = flows.Autoregressive((100,))
    return {
        BASELINE: plain,
        "flow prior (4 couplings)": replace(plain, prior=priors.Flow(layers, depth=4)),
        "VampPrior (100)": replace(plain, prior=priors.VampPrior(components=100)),
        "IAF guide (2 layers)": replace(plain, posterior=guides.Flow(iaf, depth=2)),
        "full-rank guide": replace(plain, posterior=guides.FullRank()),
    }


def optimizer() -> optax.GradientTransformation:
    """Return Adam: 1e-3, and 1e-2 for pseudo-inputs."""
    rates = {"pseudo": optax.adam(1e-2), "rest": optax.adam(1e-3)}
    return optax.multi_transform(
        rates, lambda params: {k: "pseudo" if "pseudo_inputs" in k else "rest" for k in params}
    )


def score(vae: VAE, data, seed: int, epochs: int, particles: int) -> float:
    """Train from a key, and return the test log p(x), in nats per image."""
    fit_key, start_key, test_key = jax.random.split(jax.random.key(seed), 3)
    starts = isinstance(vae.prior, priors.VampPrior)
    fitted = fit(
        vae,
        data.train,
        rng_key=fit_key,
        optimizer=OPTIMIZER,
        epochs=epochs,
        init_params=vae.prior.start_at(data.train, rng_key=start_key) if starts else None,
        progress=False,
    )
    return fitted.log_prob(data.test, rng_key=test_key, num_particles=particles).mean


OPTIMIZER = optimizer()


def main() -> None:
    """Train all models, and print the table and the differences beyond two standard errors."""
    parser = options(__doc__, seeds=3, quick="digits, two seeds, two epochs, 20 particles")
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    quick = args.quick
    data = load("digits" if quick else "binarized-mnist")
    seeds, epochs, particles = (2, 2, 20) if quick else (args.seeds, args.epochs, 500)
    vaes = variants(data.event_shape, *((32, 8) if quick else (300, 40)))
    scores = {
        name: lambda seed, vae=vae: score(vae, data, seed, epochs, particles)
        for name, vae in vaes.items()
    }
    compare(scores, seeds, baseline=BASELINE, what="parts", score="test log p(x), nats")


if __name__ == "__main__":
    main()
