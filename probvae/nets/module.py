"""Nets as NumPyro parameters: their weights are drawn from the key that SVI receives.

NumPyro's own ``nnx_module`` takes a built module, so its weights are fixed before the key is known. Two
seeds would then start from the same weights. Here the structure of the module is computed without
arrays, and the weights are a ``numpyro.param`` that is drawn when SVI initializes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpyro
from flax import nnx
from numpyro.primitives import mutable

from probvae.checks import signature_error
from probvae.nets import bayesian
from probvae.nets.bayesian import BayesianNet
from probvae.nets.external_modules import check_module
from probvae.typing import Initializer, Recipe, Shape, Weights

State: TypeAlias = Any  # nnx.State: its type parameters are more than beartype reads


class _Structure(NamedTuple):
    """A module without arrays: its graph, and the shapes and dtypes of its variables."""

    graph: Any
    params: State
    rngs: State
    state: State


def build(recipe: Recipe, in_shape: Shape, out_shape: Shape, rng_key: jax.Array) -> nnx.Module:
    """Build the module of a recipe, with weights drawn from ``rng_key``.

    Raises:
        TypeError: the recipe has another signature, or does not return an NNX module.
    """
    why = signature_error(recipe, in_shape, out_shape, rngs=None)
    if why:
        hint = f" Call it: {recipe.__name__}(...)." if isinstance(recipe, type) else ""
        expected = (
            "a recipe `recipe(in_shape, out_shape, *, rngs) -> nnx.Module`, such as "
            "nets.MLP((300, 300)) or an NNX class"
        )
        raise TypeError(f"a net expects {expected}; got {recipe!r}, which is not one ({why}).{hint}")
    module = recipe(in_shape, out_shape, rngs=nnx.Rngs(rng_key))
    check_module(f"the recipe {recipe}", module, nnx.Module)
    if jnp.zeros(()).dtype == jnp.float64:
        nnx.update(module, jax.tree.map(_to_double, nnx.state(module)))
    return module


def _to_double(leaf: jax.Array) -> jax.Array:
    """Return float32 as float64: flax draws weights in float32, with and without ``jax_enable_x64``."""
    return leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf


def _split(module: nnx.Module) -> _Structure:
    graph, params, rngs, state = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return _Structure(graph, params, rngs, state)


@lru_cache(maxsize=256)
def _structure(recipe: Recipe, in_shape: Shape, out_shape: Shape, *, training: bool) -> _Structure:
    abstract = nnx.eval_shape(lambda: build(recipe, in_shape, out_shape, jax.random.key(0)))
    abstract.train() if training else abstract.eval()
    return _split(abstract)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("params", "state", "rng_key"),
    meta_fields=("role", "recipe", "in_shape", "out_shape", "training"),
)
@dataclass(frozen=True, eq=False)
class RegisteredNet:
    """A net with its weights: a function from ``(batch, *in_shape)`` to ``(batch, *out_shape)``.

    It is a pytree of its arrays, so a distribution can hold it and a compiled function can return it.
    """

    params: Weights
    state: dict[str, Weights]  # {"value": running state}, updated in training
    rng_key: jax.Array | None  # of dropout
    role: str
    recipe: Recipe
    in_shape: Shape
    out_shape: Shape
    training: bool

    def __call__(self, x: jax.Array) -> jax.Array:
        structure = _structure(self.recipe, self.in_shape, self.out_shape, training=self.training)
        module = nnx.merge(
            structure.graph,
            _fill_state(structure.params, self.params),
            _seed_dropout(structure.rngs, self.rng_key),
            _fill_state(structure.state, self.state["value"]),
        )
        y = module(x)
        if self.training and structure.state:
            self.state["value"] = jax.lax.stop_gradient(nnx.to_pure_dict(_split(module).state))
        if y.shape != (x.shape[0], *self.out_shape):
            expected = f"{(x.shape[0], *self.out_shape)}"
            fix = "Give its last layer the size of `out_shape`, and reshape the output to it."
            raise ValueError(
                f"the {self.role}'s net {self.recipe} returned shape {y.shape} for an input of shape "
                f"{x.shape}; expected {expected}. {fix}"
            )
        return y


def register(
    role: str, recipe: Recipe, in_shape: Shape, out_shape: Shape, *, training: bool = True
) -> RegisteredNet:
    """Register a net's weights at ``role$params``, and its running state at ``role$state``.

    The weights of a ``BayesianNet`` are drawn at the site ``role$weights`` instead.

    Args:
        role: the first part of the site names, such as ``"decoder"`` or ``"prior$flow"``.
        recipe: hashable. ``recipe(in_shape, out_shape, *, rngs)`` returns an NNX module.
        in_shape: shape of one input, without the batch.
        out_shape: shape of one output.
        training: whether dropout and batch statistics are in training mode.

    Returns:
        a function from ``(batch, *in_shape)`` to ``(batch, *out_shape)``.
    """
    # The weights do not exist yet. ``numpyro.param`` receives a function of a key, which SVI calls
    # once, in ``init``. All other runs of the program substitute the current values. The structure is
    # cached by recipe and shapes, so that a trace of the program builds no arrays.
    net = check_net(role, recipe)
    structure = _structure(net, in_shape, out_shape, training=training)
    draw_params = make_initializer(net, in_shape, out_shape, "params")
    if isinstance(recipe, BayesianNet):
        shapes = nnx.to_pure_dict(structure.params)
        params = bayesian.draw_model_weights(role, recipe, draw_params, shapes, training=training)
    else:
        params = numpyro.param(f"{role}$params", draw_params) if structure.params else {}
    state: dict[str, Weights] = {"value": {}}
    if structure.state:
        draw_state = make_initializer(net, in_shape, out_shape, "state")
        state = mutable(f"{role}$state", {"value": draw_state(jax.random.key(0))})
    rng_key = numpyro.prng_key() if training and jax.tree.leaves(structure.rngs) else None
    return RegisteredNet(params, state, rng_key, role, net, in_shape, out_shape, training)


def register_posterior(
    role: str, recipe: Recipe, in_shape: Shape, out_shape: Shape, *, training: bool = True
) -> None:
    """Issue the guide's side of ``register``: q of weights that the model draws. Other nets have none.

    Arguments as for ``register``: ``role``, ``recipe``, ``in_shape``, ``out_shape``, ``training``.
    """
    if isinstance(recipe, BayesianNet) and training:
        net = check_net(role, recipe)
        shapes = nnx.to_pure_dict(_structure(net, in_shape, out_shape, training=training).params)
        start = make_initializer(net, in_shape, out_shape, "params")
        bayesian.sample_guide_weights(role, recipe, start, shapes)


def make_initializer(
    net: Recipe, in_shape: Shape, out_shape: Shape, part: Literal["params", "state"]
) -> Initializer:
    """Return a function from a key to a net's initial weights, or to its initial running state."""
    return lambda key: nnx.to_pure_dict(getattr(_split(build(net, in_shape, out_shape, key)), part))


def check_net(role: str, recipe: Recipe) -> Recipe:
    """Return the recipe whose weights are registered. A prior is allowed for the decoder's only."""
    if not isinstance(recipe, BayesianNet):
        return recipe
    if role != "decoder":
        raise ValueError(
            f"nets.BayesianNet gives a prior to the weights of the decoder only; got it as the net of "
            f"{role}. The encoder's weights are not part of the model p(x, z), and other parts have no "
            f"q(w). Give {recipe.net} itself."
        )
    return recipe.net


def function(
    recipe: Recipe, in_shape: Shape, out_shape: Shape
) -> Callable[[Weights, jax.Array], jax.Array]:
    """Return a net as a function ``(params, x)`` of the weights that ``register`` registers.

    Use it for nets that run several times in a step, each time with other gradients.

    Args:
        recipe: of the net.
        in_shape: shape of one input.
        out_shape: shape of one output.

    Raises:
        ValueError: the net has running state or dropout, which several runs would not share.
    """
    structure = _structure(recipe, in_shape, out_shape, training=True)
    if structure.state or jax.tree.leaves(structure.rngs):
        expected = "a net without running state and dropout, as it runs several times in a step"
        raise ValueError(f"expected {expected}; got {recipe}. Use LayerNorm, and no dropout.")

    def apply(params: Weights, x: jax.Array) -> jax.Array:
        net = recipe, in_shape, out_shape
        return RegisteredNet(params, {"value": {}}, None, "objective", *net, training=True)(x)

    return apply


def _fill_state(abstract: State, values: Weights) -> State:
    """Put arrays into an abstract NNX state."""
    return jax.tree.unflatten(jax.tree.structure(abstract), jax.tree.leaves(values))


def _seed_dropout(abstract: State, rng_key: jax.Array | None) -> State:
    """Give each of dropout's streams its own key, derived from the key of this run of the program."""
    key = jax.random.key(0) if rng_key is None else rng_key
    leaves, structure = jax.tree.flatten(abstract)
    return jax.tree.unflatten(structure, [_seed(key, i, leaf) for i, leaf in enumerate(leaves)])


def _seed(key: jax.Array, i: int, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.zeros(leaf.shape, leaf.dtype)  # the count of draws from a stream
    return jax.random.split(jax.random.fold_in(key, i), leaf.shape)
