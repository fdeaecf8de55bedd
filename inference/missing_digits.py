"""Claim: a VAE that knows which pixels are missing predicts them, and one that sees zeros does not.

Digits (8 x 8, binarised once), with 30 % of all pixels missing at random, in training and in test.
Three models predict log p(x_missing | x_observed), in nats per test image:

- a VAE whose likelihood skips missing pixels and whose encoder sees the mask. The prediction is
  log p(x) - log p(x_observed), each the importance-weighted bound with 2000 particles;
- the same VAE, trained on images whose missing pixels are 0, and evaluated on such images. It takes the
  zeros for data. Its prediction is p(x_missing | z) averaged over its posterior of z given the image
  with zeros (2000 particles, weighted);
- the frequency of ink per pixel among observed training pixels (Laplace's rule).

    python -m inference.missing_digits [--seeds 3] [--epochs 200] [--quick]
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from inference.comparison import compare, options
from probvae import VAE, Batch, fit, nets
from probvae.data import load
from probvae.fitted import Fitted
from probvae.plots.canvas import side_by_side

TOLD, ZERO, PIXELS = "told what is missing", "missing taken as 0", "per-pixel frequency"


def mask_pixels(x: np.ndarray, seed: int) -> Batch:
    """Return the data with 30 % of the pixels missing at random."""
    observed = jax.random.bernoulli(jax.random.key(seed), 0.7, x.shape)
    return Batch(x, mask=np.asarray(observed))


def fill_zeros(data: Batch) -> np.ndarray:
    """Return the data with 0 for missing pixels."""
    return np.where(data.mask, data.x, 0)


def vae(event_shape: tuple[int, ...], hidden: int) -> VAE:
    """Return a VAE whose encoder sees the mask."""
    net = nets.MLP((hidden, hidden))
    return VAE(event_shape=event_shape, latent_dim=16, encode_mask=True, encoder=net, decoder=net)


def fit_vae(model: VAE, data, seed: int, epochs: int) -> Fitted:
    """Return the VAE fitted from a key."""
    return fit(model, data, rng_key=jax.random.key(seed), epochs=epochs, progress=False)


def predict(fitted: Fitted, test: Batch, particles: int) -> float:
    """Return log p(x_missing | x_observed) of a VAE with masks, in nats per image."""
    key, complete = jax.random.key(1), Batch(test.x, mask=np.ones_like(test.mask))
    bounds = [fitted.log_prob(b, rng_key=key, num_particles=particles).mean for b in (complete, test)]
    return bounds[0] - bounds[1]


def predict_from_zeros(fitted: Fitted, test: Batch, particles: int) -> float:
    """Return E log sum_k w_k p(x_missing | z_k), z_k ~ q(z | x with zeros), sum_k w_k = 1."""
    x, missing = jnp.asarray(fill_zeros(test), float), jnp.asarray(~test.mask)
    q = fitted.encode(x)
    z = q.sample(jax.random.key(1), (particles,))
    prior = -0.5 * (z**2 + jnp.log(2 * jnp.pi)).sum(-1)

    def score(z_k: jax.Array) -> tuple[jax.Array, jax.Array]:
        p = fitted.decode(z_k).base_dist
        return p.log_prob(x).sum((-2, -1)), (p.log_prob(test.x) * missing).sum((-2, -1))

    joint, held_out = jax.lax.map(score, z)
    log_w = jax.nn.log_softmax(joint + prior - q.log_prob(z), axis=0)
    return float(logsumexp(log_w + held_out, axis=0).mean())


def by_frequency(train: Batch, test: Batch) -> float:
    """Return the log probability of the held-out pixels under independent pixels."""
    ink = ((train.x * train.mask).sum(0) + 1) / (train.mask.sum(0) + 2)
    each = np.where(test.x == 1, np.log(ink), np.log1p(-ink))
    return float((each * ~test.mask).sum((1, 2)).mean())


def figure(fitted: Fitted, test: Batch):
    """Draw images, their observed pixels, and three draws of the rest."""
    few = jax.tree.map(lambda a: a[:10], test)
    imputed = fitted.impute(few.x, few.mask, rng_key=jax.random.key(2), num_samples=3).x
    groups = {"image": few.x, "observed (else grey)": np.where(few.mask, few.x, 0.5)}
    groups |= {f"draw {k + 1}": np.asarray(x) for k, x in enumerate(imputed)}
    return side_by_side(groups, title="Draws of what is missing", item="a test image")


def main() -> None:
    """Train, and print the table and the differences beyond two standard errors."""
    parser = options(__doc__, seeds=3, quick="two seeds, two epochs, 20 particles")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--figure", help="write draws of missing pixels to this PNG file")
    args = parser.parse_args()
    data = load("digits")
    train, test = mask_pixels(data.train, 0), mask_pixels(data.test, 1)
    seeds, epochs, particles = (2, 2, 20) if args.quick else (args.seeds, args.epochs, 2000)
    with_mask = vae(data.event_shape, 16 if args.quick else 200)
    plain = replace(with_mask, encode_mask=False)
    compare(
        {
            TOLD: lambda s: predict(fit_vae(with_mask, train, s, epochs), test, particles),
            ZERO: lambda s: predict_from_zeros(
                fit_vae(plain, fill_zeros(train), s, epochs), test, particles
            ),
            PIXELS: lambda s: by_frequency(train, test),
        },
        seeds,
        baseline=TOLD,
        what="model",
        score="log p(missing given observed), nats per image",
    )
    if args.figure:
        figure(fit_vae(with_mask, train, 0, epochs), test).savefig(args.figure, dpi=150)


if __name__ == "__main__":
    main()
