"""The types of nets: a recipe, the weights of its module, and a function that initializes them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
from flax import nnx

Recipe: TypeAlias = Callable[..., nnx.Module]  # recipe(in_shape, out_shape, *, rngs)
Weights: TypeAlias = Mapping[str, Any]  # a tree of arrays, with the names of the module's variables
Initializer: TypeAlias = Callable[[jax.Array], Weights]  # from a key
