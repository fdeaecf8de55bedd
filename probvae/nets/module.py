"""Weights of a net as NumPyro parameters, drawn from the key that SVI is given.

NumPyro's own ``nnx_module`` takes a built module, so its weights are fixed before the key is known:
two seeds would give one start. Here the module's graph is found without arrays, and the weights are
a ``numpyro.param`` that is drawn when SVI asks for it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
from flax import nnx
from numpyro.primitives import mutable

from probvae.nets.foreign import check_module
from probvae.typing import Shape

Recipe = Callable[..., nnx.Module]


class _Structure(NamedTuple):
    graph: Any
    params: Any  # abstract: shapes and dtypes only
    rngs: Any
    state: Any


def build(recipe: Recipe, in_shape: Shape, out_shape: Shape, rng_key: jax.Array) -> nnx.Module:
    """Build the module that a recipe describes, with weights drawn from ``rng_key``.

    Raises:
        TypeError: if the recipe makes something else.
    """
    module = recipe(in_shape, out_shape, rngs=nnx.Rngs(rng_key))
    check_module(f"the recipe {recipe}", module, nnx.Module)
    return module


def _split(module: nnx.Module) -> _Structure:
    graph, params, rngs, state = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return _Structure(graph, params, rngs, state)


@lru_cache(maxsize=256)
def _structure(recipe: Recipe, in_shape: Shape, out_shape: Shape, *, training: bool) -> _Structure:
    abstract = nnx.eval_shape(lambda: build(recipe, in_shape, out_shape, jax.random.key(0)))
    abstract.train() if training else abstract.eval()
    return _split(abstract)


def register(
    role: str, recipe: Recipe, in_shape: Shape, out_shape: Shape, *, training: bool = True
) -> Callable[[jax.Array], jax.Array]:
    """Register a net's weights at ``role$params`` (and its running state at ``role$state``).

    Args:
        role: the site names' first half, such as ``"decoder"`` or ``"prior$flow"``.
        recipe: hashable; ``recipe(in_shape, out_shape, *, rngs)`` returns an NNX module.
        in_shape: shape of one input, without the batch.
        out_shape: shape of one output.
        training: whether dropout and batch statistics behave as in training.

    Returns:
        a function from ``(batch, *in_shape)`` to ``(batch, *out_shape)``.
    """
    form = _structure(recipe, in_shape, out_shape, training=training)

    def draw(part: str) -> Callable[[jax.Array], dict]:
        fresh = lambda key: _split(build(recipe, in_shape, out_shape, key))  # noqa: E731
        return lambda key: nnx.to_pure_dict(getattr(fresh(key), part))

    params = numpyro.param(f"{role}$params", draw("params")) if form.params else {}
    holder = _running_state(role, draw("state")) if form.state else {"value": {}}

    def apply(x: jax.Array) -> jax.Array:
        module = nnx.merge(
            form.graph,
            _filled(form.params, params),
            _seeded(form.rngs, training=training),
            _filled(form.state, holder["value"]),
        )
        y = module(x)
        if training and form.state:
            holder["value"] = jax.lax.stop_gradient(nnx.to_pure_dict(_split(module).state))
        _check_output(f"the {role}'s net {recipe}", x, y, out_shape)
        return y

    return apply


def function(
    recipe: Recipe, in_shape: Shape, out_shape: Shape
) -> Callable[[dict, jax.Array], jax.Array]:
    """Return a net as a function ``(params, x)`` of its weights, which :func:`register` registers.

    For nets that run several times in a step, each time with other gradients.

    Raises:
        ValueError: for a net with running state or dropout, which several runs would not share.
    """
    form = _structure(recipe, in_shape, out_shape, training=True)
    if form.state or jax.tree.leaves(form.rngs):
        raise ValueError(
            f"expected a net without running state and dropout, as it runs several times in a step; "
            f"got {recipe}. Take LayerNorm instead of BatchNorm, and no dropout."
        )

    def apply(params: dict, x: jax.Array) -> jax.Array:
        y = nnx.merge(form.graph, _filled(form.params, params), form.rngs, form.state)(x)
        _check_output(recipe, x, y, out_shape)
        return y

    return apply


def _check_output(what: Any, x: jax.Array, y: jax.Array, out_shape: Shape) -> None:
    if y.shape != (x.shape[0], *out_shape):
        raise ValueError(
            f"{what} returned shape {y.shape} for an input of shape {x.shape}; expected "
            f"{(x.shape[0], *out_shape)}. A net is a recipe `recipe(in_shape, out_shape, *, rngs)`: "
            "let its last layer have the size of `out_shape` and reshape to it."
        )


def _running_state(role: str, draw: Callable[[jax.Array], dict]) -> dict:
    return mutable(f"{role}$state", {"value": draw(jax.random.key(0))})


def _filled(abstract: Any, values: dict) -> Any:
    """Put arrays into an abstract NNX state."""
    leaves = jax.tree.leaves(values)
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def _seeded(abstract: Any, *, training: bool) -> Any:
    """Give dropout's streams a key of this run of the program; without dropout, draw none."""
    if not jax.tree.leaves(abstract):
        return abstract
    key = numpyro.prng_key() if training else None
    key = jax.random.key(0) if key is None else key
    return jax.tree.map(
        lambda leaf: (
            key
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else jnp.zeros(leaf.shape, leaf.dtype)
        ),
        abstract,
    )
