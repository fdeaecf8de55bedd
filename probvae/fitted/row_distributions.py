"""A distribution of n rows from a program that is compiled for a few numbers of rows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from numpyro.distributions import Distribution

from probvae.batching import all_rows, is_traced, num_rows, split_blocks

ODD = 3  # rows of the trace that shows which axes are the rows': no block has as many
KEPT = 128  # such traces

_forms: dict[Any, Any] = {}
_whole: dict[Any, bool] = {}


def compute_distribution(program: Any, vae: Any, values: Any, data: Any) -> Distribution:
    """Return the distribution that a compiled program gives for rows of data.

    Args:
        program: of the VAE, its values and ``Rows``, to a distribution with a batch axis for the rows.
        vae: hashable.
        values: by site.
        data: a tree of arrays with a row for each datum.
    """
    if is_traced((values, data)):
        return program(vae, values, all_rows(data))
    n, todo = num_rows(data), [block() for block in split_blocks(data)]
    parts = [program(vae, values, rows) for rows in todo]
    if len(parts) == 1 and todo[0].count == len(todo[0].index):
        return parts[0]
    return _join_blocks(parts, _form(program, vae, values, data), n)


def can_return_distribution(program: Any, vae: Any, values: Any, data: Any) -> bool:
    """Say whether a compiled program can return its distribution as a pytree of all its arrays.

    A distribution of the user's own may keep arrays where JAX does not see them, in a function or an
    attribute that ``pytree_data_fields`` does not name. They are lost, or still traced. An abstract
    trace does not notice that, so it is tried, on ``ODD`` rows of zeros.
    """

    def try_it() -> bool:
        try:
            p = program(vae, values, all_rows(_odd(data)))
            p.log_prob(p.sample(jax.random.key(0)))
        except Exception:  # noqa: BLE001  whatever the user's code or JAX says of it
            return False
        return True

    return _cache_result(_whole, _key(program, vae, data), try_it)


def _form(program: Any, vae: Any, values: Any, data: Any) -> Any:
    """Return what the program gives for ``ODD`` rows, without numbers."""

    def trace() -> Any:
        return jax.eval_shape(partial(program, vae), values, all_rows(_odd(data)))

    return _cache_result(_forms, _key(program, vae, data), trace)


def _odd(data: Any) -> Any:
    return jax.tree.map(lambda a: np.zeros((ODD, *a.shape[1:]), a.dtype), data)


def _key(program: Any, vae: Any, data: Any) -> Any:
    leaves, tree = jax.tree.flatten(data)
    return program, vae, tree, tuple((leaf.shape[1:], leaf.dtype) for leaf in leaves)


def _cache_result(memory: dict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
    if key not in memory:
        if len(memory) >= KEPT:
            memory.clear()
        memory[key] = make()
    return memory[key]


def _join_blocks(parts: list[Any], form: Any, n: int) -> Any:
    """Join blocks of rows to a tree of ``n`` rows; its axes of rows are where ``form`` has ``ODD``.

    NumPyro's distributions hold their batch shape beside their arrays: it becomes that of ``n`` rows.
    """
    kind = type(form)
    if hasattr(kind, "tree_unflatten"):
        children, aux = zip(*(part.tree_flatten() for part in parts), strict=True)
        like, like_aux = form.tree_flatten()
        each = [_join_blocks(list(c), f, n) for *c, f in zip(*children, like, strict=True)]
        return kind.tree_unflatten(_with_rows(aux[0], like_aux, n), tuple(each))
    shown, tree = jax.tree.flatten(form, is_leaf=_below(form))
    if len(shown) == 1 and shown[0] is form:
        return _join_leaf(parts, form, n)
    nodes = zip(*(jax.tree.leaves(part, is_leaf=_below(part)) for part in parts), shown, strict=True)
    return jax.tree.unflatten(tree, [_join_blocks(list(c), f, n) for *c, f in nodes])


def _below(root: Any) -> Callable[[Any], bool]:
    return lambda node: node is not root


def _join_leaf(parts: list[jax.Array], form: Any, n: int) -> jax.Array:
    axes = zip(parts[0].shape, form.shape, strict=True)
    axis = next((i for i, (size, odd) in enumerate(axes) if size != odd), None)
    if axis is None:
        return parts[0]
    rows = np.concatenate([np.asarray(part) for part in parts], axis)  # JAX would compile for each n
    return jax.device_put(rows[(slice(None),) * axis + (slice(n),)])


def _with_rows(given: Any, form: Any, n: int) -> Any:
    """Return what stands beside the arrays, with the number of rows put in where it depends on them."""
    if isinstance(given, tuple) and type(given) is type(form) and len(given) == len(form):
        return tuple(_with_rows(a, b, n) for a, b in zip(given, form, strict=True))
    if isinstance(given, dict) and isinstance(form, dict):
        return {name: _with_rows(value, form[name], n) for name, value in given.items()}
    changes = isinstance(given, int) and isinstance(form, int) and given != form
    return n if changes else given
