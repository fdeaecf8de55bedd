"""Question: which distribution of counts suits single cells? Held-out log p(x) on PBMC 3k.

2,700 blood cells, 2,000 variable genes, UMI counts. The log library size is the context of all models.
Compared are the negative binomial, the zero-inflated negative binomial, the Poisson, and a Gaussian on
log(1 + x). For counts the latter means the mass function P(x) = Phi((log(x + 1.5) - mu) / sigma) -
Phi((log(x + 0.5) - mu) / sigma), whose first bin starts at -infinity, so that its log p(x) is
comparable. All have the same nets (one layer of 128 on log(1 + x), dropout 0.1), 10 latents, batch 128,
Adam 1e-3, and epochs. The last 243 training cells choose the epoch by the validation ELBO, after each
fifth of the run.

    python -m inference.counts [--seeds 3] [--epochs 400] [--quick]

Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI). The library size is the sum of the scored
counts, so all four models score log p(x | its sum).
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr
from numpyro.distributions import constraints, util

from inference.comparison import compare, options
from probvae import VAE, Batch, fit, likelihoods, nets
from probvae.data import load
from probvae.interfaces import AbstractLikelihood

BASELINE = "negative binomial"


class RoundedLogNormal(dist.Distribution):
    """x = the count whose bin log(x + 0.5) < y < log(x + 1.5) holds y ~ Normal(mu, sigma^2)."""

    arg_constraints = {"mu": constraints.real, "sigma": constraints.positive}
    support = constraints.nonnegative_integer
    pytree_data_fields = ("mu", "sigma")

    def __init__(self, mu, sigma, *, validate_args=None):
        self.mu, self.sigma = util.promote_shapes(mu, sigma)
        super().__init__(jnp.broadcast_shapes(mu.shape, sigma.shape), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        e = jax.random.normal(key, self.shape(sample_shape))
        return jnp.maximum(jnp.ceil(jnp.exp(self.mu + self.sigma * e) - 1.5), 0.0)

    def log_prob(self, value):
        upper = (jnp.log(value + 1.5) - self.mu) / self.sigma
        lower = (jnp.log(value + 0.5) - self.mu) / self.sigma
        flip = lower > 0  # both on the same side: take the tail where the difference is not lost
        high, low = jnp.where(flip, -lower, upper), jnp.where(flip, -upper, lower)
        first = value == 0
        inside = log_ndtr(high) + jnp.log1p(
            -jnp.exp(jnp.minimum(log_ndtr(low) - log_ndtr(high), -1e-7))
        )
        return jnp.where(first, log_ndtr(upper), inside)

    @property
    def mean(self):
        return jnp.maximum(jnp.exp(self.mu + self.sigma**2 / 2) - 1.0, 0.0)  # without the rounding


@dataclass(frozen=True)
class LogGaussian(AbstractLikelihood):
    """p(x|z) = prod_d RoundedLogNormal(x_d; f_d(z), sigma_d^2), sigma learned per entry."""

    support = constraints.nonnegative_integer
    data_range = (0.0, float("inf"))

    def output_shape(self, event_shape):
        return event_shape

    def distribution(self, outputs, scope):
        start = jnp.full(outputs.shape[1:], 0.5)
        sigma = numpyro.param("likelihood$sigma", start, constraint=constraints.softplus_positive)
        return RoundedLogNormal(outputs, sigma)


def variants(genes: int, hidden: int) -> dict[str, VAE]:
    """Return the four VAEs, by the distribution of the counts."""
    net = nets.MLP((hidden,), dropout=0.1)
    size = likelihoods.LibrarySize()
    plain = VAE(
        event_shape=(genes,),
        latent_dim=10,
        context_shape=(1,),
        likelihood=likelihoods.NegativeBinomial(size),
        encoder=nets.InputTransform(net, jnp.log1p),
        decoder=net,
    )
    return {
        BASELINE: plain,
        "zero-inflated NB": replace(plain, likelihood=likelihoods.ZeroInflatedNegativeBinomial(size)),
        "Poisson": replace(plain, likelihood=likelihoods.Poisson(size)),
        "Gaussian on log(1 + x)": replace(plain, likelihood=LogGaussian()),
    }


def score(vae: VAE, data: dict[str, Batch], seed: int, epochs: int, particles: int) -> float:
    """Train from a key, and return the test log p(x) of the epoch with the best validation ELBO."""
    keys = jax.random.split(jax.random.key(seed), 7)
    best, fitted = None, None
    for key in keys[:5]:
        fitted = fit(
            vae,
            data["train"],
            rng_key=key,
            epochs=max(epochs // 5, 1),
            init_params=fitted.params if fitted else None,
            progress=False,
        )
        validation_elbo = fitted.elbo(data["valid"], rng_key=keys[5], num_particles=10).mean
        best = max(
            best or (validation_elbo, fitted), (validation_elbo, fitted), key=lambda pair: pair[0]
        )
    return best[1].log_prob(data["test"], rng_key=keys[6], num_particles=particles).mean


def cells(*, quick: bool) -> dict[str, Batch]:
    """Return training, validation and test data, with the log library size as context."""
    data = load("pbmc3k")
    train, test = (Batch(getattr(data, s), data.context[s]) for s in ("train", "test"))
    parts = {"train": slice(None, -243), "valid": slice(-243, None)}
    split = {name: jax.tree.map(lambda a: a[rows], train) for name, rows in parts.items()}  # noqa: B023
    split["test"] = test
    if not quick:
        return split
    few = {name: Batch(b.x[:200, :50], b.context[:200]) for name, b in split.items()}
    sums = {name: b.x.sum(1, keepdims=True) for name, b in few.items()}
    return {name: b._replace(context=jnp.log(sums[name] + 1.0)) for name, b in few.items()}


def main() -> None:
    """Train all models, and print the table and the differences beyond two standard errors."""
    parser = options(__doc__, seeds=3, quick="200 cells, 50 genes, two seeds, five epochs")
    parser.add_argument("--epochs", type=int, default=400)
    args = parser.parse_args()
    data = cells(quick=args.quick)
    seeds, epochs, particles = (2, 5, 20) if args.quick else (args.seeds, args.epochs, 1000)
    vaes = variants(data["train"].x.shape[1], 8 if args.quick else 128)
    scores = {
        name: lambda seed, vae=vae: score(vae, data, seed, epochs, particles)
        for name, vae in vaes.items()
    }
    what, unit = "law of the counts", "test log p(x), nats per cell"
    compare(scores, seeds, baseline=BASELINE, what=what, score=unit)


if __name__ == "__main__":
    main()
