"""A likelihood of real-valued data with outliers: independent Student t entries."""

from dataclasses import KW_ONLY, dataclass, field

import jax
import numpyro.distributions as dist

from probvae.checks import PositiveFloat
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import LearnedScale, NonOptimalScale
from probvae.typing import Shape


@dataclass(frozen=True)
class StudentT(AbstractLikelihood):
    r"""Independent Student t entries, for data with outliers. The component ``scale`` supplies sigma.

    $p(x|z) = \prod_d t_{df}((x_d - f_d(z)) / \sigma_d) / \sigma_d$, with
    $t_{df}(u) = \Gamma((df + 1) / 2) / (\Gamma(df / 2) \sqrt{df \pi}) (1 + u^2 / df)^{-(df + 1) / 2}$.

    The pull of a far entry on f decreases like 1 / distance. The mean exists for df > 1 only, and the
    variance $\sigma^2 df / (df - 2)$ for df > 2 only.

    Args:
        df: degrees of freedom. 1 is the Cauchy distribution, and the limit of infinity the Gaussian.
        scale: sigma in the data's units: ``FixedScale``, ``LearnedScale``, ``ColumnScale`` or
            ``PixelScale``.

    Reference: Takahashi et al. 2018, Student-t variational autoencoder for robust density estimation,
    IJCAI. There the decoder also returns df.
    """

    df: PositiveFloat = 5.0
    _: KW_ONLY
    scale: NonOptimalScale = field(default_factory=LearnedScale)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 1 + self.scale.num_outputs)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        loc = outputs[..., 0]
        return dist.StudentT(self.df, loc, self.scale(loc, outputs[..., 1:], scope))

    def __str__(self) -> str:
        return f"StudentT({self.df:g}, f(z), sigma), {self.scale}"
