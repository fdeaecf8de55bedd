"""A likelihood of noisy data: the same noise on data and model (Spread divergence)."""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.checks import Requirement, format_value
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import OptimalScale
from probvae.typing import Shape


@dataclass(frozen=True)
class Spread(AbstractLikelihood):
    r"""The density of a noisy datum y under the model with the same noise.

    $p(y|z) = \int p(x|z) k(y - x) dx$, for $y = x + e$, $e \sim k$.

    On noisy data the VAE is an ordinary one, and its bounds are on log p(y), in nats. p(y) is a density
    even where p(x) is not one, as for data on a line or a deterministic decoder. The model that matches
    the noisy data also matches the data.

    Two combinations are implemented: Gaussian with Gaussian noise (variances add), and a point mass
    with any noise. ``fit`` adds new noise to the training data at each step. The programs and
    ``fitted.encode`` expect y (for plain SVI, use ``vae.observe``). ``fitted.sample`` returns x.

    Args:
        base: p(x|z): ``Gaussian(...)`` or ``Delta()``.
        noise: ``data.GaussianNoise(scale)`` or ``data.LaplaceNoise(scale)``, in the data's units.

    Raises:
        TypeError: for a noise that has no distribution.
        ValueError: for an optimal scale.

    Reference: Zhang, Hayes, Bird, Habib and Barber 2020, Spread divergence, arXiv:1811.08968.
    """

    base: Annotated[AbstractLikelihood, Requirement("a likelihood such as Gaussian() or Delta()")]
    _: KW_ONLY
    noise: Any

    def __post_init__(self) -> None:
        if not isinstance(getattr(self.noise, "distribution", None), dist.Distribution):
            raise TypeError(
                "Spread(noise=...) expects a noise component such as data.GaussianNoise(0.5); got "
                f"{format_value(self.noise)}."
            )
        if isinstance(self.base, AbstractLikelihood) and self.base.models_mask:
            raise ValueError(
                "Spread(base=...) expects a base without a model of the mask; got "
                f"{format_value(self.base)}. Use Gaussian() or Delta()."
            )
        if isinstance(getattr(self.base, "scale", None), OptimalScale):
            raise ValueError(
                "Spread(base=...) expects a base without OptimalScale, whose squared error would "
                f"contain the noise; got {self.base!r}. Use Gaussian(scale=LearnedScale())."
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
            # Variances add, so the scale is sqrt(sigma^2 + noise^2).
            return dist.Normal(p.loc, jnp.hypot(p.scale, noise.scale))
        if isinstance(p, dist.Delta):
            return type(noise)(p.v, noise.scale)
        raise ValueError(
            "Spread expects Gaussian() with GaussianNoise, or Delta() with GaussianNoise or "
            f"LaplaceNoise; got {type(self.base).__name__} with {type(self.noise).__name__}."
        )

    def __str__(self) -> str:
        return f"{self.base}, spread by {self.noise}"
