"""Flows: invertible layers of the code, for ``priors.Flow`` and ``guides.Flow``."""

from probvae.flows.autoregressive import Autoregressive
from probvae.flows.coupling import Coupling, SplineCoupling
from probvae.flows.layer import AbstractLayer, transforms

__all__ = [
    "AbstractLayer",
    "Autoregressive",
    "Coupling",
    "SplineCoupling",
    "transforms",
]
