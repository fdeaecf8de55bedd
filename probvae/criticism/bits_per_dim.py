"""Bits per dimension: log p(x) of images on the scale that papers print."""

import math

import numpy as np

from probvae.checks import check_kind
from probvae.inputs import to_numbers
from probvae.typing import ArrayLike, Shape


def bits_per_dimension(
    nats: ArrayLike | float, event_shape: Shape, *, levels: int = 1
) -> np.ndarray | float:
    """Return -log p(x) / (D ln 2) + log2(levels), lower is better, D the entries of one datum.

    Meant for data of integers 0, ..., ``levels`` - 1. A likelihood that gives each integer a
    probability (``DiscretizedLogistic``, ``Categorical``, ``Bernoulli``) takes ``levels=1``. A density
    of (integer + uniform noise) / ``levels``, in [0, 1], takes their number, such as 256: the mean over
    the noise is then at least the bits of the probability that the density gives to the integer. For
    data that never were integers, or to which no noise was added, bits mean nothing.

    Args:
        nats: log p(x), or a bound, of each datum or their mean.
        event_shape: of one datum.
        levels: by how much x was divided.

    Raises:
        ValueError: for levels that are no whole number >= 1, or a datum without entries.

    Reference: Theis, van den Oord and Bethge 2016, arXiv:1511.01844.
    """
    check_kind("event_shape", event_shape, tuple[int, ...])
    size = math.prod(event_shape)
    if not isinstance(levels, int | np.integer) or levels < 1 or size < 1:
        raise ValueError(
            f"bits_per_dimension expects a whole number of levels >= 1 and a datum of some entries; "
            f"got levels={levels!r}, event_shape={event_shape}. Bytes divided by 256 have levels=256."
        )
    return -np.asarray(to_numbers("nats", nats), float) / (size * math.log(2)) + math.log2(levels)
