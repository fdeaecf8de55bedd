"""`Autoregressive`: affine flow layers. The map of an entry depends on the entries before it."""

from dataclasses import dataclass

import jax
from numpyro.distributions.transforms import Transform

from probvae.checks import Sizes
from probvae.distributions.coupling import Autoregressive as AutoregressiveTransform
from probvae.flows.layer import AbstractLayer, register_conditioner
from probvae.nets.made import MADE


@dataclass(frozen=True)
class Autoregressive(AbstractLayer):
    r"""$y_i = s_i x_i + m_i$, where $(m_i, \log s_i)$ is a masked net of $x_{<i}$.

    From noise to code takes one pass, and from code to noise one pass per dimension. In a guide, this
    is the inverse autoregressive flow. A prior uses the inverse of the layer, the masked autoregressive
    flow. There, from code to noise takes one pass: training is fast, and generation takes
    ``latent_dim`` passes.

    Args:
        hidden: widths of the masked net's hidden layers.

    Reference: Kingma et al. 2016, arXiv:1606.04934; Papamakarios et al. 2017, arXiv:1705.07057.
    """

    hidden: Sizes = (64,)

    def transforms(
        self, role: str, latent_dim: int, condition: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        shape = (latent_dim, 2)  # m and log s of each entry
        net = register_conditioner(
            role, MADE(self.hidden), latent_dim, condition, shape, training=training
        )
        return [AutoregressiveTransform(net)]

    def __str__(self) -> str:
        return "autoregressive"
