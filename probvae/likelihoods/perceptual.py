"""Distance in the features of a net: no density."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import numpyro.distributions as dist

from probvae.distributions import FeatureDistance
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class PerceptualDistance(AbstractLikelihood):
    """-|phi(x) - phi(f(z))|^2 / (2 sigma^2) in place of log p(x|z): f(z) should look like x to phi.

    **No density** (two x with the same features score alike, and nothing normalises it): bounds on log
    p(x) and comparisons refuse it by name. With phi(x) = x it is ``Gaussian(FixedScale(sigma))`` up to
    that one's constant. phi is any fixed function of data; to use a net with weights, close over it:

        likelihoods.PerceptualDistance(lambda x: net(x), scale=0.1)

    A function is equal to itself alone: keep the one object if fits are to share a compiled program.

    Args:
        features: phi, from data ``(batch, *event_shape)`` to an array with a row for each, or a tree of
            such (several layers: their distances add up).
        scale: sigma, in the features' units: the weight 1 / (2 sigma^2) of the distance against the KL.

    Raises:
        TypeError, ValueError: for features that are no function, or a scale that is not positive.

    Reference: Hou et al. 2017, arXiv:1610.00291 (deep feature consistent VAE).
    """

    is_density = False
    factorises = False

    features: Callable
    _: KW_ONLY
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not callable(self.features):
            raise TypeError(
                "PerceptualDistance(features=...) expects a function of data `(batch, *event_shape)`; got "
                f"{self.features!r}."
            )
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"PerceptualDistance(scale=...) expects a positive number; got {self.scale!r}."
            )

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        _check_features(self.features, outputs)
        return FeatureDistance(outputs, self.features, self.scale)

    def __str__(self) -> str:
        name = getattr(self.features, "__name__", type(self.features).__name__)
        return f"f(z) up to {name}, sigma = {self.scale}: no density"


def _check_features(features: Callable, x: jax.Array) -> None:
    """Raise unless the features have a row for each datum: they are traced, abstractly."""
    try:
        found: Any = jax.eval_shape(features, x)
        rows = [leaf.shape[:1] for leaf in jax.tree.leaves(found)]
    except Exception as error:
        raise ValueError(
            f"PerceptualDistance(features=...) expects a function of data of shape {x.shape}; {features!r} "
            f"failed on them: {error}"
        ) from error
    if not rows or any(row != x.shape[:1] for row in rows):
        raise ValueError(
            f"PerceptualDistance(features=...) expects features with a row for each of {len(x)} data; got the "
            f"shapes {[leaf.shape for leaf in jax.tree.leaves(found)]} from {features!r}. Keep the "
            "first axis, and sum over no data."
        )
