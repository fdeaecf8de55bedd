"""Guides: the family of q(z|x)."""

from probvae.guides.mean_field import MeanField

__all__ = ["MeanField"]
