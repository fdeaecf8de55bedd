"""Data and model under the same noise."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import OptimalScale
from probvae.typing import Shape


@dataclass(frozen=True)
class Spread(AbstractLikelihood):
    """p(y|z) = int p(x|z) k(y - x) dx: the density of the noisy datum y = x + e, e ~ k.

    On noisy data an ordinary VAE, whose bounds are on log p(y), in nats; p(y) is a density even where
    p(x) is none (data on a line, a deterministic decoder), and the model that matches the noisy data
    matches the data. Known pairs: Gaussian with Gaussian noise (variances add), a point mass with any
    noise. ``fit`` adds the noise to the training data anew at each step; the programs and
    ``fitted.encode`` take y (for plain SVI, ``vae.observe``); ``fitted.sample`` gives x.

    Args:
        base: p(x|z): ``Gaussian(...)`` or ``Delta()``.
        noise: ``data.GaussianNoise(scale)`` or ``data.LaplaceNoise(scale)``, in the data's units.

    Raises:
        TypeError, ValueError: for a base that is no likelihood, a noise that is none, or an optimal
            scale.

    Reference: Zhang, Hayes, Bird, Habib and Barber 2020, Spread divergence, arXiv:1811.08968.
    """

    base: AbstractLikelihood
    _: KW_ONLY
    noise: Any

    def __post_init__(self) -> None:
        if not isinstance(self.base, AbstractLikelihood):
            raise TypeError(
                f"Spread expects a likelihood such as Gaussian() or Delta(); got {self.base!r}."
            )
        if not isinstance(getattr(self.noise, "distribution", None), dist.Distribution):
            raise TypeError(
                "Spread(noise=...) expects a noise component such as data.GaussianNoise(0.5); got "
                f"{self.noise!r}."
            )
        if isinstance(getattr(self.base, "scale", None), OptimalScale):
            raise ValueError(
                "Spread and OptimalScale do not fit: the mean squared error on noisy data holds the "
                "noise's variance. Take Gaussian(scale=LearnedScale()) as the base."
            )

    @property
    def observation(self) -> Any:
        return self.noise

    @property
    def noiseless(self) -> AbstractLikelihood:
        return self.base

    def output_shape(self, event_shape: Shape) -> Shape:
        return self.base.output_shape(event_shape)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        p, noise = self.base.distribution(outputs, scope), self.noise.distribution
        if isinstance(p, dist.Normal) and isinstance(noise, dist.Normal):
            return dist.Normal(p.loc, jnp.hypot(p.scale, noise.scale))
        if isinstance(p, dist.Delta):
            return type(noise)(p.v, noise.scale)
        raise ValueError(
            f"the base {type(self.base).__name__} and the noise {type(self.noise).__name__} do not "
            "fit: the density of their sum is not known here. Gaussian() goes with GaussianNoise, "
            "Delta() with GaussianNoise or LaplaceNoise."
        )

    def __str__(self) -> str:
        return f"{self.base}, spread by {self.noise}"
