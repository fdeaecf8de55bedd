"""The rows of published tables: data, VAE, training, and the reported number.

Rows are named data-nets-prior. Training follows the authors' code, which is not plain Adam:

- Tomczak and Welling 2018 (arXiv:1705.07120, their code): gated nets, 40 latents, batch 100, at most
  2000 epochs. Each tensor's gradient is divided by its norm before Adam (5e-4). The KL's weight rises
  over 100 epochs. Training stops after 50 epochs without a better validation bound, and the best state
  is used.
- Burda, Grosse and Salakhutdinov 2016 (arXiv:1509.00519): tanh 200-200, 50 latents, batch 20, Adam with
  epsilon 1e-4 and rate 1e-3 * 10^(-i/7) for 3^i epochs, i = 0..7, without early stopping.

Differences: the KL of a standard normal has its closed form (theirs is one draw). The log variance is
bounded smoothly, not clipped to [-6, 2]. Mean and log variance share one output layer. Probabilities
are not clipped. Pseudo-inputs are in (0, 1) by a bijection, not clipped. The decoder of two levels,
also the convolutional one, reads z1 only. Hidden layers of tanh have flax's initial weights. The KL's
weight rises by the step, not by the epoch.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from probvae import VAE, guides, likelihoods, nets, objectives, priors
from probvae.typing import Shape

DATA = {
    "static": ("binarized-mnist", None),
    "dynamic": ("mnist", "dynamic"),
    "omniglot": ("omniglot", "dynamic"),  # our own 28 x 28 split: not the published file
    "frey": ("freyfaces", None),
}
REFERENCES = {  # test log p(x) in nats by 5000 particles, as reported
    "static-vae-vampprior": "-85.57",
    "static-hvae-vampprior": "-83.19",
    "static-conv-vampprior": "-81.09",
    "dynamic-vae-standard": "-84.45 +- 0.12",
    "dynamic-vae-vampprior": "-82.43 +- 0.06",
    "dynamic-hvae-standard": "-82.39 +- 0.11",
    "dynamic-hvae-vampprior": "-81.56 +- 0.09",
    "dynamic-conv-standard": "-80.52 +- 0.28",
    "dynamic-conv-vampprior": "-79.67 +- 0.09",
    "omniglot-vae-standard": "-108.34 +- 0.06 (another split)",
    "omniglot-vae-vampprior": "-106.78 +- 0.21 (another split)",
    "omniglot-hvae-standard": "-104.92 +- 0.08 (another split)",
    "omniglot-hvae-vampprior": "-103.30 +- 0.43 (another split)",
    "dynamic-iwae-1": "-86.76, 19 active units",
    "dynamic-iwae-5": "-85.54, 22 active units",
    "dynamic-iwae-50": "-84.78, 25 active units",
    "static-iwae-1": "-88.71, 19 active units",
    "static-iwae-5": "-87.63, 22 active units",
    "static-iwae-50": "-87.10, 24 active units",
    "flax": "-ELBO 101.83 after 20 epochs",
}


class Training(NamedTuple):
    """The training of a row: numbers of epochs, and functions of the number of steps.

    They are ``objective(warm_up_steps)`` and ``optimizer(steps_per_epoch)``. Without early stopping
    ``patience`` is None.
    """

    epochs: int
    batch_size: int
    warm_up: int
    patience: int | None
    objective: Callable[[int], Any]
    optimizer: Callable[[int], optax.GradientTransformation]


class Row(NamedTuple):
    """A row of a table: the data and their binarisation, the VAE for a shape, and its training."""

    data: str
    binarize: str | None
    vae: Callable[[Shape], VAE]
    training: Training
    reference: str


def adam_of_normed_gradients(steps_per_epoch: int) -> optax.GradientTransformation:
    """Return Adam (5e-4) on gradients divided, tensor by tensor, by their norms (VampPrior's code)."""
    return optax.chain(optax.stateless(_normed), optax.adam(5e-4))


def _normed(gradients: Any, params: Any) -> Any:
    return jax.tree.map(lambda g: g / (jnp.linalg.norm(g.ravel()) + 1e-7), gradients)


def adam_by_thirds(steps_per_epoch: int) -> optax.GradientTransformation:
    """Return Adam (epsilon 1e-4) with the rate of ``rate_by_thirds``."""
    return optax.adam(rate_by_thirds(steps_per_epoch), eps=1e-4)


def rate_by_thirds(steps_per_epoch: int) -> optax.Schedule:
    """Return the rate 1e-3 * 10^(-i/7) for 3^i epochs, i = 0..7."""
    ends = [(3**i - 1) // 2 * steps_per_epoch for i in range(1, 8)]
    return optax.piecewise_constant_schedule(1e-3, dict.fromkeys(ends, 10 ** (-1 / 7)))


def warm_up_elbo(steps: int) -> objectives.ELBO:
    """Return the ELBO whose KL weight rises from 0 to 1 over ``steps`` steps."""
    return objectives.ELBO(beta=optax.linear_schedule(0.0, 1.0, steps) if steps else 1.0)


TOMCZAK = Training(2000, 100, 100, 50, warm_up_elbo, adam_of_normed_gradients)
FLAX = Training(20, 128, 0, None, warm_up_elbo, lambda _: optax.adam(1e-3))


def make_prior(name: str, *, grey: bool) -> Any:
    """Return the prior of a row. Pseudo-inputs start as in the authors' code."""
    start = (
        {"start_mean": 0.5, "start_scale": 0.02} if grey else {"start_mean": 0.05, "start_scale": 0.01}
    )
    return {
        "standard": priors.StandardNormal(),
        "mixture": priors.GaussianMixture(components=500),
        "vampprior": priors.VampPrior(components=500, **start),
    }[name]


def one_level(shape: Shape, prior: Any, likelihood: Any) -> VAE:
    """300-300 gated units each way, 40 latents."""
    wide = nets.GatedMLP((300, 300))
    return VAE(
        event_shape=shape,
        latent_dim=40,
        prior=prior,
        likelihood=likelihood,
        encoder=wide,
        decoder=wide,
    )


def two_levels(shape: Shape, prior: Any, likelihood: Any) -> VAE:
    """Two codes of 40: q(z2 | x) q(z1 | x, z2), p(z2) p(z1 | z2)."""
    wide = nets.GatedMLP((300, 300))
    return VAE(
        event_shape=shape,
        latent_dim=40,
        prior=priors.TwoLevel(prior, wide),
        posterior=guides.TwoLevelTopDown(nets.GatedMLP((300,))),
        likelihood=likelihood,
        encoder=wide,
        decoder=wide,
    )


def autoregressive(shape: Shape, prior: Any, likelihood: Any) -> VAE:
    """One level, and pixels that see those before them through two masked convolutions."""
    pixels = likelihoods.Autoregressive(nets.MaskedConv((16, 16), kernel=5), features=4)
    return one_level(shape, prior, pixels)


def convolutional(shape: Shape, prior: Any, likelihood: Any) -> VAE:
    """Two codes of 40 and gated convolutions: those of the paper, for x itself (see above)."""
    wide = two_levels(shape, prior, likelihood)
    return replace(wide, encoder=nets.GatedConv(), decoder=nets.GatedConvDecoder())


NETS = {"vae": one_level, "hvae": two_levels, "conv": convolutional, "pixel": autoregressive}


def _row(data: str, net: str, prior: str) -> Row:
    grey = data == "frey"
    likelihood = likelihoods.DiscretizedLogistic() if grey else likelihoods.Bernoulli()

    def vae(shape: Shape) -> VAE:
        return NETS[net](shape, make_prior(prior, grey=grey), likelihood)

    return Row(*DATA[data], vae, TOMCZAK, REFERENCES.get(f"{data}-{net}-{prior}", "none"))


def _burda(data: str, particles: int) -> Row:
    tanh = nets.MLP((200, 200), activation=jnp.tanh)

    def vae(shape: Shape) -> VAE:
        return _bernoulli(shape, 50, tanh)

    bound = objectives.IWAE(particles) if particles > 1 else objectives.ELBO()
    training = Training(3280, 20, 0, None, lambda _: bound, adam_by_thirds)
    return Row(*DATA[data], vae, training, REFERENCES[f"{data}-iwae-{particles}"])


def _bernoulli(shape: Shape, latent_dim: int, net: nets.Recipe) -> VAE:
    return VAE(
        event_shape=shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=net,
        decoder=net,
    )


def _flax(shape: Shape) -> VAE:
    return _bernoulli(shape, 20, nets.MLP((500,)))


ROWS = {
    **{
        f"{data}-{net}-{prior}": _row(data, net, prior)
        for data, net, prior in product(DATA, NETS, ("standard", "mixture", "vampprior"))
        if (data, net) != ("frey", "pixel")  # pixels of 256 levels have no masked net here
    },
    **{f"{data}-iwae-{k}": _burda(data, k) for data, k in product(("static", "dynamic"), (1, 5, 50))},
    "flax": Row("binarized-mnist", None, _flax, FLAX, REFERENCES["flax"]),
}
