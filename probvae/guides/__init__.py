"""Guides: the family of q(z|x)."""

from probvae.guides.full_rank import FullRank
from probvae.guides.low_rank import LowRank
from probvae.guides.mean_field import MeanField

__all__ = ["FullRank", "LowRank", "MeanField"]
