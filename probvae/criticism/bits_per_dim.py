"""Bits per dimension: log p(x) of images on the scale that papers report."""

import math

import numpy as np

from probvae.checks import Sizes, check_kind, check_positive_integer
from probvae.inputs import to_numbers
from probvae.typing import ArrayLike, Shape


def bits_per_dimension(
    nats: ArrayLike | float, event_shape: Shape, *, levels: int = 1
) -> np.ndarray | float:
    r"""Convert log p(x) from nats to bits per dimension. Lower is better.

    The result is $-\log p(x) / (D \ln 2) + \log_2(\text{levels})$, with $D$ entries per row. It is
    meant for data of integers 0, 1, ..., ``levels`` - 1.

    If the likelihood gives each integer a probability (``DiscretizedLogistic``, ``Categorical``,
    ``Bernoulli``), use ``levels=1``. If it is a density of (integer + uniform noise) / ``levels``, in
    [0, 1], pass the number of levels, such as 256. The mean over the noise is then an upper bound on
    the bits of the integers' probability. Bits have no meaning for other data.

    Args:
        nats: log p(x), or a bound: one value per row, or their mean.
        event_shape: the shape of a row.
        levels: the number that x was divided by. 256 for bytes.

    Raises:
        ValueError: for ``levels`` below 1, or a row without entries.

    Reference: Theis, van den Oord and Bethge 2016, arXiv:1511.01844.
    """
    check_kind("event_shape", event_shape, Sizes)
    check_positive_integer("levels", levels)
    size = math.prod(event_shape)
    return -np.asarray(to_numbers("nats", nats), float) / (size * math.log(2)) + math.log2(levels)
