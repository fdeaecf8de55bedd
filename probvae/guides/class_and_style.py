"""The guide of a class and a style."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpyro

from probvae import nets
from probvae.distributions import OneHotCategorical, partly_observed
from probvae.guides.mean_field import MeanField
from probvae.interfaces import AbstractDistributionGuide, AbstractProgramGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class ClassAndStyle(AbstractProgramGuide):
    """q(y | x) q(z | x, y): a categorical, and the style's family; where y is known, it is that.

    The encoder gives the K logits of q(y | x), and ``2 latent_dim`` features, told with y to the net of
    q(z | x, y). It is not told the label, which the context is. The prior is ``priors.ClassAndStyle``;
    ``objectives.ELBO`` sums over y exactly, and ``fitted.responsibilities(x)`` is q(y | x).

    Args:
        classes: K, the number of classes.
        style: the family of q(z | x, y), any guide that is one distribution.
        net: a recipe of the net of the style.

    Raises:
        TypeError: for a style that is no one distribution with a density.

    Reference: Kingma et al. 2014, arXiv:1406.5298 (model M2).
    """

    classes: int
    style: AbstractDistributionGuide = field(default_factory=MeanField)
    net: nets.Recipe = nets.MLP((100,))

    def __post_init__(self) -> None:
        if not isinstance(self.classes, int) or self.classes < 2:
            raise ValueError(
                f"ClassAndStyle(classes=...) expects an integer of 2 or more; got {self.classes!r}."
            )
        if not isinstance(self.style, AbstractDistributionGuide) or not self.style.is_density:
            raise TypeError(
                "ClassAndStyle(style=...) expects a guide that is one distribution with a density, "
                f"such as guides.MeanField(); got {self.style!r}."
            )

    def output_shape(self, latent_dim: int) -> Shape:
        return (self.classes + 2 * latent_dim,)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        n, k = scope.latent_dim, self.classes
        shapes = ((2 * n + k,), self.style.output_shape(n))
        net = nets.register("guide$style", self.net, *shapes, training=scope.training)
        label = scope.context if scope.context_shape == (k,) else None
        here = partly_observed(OneHotCategorical(outputs[..., :k]), label)
        y = here.filled(numpyro.sample("y", here))
        told = jnp.concatenate([outputs[..., k:], y], axis=-1)
        numpyro.sample("z", self.style.distribution(net(told), scope))

    def __str__(self) -> str:
        return f"q(y | x) q(z | x, y), categorical and {self.style}"
