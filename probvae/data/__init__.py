"""Data sets and what happens to a datum before it is scored."""

from probvae.data import dsprites
from probvae.data.additive_noise import GaussianNoise, LaplaceNoise
from probvae.data.column_types import (
    Categorical,
    Constant,
    Count,
    Date,
    Identifier,
    Ordinal,
    Positive,
    Real,
    YesNo,
)
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
from probvae.data.schema import EncodedTable, Schema
from probvae.data.streamed import StreamedData
from probvae.data.table import Table, TableSplit

__all__ = [
    "AbstractObservation",
    "Binarize",
    "Cast",
    "Categorical",
    "Compose",
    "Constant",
    "Count",
    "Data",
    "DataError",
    "DatasetInfo",
    "Date",
    "Dequantize",
    "EncodedTable",
    "Flip",
    "GaussianNoise",
    "Identifier",
    "LaplaceNoise",
    "Ordinal",
    "Positive",
    "Prepared",
    "Real",
    "Rescale",
    "Schema",
    "StreamedData",
    "Table",
    "TableSplit",
    "YesNo",
    "dsprites",
    "list_datasets",
    "load",
    "prepare_images",
]
