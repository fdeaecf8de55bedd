"""A distance in the features of a fixed function, in place of a likelihood: not a density."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

import jax
import numpyro.distributions as dist

from probvae.checks import PositiveFloat, Requirement
from probvae.distributions import FeatureDistance
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape

Features = Annotated[Callable, Requirement("a function of data `(batch, *event_shape)`")]


@dataclass(frozen=True)
class PerceptualDistance(AbstractLikelihood):
    r"""A distance between the features of x and of f(z), in place of log p(x|z).

    $-|\phi(x) - \phi(f(z))|^2 / (2 \sigma^2)$, for any fixed function $\phi$ of the data.

    **This is not a density.** Two x with the same features have the same score, and nothing normalises
    it. Bounds on log p(x) and comparisons therefore raise an error. With $\phi(x) = x$ it equals
    ``Gaussian(FixedScale(sigma))`` up to a constant. To use a net with weights, close over it:

        likelihoods.PerceptualDistance(lambda x: net(x), scale=0.1)

    Python compares functions by identity. Keep one function object if several fits should share a
    compiled program.

    Args:
        features: phi, from data ``(batch, *event_shape)`` to an array with one row per datum, or to a
            tree of such arrays. For a tree (several layers), the distances add up.
        scale: sigma, in the features' units. It sets the weight of the distance against the KL.

    Reference: Hou et al. 2017, arXiv:1610.00291 (deep feature consistent VAE).
    """

    is_density = False
    factorises = False

    features: Features
    _: KW_ONLY
    scale: PositiveFloat = 1.0

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        # Here and not in __post_init__, because the shape of the data is known only here.
        _check_features(self.features, outputs)
        return FeatureDistance(outputs, self.features, self.scale)

    def __str__(self) -> str:
        name = getattr(self.features, "__name__", type(self.features).__name__)
        return f"f(z) up to {name}, sigma = {self.scale}: no density"


def _check_features(features: Callable, x: jax.Array) -> None:
    """Raise unless the features have a row for each datum. They are traced, without arithmetic."""
    name = "PerceptualDistance(features=...)"
    try:
        shapes = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(features, x))]
    except Exception as error:
        raise ValueError(
            f"{name} expects a function of data of shape {x.shape}; {features!r} failed: {error}"
        ) from error
    if not shapes or any(shape[:1] != x.shape[:1] for shape in shapes):
        raise ValueError(
            f"{name} expects features with one row per datum ({len(x)}); got the shapes {shapes} from "
            f"{features!r}. Keep the first axis."
        )
