"""Type aliases of the package: arrays by their shape, pytrees, programs and functions."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, Num
from jaxtyping import PyTree as PyTree
from numpyro.infer.elbo import ELBO

# Arrays
ArrayLike: TypeAlias = jax.Array | np.ndarray
Scalar: TypeAlias = float | np.number | jax.Array
DataLike: TypeAlias = Any  # array, masked array, frame, sparse matrix, tensor, row source or ``Batch``
RngKey: TypeAlias = Key[Array, ""]
Shape: TypeAlias = tuple[int, ...]
PerDatum: TypeAlias = Float[Array, " batch"]
Latent: TypeAlias = Float[ArrayLike, "batch latent"]
Data: TypeAlias = Num[ArrayLike, "batch *event"]

# Values by name
Params: TypeAlias = Mapping[str, Any]  # parameters and running state, pytrees by site
Metrics: TypeAlias = Mapping[str, Any]  # numbers or arrays of them, by name
Trace: TypeAlias = dict[str, dict[str, Any]]  # of NumPyro: a message for each site

# Functions
Program: TypeAlias = Callable[..., Any]  # a NumPyro program: it issues sites
Observation: TypeAlias = Callable[[RngKey, ArrayLike], ArrayLike]  # noise or rescaling of data
Recipe: TypeAlias = Callable[..., nnx.Module]  # (in_shape, out_shape, *, rngs) -> net
Weights: TypeAlias = Mapping[str, Any]  # of a net: a tree of arrays, by the names of its variables
Initializer: TypeAlias = Callable[[jax.Array], Weights]  # from a key
Schedule: TypeAlias = Callable[[Any], Any]  # step -> number
Weight: TypeAlias = float | Schedule
Objective: TypeAlias = ELBO  # of NumPyro's, or an ``AbstractObjective``
