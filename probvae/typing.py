"""The shape vocabulary of the package: one alias per kind of array."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float, Key, Num

ArrayLike: TypeAlias = jax.Array | np.ndarray
Shape: TypeAlias = tuple[int, ...]
RngKey: TypeAlias = Key[Array, ""]
Schedule: TypeAlias = Callable[[Any], Any]
Params: TypeAlias = Mapping[str, Any]
DataLike: TypeAlias = (
    Any  # an array, masked array, data frame, source of rows, or Batch(x, context, mask)
)

PerDatum: TypeAlias = Float[Array, " batch"]
Latent: TypeAlias = Float[ArrayLike, "batch latent"]
Data: TypeAlias = Num[ArrayLike, "batch *event"]
