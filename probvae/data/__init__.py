"""Data sets and what happens to a datum before it is scored."""

from probvae.data import dsprites
from probvae.data.additive_noise import GaussianNoise, LaplaceNoise
from probvae.data.dataset import Data
from probvae.data.image_preparation import Prepared, prepare_images
from probvae.data.loading import DatasetInfo, list_datasets, load
from probvae.data.observations import (
    AbstractObservation,
    Binarize,
    Cast,
    Compose,
    Dequantize,
    Flip,
    Rescale,
)
from probvae.data.read_errors import DataError
from probvae.data.streamed import StreamedData

__all__ = [
    "AbstractObservation",
    "Binarize",
    "Cast",
    "Compose",
    "Data",
    "DataError",
    "DatasetInfo",
    "Dequantize",
    "Flip",
    "GaussianNoise",
    "LaplaceNoise",
    "Prepared",
    "Rescale",
    "StreamedData",
    "dsprites",
    "list_datasets",
    "load",
    "prepare_images",
]
