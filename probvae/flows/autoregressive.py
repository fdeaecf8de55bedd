"""Autoregressive affine layers."""

from dataclasses import dataclass

import jax
from numpyro.distributions.transforms import Transform

from probvae.distributions.coupling import Autoregressive as AutoregressiveTransform
from probvae.flows.layer import AbstractLayer, conditioner
from probvae.nets.layers import check_sizes
from probvae.nets.made import MADE


@dataclass(frozen=True)
class Autoregressive(AbstractLayer):
    """y_i = s_i x_i + m_i, (m_i, log s_i) a masked net of x_<i.

    Noise to code is one pass, code to noise one pass per dimension: as a guide this is the inverse
    autoregressive flow. In a prior the layer is turned round (code to noise in one pass, the masked
    autoregressive flow), so that training is fast and generation takes ``latent_dim`` passes.

    Args:
        hidden: widths of the masked net's hidden layers.

    Reference: Kingma et al. 2016, arXiv:1606.04934; Papamakarios et al. 2017, arXiv:1705.07057.
    """

    hidden: tuple[int, ...] = (64,)

    def __post_init__(self) -> None:
        check_sizes("Autoregressive", "hidden", self.hidden)

    def transforms(
        self, role: str, latent_dim: int, told: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        net = MADE(self.hidden)
        apply = conditioner(role, net, latent_dim, told, (latent_dim, 2), training=training)

        return [AutoregressiveTransform(apply)]

    def __str__(self) -> str:
        return "autoregressive"
