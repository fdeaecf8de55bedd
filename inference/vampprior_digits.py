"""Question: does a VampPrior give a better log p(x) on the digits than the standard normal?

Only the prior differs (and the pseudo-inputs' own learning rate, as in `models/vampprior.py`). Nets,
steps, batches and learning rates of the nets are the same. The digits are binarised once (static).
log p(x) is the importance-weighted bound with 5000 particles on all 300 test images. The spread is over
trainings from different keys, not over evaluations.

    python -m inference.vampprior_digits [--seeds 5] [--epochs 100] [--quick]
"""

import argparse
from dataclasses import replace

import jax
import numpy as np

from models.vampprior import vampprior
from probvae import VAE, fit, priors
from probvae.data import load


def test_log_prob(vae: VAE, optimizer, data, seed: int, epochs: int, particles: int) -> float:
    """Train from a key, and return the test log p(x), in nats per image."""
    fit_key, test_key = jax.random.split(jax.random.key(seed))
    fitted = fit(
        vae,
        data.train,
        validation=data.valid,
        rng_key=fit_key,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=100,
    )
    return fitted.log_prob(data.test, rng_key=test_key, num_particles=particles).mean


def main() -> None:
    """Train both, and print the table and whether the difference exceeds two standard errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="two seeds, two epochs, 50 particles")
    args = parser.parse_args()
    seeds, epochs, particles = (2, 2, 50) if args.quick else (args.seeds, args.epochs, 5000)
    data, variant = load("digits"), vampprior((8, 8))
    vaes = {
        "standard normal": replace(variant.vae, prior=priors.StandardNormal()),
        "VampPrior": variant.vae,
    }
    results = {
        name: np.array(
            [test_log_prob(vae, variant.optimizer, data, s, epochs, particles) for s in range(seeds)]
        )
        for name, vae in vaes.items()
    }
    print(
        "| prior | test log p(x), nats (mean, s.e. over trainings) | each training |\n"
        "| --- | --- | --- |"
    )
    for name, values in results.items():
        error = values.std(ddof=1) / np.sqrt(seeds)
        print(
            f"| {name} | {values.mean():.3f} +- {error:.3f} | {', '.join(f'{v:.2f}' for v in values)} |"
        )
    standard, vamp = results.values()
    gain = vamp.mean() - standard.mean()
    error = np.sqrt((standard.var(ddof=1) + vamp.var(ddof=1)) / seeds)
    verdict = "exceeds" if abs(gain) > 2 * error else "does not exceed"
    print(
        f"\nVampPrior minus standard: {gain:+.3f} nats, standard error {error:.3f} over {seeds} "
        f"trainings each: the difference {verdict} two standard errors."
    )


if __name__ == "__main__":
    main()
