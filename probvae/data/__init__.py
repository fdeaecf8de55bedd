"""Data sets and what happens to a datum before it is scored."""

from probvae.data import dsprites
from probvae.data.dataset import Data
from probvae.data.loading import KnownData, known, load
from probvae.data.noise import GaussianNoise, LaplaceNoise
from probvae.data.observations import (
    AbstractObservation,
    Binarize,
    Cast,
    Compose,
    Dequantize,
    Flip,
    Rescale,
)
from probvae.data.preparation import Prepared, prepare_images
from probvae.data.reading import DataError
from probvae.data.streamed import Streamed

__all__ = [
    "AbstractObservation",
    "Binarize",
    "Cast",
    "Compose",
    "Data",
    "DataError",
    "Dequantize",
    "Flip",
    "GaussianNoise",
    "KnownData",
    "LaplaceNoise",
    "Prepared",
    "Rescale",
    "Streamed",
    "dsprites",
    "known",
    "load",
    "prepare_images",
]
