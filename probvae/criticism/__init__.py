"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism.datatree import to_datatree

__all__ = ["to_datatree"]
