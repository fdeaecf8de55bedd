"""Tables as inputs of a VAE: their numbers and their mask, by the schema of the training table."""

from os import PathLike

import numpy as np

from probvae.data import Table
from probvae.data.frames import is_frame
from probvae.data.schema import EncodedTable
from probvae.data_description import DataComparison, DataSummary
from probvae.evidence import Batch
from probvae.nets.column_inputs import find_column_inputs
from probvae.vae import VAE


def encode_table(
    vae: VAE, batch: Batch, name: str, record: DataSummary | DataComparison | None
) -> Batch:
    """Return a table as its numbers and its mask. Other data stay as they are.

    Training data give their schema to ``record``. Other data are read by the schema of the training
    data, whose levels and columns they share.
    """
    x, schema = batch.x, None if record is None else record.schema
    if schema is None and not isinstance(x, Table) and is_frame(x) and find_column_inputs(vae.encoder):
        raise TypeError(
            f"{name} is a frame without column types, and this VAE was built for a data.Table. "
            "Give the same table to both: table = data.Table(frame), vae = VAE.for_table(table), "
            "fit(vae, table, ...)."
        )
    if schema is not None and hasattr(x, "iloc") and not hasattr(x, "columns"):
        raise TypeError(f"{name} is one column or row. Give a frame, such as frame.iloc[[0]].")
    if isinstance(x, Table) and (schema is None or x.schema == schema):
        if isinstance(record, DataSummary):
            record.schema = x.schema
        encoded = EncodedTable(x.x, x.mask)
    elif schema is not None and (isinstance(x, Table) or is_frame(x) or isinstance(x, str | PathLike)):
        encoded = schema.encode(x, name)
    else:
        return batch
    values = np.where(encoded.mask, encoded.x, 0.0)
    if encoded.mask.all():
        return batch._replace(x=values)
    if batch.mask is None:
        return batch._replace(x=values, mask=encoded.mask)
    return batch._replace(x=np.ma.array(values, mask=~encoded.mask))
