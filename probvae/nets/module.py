"""Weights of a net as NumPyro parameters, drawn from the key that SVI is given.

NumPyro's own ``nnx_module`` takes a built module, so its weights are fixed before the key is known:
two seeds would give one start. Here the module's graph is found without arrays, and the weights are
a ``numpyro.param`` that is drawn when SVI asks for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
from flax import nnx
from numpyro.primitives import mutable

from probvae.checks import signature_error
from probvae.nets import bayesian
from probvae.nets.bayesian import BayesianNet
from probvae.nets.external_modules import check_module
from probvae.typing import Recipe, Shape


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
    _check_signature(recipe, in_shape, out_shape)
    module = recipe(in_shape, out_shape, rngs=nnx.Rngs(rng_key))
    check_module(f"the recipe {recipe}", module, nnx.Module)
    if jnp.zeros(()).dtype == jnp.float64:
        nnx.update(module, jax.tree.map(_to_double, nnx.state(module)))
    return module


def _to_double(leaf: jax.Array) -> jax.Array:
    """Return float32 as float64: flax draws weights in float32, whatever ``jax_enable_x64`` says."""
    return leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf


def _check_signature(recipe: Recipe, in_shape: Shape, out_shape: Shape) -> None:
    """Raise unless a recipe can be called as one."""
    why = signature_error(recipe, in_shape, out_shape, rngs=None)
    if why:
        hint = f" Call it: {recipe.__name__}(...)." if isinstance(recipe, type) else ""
        raise TypeError(
            "a net expects a recipe `recipe(in_shape, out_shape, *, rngs) -> nnx.Module`, such as "
            f"nets.MLP((300, 300)) or an NNX class; got {recipe!r}, which cannot be called so "
            f"({why}).{hint}"
        )


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

    A pytree of its arrays, so that a distribution can hold it and be returned from a compiled function.
    """

    params: Any
    state: Any  # {"value": running state}, written to in training
    rng_key: Any  # of dropout; None without
    role: str
    recipe: Any
    in_shape: Shape
    out_shape: Shape
    training: bool

    def __call__(self, x: jax.Array) -> jax.Array:
        form = _structure(self.recipe, self.in_shape, self.out_shape, training=self.training)
        module = nnx.merge(
            form.graph,
            _fill_state(form.params, self.params),
            _seed_dropout(form.rngs, self.rng_key),
            _fill_state(form.state, self.state["value"]),
        )
        y = module(x)
        if self.training and form.state:
            self.state["value"] = jax.lax.stop_gradient(nnx.to_pure_dict(_split(module).state))
        if y.shape != (x.shape[0], *self.out_shape):
            raise ValueError(
                f"the {self.role}'s net {self.recipe} returned shape {y.shape} for an input of shape "
                f"{x.shape}; expected {(x.shape[0], *self.out_shape)}. A net is a recipe "
                "`recipe(in_shape, out_shape, *, rngs)`: let its last layer have the size of "
                "`out_shape` and reshape to it."
            )
        return y


def register(
    role: str, recipe: Recipe, in_shape: Shape, out_shape: Shape, *, training: bool = True
) -> RegisteredNet:
    """Register a net's weights at ``role$params`` (and its running state at ``role$state``).

    Weights with a prior (``Bayesian``) are drawn at the site ``role$weights`` instead.

    Args:
        role: the site names' first half, such as ``"decoder"`` or ``"prior$flow"``.
        recipe: hashable; ``recipe(in_shape, out_shape, *, rngs)`` returns an NNX module.
        in_shape: shape of one input, without the batch.
        out_shape: shape of one output.
        training: whether dropout and batch statistics behave as in training.

    Returns:
        a function from ``(batch, *in_shape)`` to ``(batch, *out_shape)``.
    """
    told = check_net(role, recipe), in_shape, out_shape
    form, start = _structure(*told, training=training), partial(start_of, *told)
    if isinstance(recipe, BayesianNet):
        shapes = nnx.to_pure_dict(form.params)
        params = bayesian.model_weights(role, recipe, start("params"), shapes, training=training)
    else:
        params = numpyro.param(f"{role}$params", start("params")) if form.params else {}
    holder = _running_state(role, start("state")) if form.state else {"value": {}}
    rng_key = numpyro.prng_key() if training and jax.tree.leaves(form.rngs) else None
    return RegisteredNet(params, holder, rng_key, role, *told, training)


def register_posterior(
    role: str, recipe: Recipe, in_shape: Shape, out_shape: Shape, *, training: bool = True
) -> None:
    """Issue the guide's side of ``register``: q of weights that the model draws; else nothing.

    Arguments as for ``register``: ``role``, ``recipe``, ``in_shape``, ``out_shape``, ``training``.
    """
    if isinstance(recipe, BayesianNet) and training:
        told = check_net(role, recipe), in_shape, out_shape
        shapes = nnx.to_pure_dict(_structure(*told, training=training).params)
        bayesian.guide_weights(role, recipe, start_of(*told, "params"), shapes)


def start_of(net: Recipe, in_shape: Shape, out_shape: Shape, part: str) -> Callable[[jax.Array], dict]:
    """Return a function from a key to a net's own start of its weights, or of its running state."""
    return lambda key: nnx.to_pure_dict(getattr(_split(build(net, in_shape, out_shape, key)), part))


def check_net(role: str, recipe: Recipe) -> Recipe:
    """Return the net whose weights are registered; raise where they may have no prior."""
    if not isinstance(recipe, BayesianNet):
        return recipe
    if role != "decoder":
        raise ValueError(
            f"nets.BayesianNet gives a prior to the weights of the decoder only; got it as the net of "
            f"{role}. The encoder's weights are no part of the model p(x, z), so that a prior on them "
            f"would mean nothing; those of other parts have no q(w). Give {recipe.net} itself."
        )
    return recipe.net


def function(
    recipe: Recipe, in_shape: Shape, out_shape: Shape
) -> Callable[[dict, jax.Array], jax.Array]:
    """Return a net as a function ``(params, x)`` of its weights, which ``register`` registers.

    For nets that run several times in a step, each time with other gradients.

    Args:
        recipe: of the net.
        in_shape: of one input.
        out_shape: of one output.

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
        told = ("objective", recipe, in_shape, out_shape)
        return RegisteredNet(params, {"value": {}}, None, *told, training=True)(x)

    return apply


def _running_state(role: str, draw: Callable[[jax.Array], dict]) -> dict:
    return mutable(f"{role}$state", {"value": draw(jax.random.key(0))})


def _fill_state(abstract: Any, values: dict) -> Any:
    """Put arrays into an abstract NNX state."""
    leaves = jax.tree.leaves(values)
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def _seed_dropout(abstract: Any, rng_key: jax.Array | None) -> Any:
    """Give each of dropout's streams a key of its own, from that of this run of the program."""
    key = jax.random.key(0) if rng_key is None else rng_key
    leaves, form = jax.tree.flatten(abstract)
    return jax.tree.unflatten(form, [_stream(key, i, leaf) for i, leaf in enumerate(leaves)])


def _stream(key: jax.Array, i: int, leaf: Any) -> jax.Array:
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.zeros(leaf.shape, leaf.dtype)  # a count
    return jax.random.split(jax.random.fold_in(key, i), leaf.shape)
