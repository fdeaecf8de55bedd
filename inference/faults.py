"""Fits with one known fault each, which `planted_faults.py` expects `diagnose` to name."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax

from inference.healthy import (
    Case,
    Settings,
    digits,
    draw_counts,
    fitted,
    healthy_digits,
    vae_of_digits,
)
from probvae import VAE, fit, guides, likelihoods, nets, objectives
from probvae.interfaces import AbstractDistributionGuide, AbstractDistributionPrior


def collapsed(seed: int, s: Settings) -> Case:
    """The KL has thirty times its weight, so that no unit is used."""
    data = digits()
    broken_fit = fitted(vae_of_digits(), data, seed, s.epochs, objective=objectives.ELBO(beta=30.0))
    return Case(broken_fit, data[2], data[0])


def lagging(seed: int, s: Settings) -> Case:
    """The encoder is that of the first epochs, the decoder that of the last."""
    data, late = digits(), healthy_digits(seed, s.epochs)
    early = fitted(vae_of_digits(), data, seed, max(s.epochs // 30, 2))
    values = {**late.values, "encoder$params": early.values["encoder$params"]}
    return Case(late.with_values(values), data[2], data[0])


def overfitted_encoder(seed: int, s: Settings) -> Case:
    """The encoder memorises sixty images, with a decoder that was trained on all of them."""
    data, late = digits(), healthy_digits(seed, s.epochs)
    few = data[0][:60]
    vae = replace(late.vae, encoder=nets.MLP((500, 500)))
    start = {k: v for k, v in late.values.items() if not k.startswith("encoder")}
    broken_fit = fit(
        vae,
        few,
        rng_key=jax.random.key(seed),
        init_params=start,
        freeze=("decoder",),
        epochs=10 * s.epochs,
        batch_size=60,
        optimizer=optax.adam(2e-3),
        progress=False,
    )
    return Case(broken_fit, data[2], few)


def scale_to_zero(seed: int, s: Settings) -> Case:
    """Data on a plane in ten dimensions, and a scale that is learned."""
    random = np.random.default_rng(seed)
    z, w = random.normal(size=(1500, 2)), random.normal(size=(2, 10))
    x = (z @ w).astype(np.float32)
    vae = VAE(
        event_shape=(10,),
        latent_dim=2,
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale()),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    data = (x[:1000], x[1000:1250], x[1250:])
    return Case(fitted(vae, data, seed, 4 * s.epochs, optimizer=optax.adam(1e-2)), data[2], data[0])


def gaussian_on_counts(seed: int, s: Settings) -> Case:
    """Counts, most of them 0, under a Gaussian."""
    x = draw_counts(seed)
    vae = VAE(
        event_shape=(20,),
        latent_dim=3,
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=1.0)),
        encoder=nets.MLP((64,)),
        decoder=nets.MLP((64,)),
    )
    data = (x[:1000], x[1000:1250], x[1250:])
    return Case(fitted(vae, data, seed, s.epochs), data[2], data[0])


@dataclass(frozen=True)
class PermissiveBernoulli(likelihoods.Bernoulli):
    """A Bernoulli formula applied to grey values, where it is not a density."""

    support = dist.constraints.unit_interval


def bernoulli_on_grey(seed: int, s: Settings) -> Case:
    """Grey images under the formula of a Bernoulli."""
    data = digits(binarize=None)
    vae = vae_of_digits(likelihood=PermissiveBernoulli())
    return Case(fitted(vae, data, seed, s.epochs), data[2], data[0])


def hole_in_the_prior(seed: int, s: Settings) -> Case:
    """A prior three times as wide as the fitted one."""
    data, late = digits(), healthy_digits(seed, s.epochs)
    vae = replace(late.vae, prior=WidePrior(3.0))
    return Case(replace(late, vae=vae), data[2], data[0])


@dataclass(frozen=True)
class WidePrior(AbstractDistributionPrior):
    """N(0, scale^2 I)."""

    scale: float

    def distribution(self, scope: Any) -> dist.Distribution:
        """Return p(z)."""
        return dist.Normal(jnp.zeros(scope.latent_dim), self.scale).to_event(1)


def dead_decoder(seed: int, s: Settings) -> Case:
    """The decoder's ReLUs start far below 0, and no gradient brings them back."""
    data, late = digits(), healthy_digits(seed, 2)
    values = jax.tree.map(jnp.asarray, late.params)
    first = values["decoder$params"]["layers"][0]["layer"]
    first["bias"] = first["bias"] - 1e3
    broken_fit = fitted(vae_of_digits(), data, seed, s.epochs, init_params=values)
    return Case(broken_fit, data[2], data[0])


def underweighted_kl(seed: int, s: Settings) -> Case:
    """The KL has a thousandth of its weight."""
    data = digits()
    broken_fit = fitted(vae_of_digits(), data, seed, s.epochs, objective=objectives.ELBO(beta=0.001))
    return Case(broken_fit, data[2], data[0])


def unconverged(seed: int, s: Settings) -> Case:
    """Ten epochs at a low rate."""
    data = digits()
    broken_fit = fitted(vae_of_digits(), data, seed, 10, optimizer=optax.adam(1e-3))
    return Case(broken_fit, data[2], data[0])


@dataclass(frozen=True)
class Scaled(AbstractDistributionGuide):
    """A mean field with ``factor`` times the encoder's standard deviations."""

    factor: float
    base: guides.MeanField = guides.MeanField()  # noqa: RUF009

    def output_shape(self, latent_dim: int) -> tuple[int, ...]:
        """Return the base's."""
        return self.base.output_shape(latent_dim)

    def distribution(self, outputs: Any, scope: Any) -> dist.Distribution:
        """Return q(z|x)."""
        q = self.base.distribution(outputs, scope).base_dist
        return dist.Normal(q.loc, self.factor * q.scale).to_event(1)


def narrow_guide(seed: int, s: Settings) -> Case:
    """The guide is a quarter as wide as the fitted one."""
    data, late = digits(), healthy_digits(seed, s.epochs)
    vae = replace(late.vae, posterior=Scaled(0.25))
    return Case(replace(late, vae=vae), data[2], data[0])


def wide_guide(seed: int, s: Settings) -> Case:
    """Further: the guide is three times as wide as the fitted one."""
    data, late = digits(), healthy_digits(seed, s.epochs)
    return Case(replace(late, vae=replace(late.vae, posterior=Scaled(3.0))), data[2], data[0])


def shuffled_test_pixels(seed: int, s: Settings) -> Case:
    """Further: held-out data whose pixels have another order than those of the training data."""
    data, late = digits(), healthy_digits(seed, s.epochs)
    order = np.random.default_rng(seed).permutation(64)
    x = data[2].reshape(-1, 64)[:, order].reshape(-1, 8, 8)
    return Case(late, x, data[0])


def scale_too_small(seed: int, s: Settings) -> Case:
    """Further: grey digits under a Gaussian of fixed scale 0.03, a tenth of the actual error."""
    data = digits(binarize=None)
    fixed = likelihoods.Gaussian(scale=likelihoods.FixedScale(0.03))
    broken_fit = fitted(vae_of_digits(likelihood=fixed), data, seed, s.epochs)
    return Case(broken_fit, data[2], data[0])


def trained_too_long(seed: int, s: Settings) -> Case:
    """Further: a large net on eighty digits, long past its best epoch."""
    data, net = digits(), nets.MLP((500, 500))
    few = data[0][:80]
    vae = vae_of_digits(encoder=net, decoder=net)
    broken_fit = fitted(vae, (few, data[1]), seed, 4 * s.epochs, batch_size=80)
    return Case(broken_fit, data[2], few)


def encoder_of_noise(seed: int, s: Settings) -> Case:
    """Further: an encoder that was never trained, under a decoder that was."""
    data, late = digits(), healthy_digits(seed, s.epochs)
    other = fitted(vae_of_digits(), data, seed + 100, 1, optimizer=optax.adam(1e-9))
    values = {**late.values, "encoder$params": other.values["encoder$params"]}
    return Case(late.with_values(values), data[2], data[0])
