"""A guide of a class, which may be labelled, and a style."""

from dataclasses import dataclass, field
from typing import Annotated

import jax
import jax.numpy as jnp
import numpyro

from probvae import nets
from probvae.checks import IntAboveOne, Requirement
from probvae.distributions import OneHotCategorical, partly_observed
from probvae.guides.mean_field import MeanField
from probvae.interfaces import AbstractDistributionGuide, AbstractProgramGuide, Scope
from probvae.typing import Shape

StyleGuide = Annotated[
    AbstractDistributionGuide,
    Requirement(
        "a guide that is one distribution with a density, such as guides.MeanField()",
        lambda guide: guide.is_density,
    ),
]


@dataclass(frozen=True)
class ClassAndStyle(AbstractProgramGuide):
    """A class y and a style z: $q(y | x) q(z | x, y)$. Where the label is known, y is the label.

    The encoder returns the K logits of q(y | x), and ``2 latent_dim`` features of x. A net maps the
    features and y to q(z | x, y). The encoder does not see the label, which is the context.

    The matching prior is ``priors.ClassAndStyle``. ``objectives.ELBO`` sums over y exactly.
    ``fitted.responsibilities(x)`` returns q(y | x).

    Args:
        classes: K, the number of classes.
        style: the family of q(z | x, y), any guide that is one distribution with a density.
        net: a recipe of the style's net.

    Reference: Kingma et al. 2014, arXiv:1406.5298 (model M2).
    """

    classes: IntAboveOne
    style: StyleGuide = field(default_factory=MeanField)
    net: nets.Recipe = nets.MLP((100,))

    def output_shape(self, latent_dim: int) -> Shape:
        return (self.classes + 2 * latent_dim,)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        n, k = scope.latent_dim, self.classes
        shapes = ((2 * n + k,), self.style.output_shape(n))
        net = nets.register("guide$style", self.net, *shapes, training=scope.training)
        label = scope.context if scope.context_shape == (k,) else None
        partial_y = partly_observed(OneHotCategorical(outputs[..., :k]), label)
        y = partial_y.fill_known(numpyro.sample("y", partial_y))
        inputs = jnp.concatenate([outputs[..., k:], y], axis=-1)  # (batch, 2 n + k)
        numpyro.sample("z", self.style.distribution(net(inputs), scope))

    def __str__(self) -> str:
        return f"q(y | x) q(z | x, y), categorical and {self.style}"
