"""Real-valued data with outliers."""

import math
from dataclasses import KW_ONLY, dataclass, field

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import AbstractScale, LearnedScale, check_scale
from probvae.typing import Shape


@dataclass(frozen=True)
class StudentT(AbstractLikelihood):
    """p(x|z) = prod_d t_df((x_d - f_d(z)) / sigma_d) / sigma_d.

    t_df(u) = Gamma((df + 1) / 2) / (Gamma(df / 2) sqrt(df pi)) (1 + u^2 / df)^(-(df + 1) / 2). A far
    entry pulls on f with a force that falls as 1 / distance. The mean exists for df > 1 only, the
    variance sigma^2 df / (df - 2) for df > 2 only.

    Args:
        df: degrees of freedom, positive; 1 is the Cauchy distribution, infinity the Gaussian.
        scale: sigma in the data's units: one of ``FixedScale``, ``LearnedScale``, ``PixelScale``.

    Raises:
        TypeError, ValueError: for a df that is not positive and finite, or a scale that does not fit.

    Reference: Takahashi et al. 2018, Student-t variational autoencoder for robust density
    estimation, IJCAI (there df, too, comes from the decoder).
    """

    df: float = 5.0
    _: KW_ONLY
    scale: AbstractScale = field(default_factory=LearnedScale)

    def __post_init__(self) -> None:
        check_scale(self)
        if not (math.isfinite(self.df) and self.df > 0):
            raise ValueError(f"StudentT(df=...) expects a positive number; got {self.df!r}.")

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 1 + self.scale.num_outputs)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        loc = outputs[..., 0]
        return dist.StudentT(self.df, loc, self.scale(loc, outputs[..., 1:], scope))

    def __str__(self) -> str:
        return f"StudentT({self.df:g}, f(z), sigma), {self.scale}"
