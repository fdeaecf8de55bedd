"""A distribution of n rows from a program that is compiled for a few numbers of rows."""

from functools import partial
from typing import Any

import jax
import numpy as np
from numpyro.distributions import Distribution

from probvae.chunks import blocks, is_traced, num_rows, whole

ODD = 3  # rows of the trace that shows which axes are the rows': no block has as many
KEPT = 128  # such traces

_forms: dict[Any, Any] = {}


def distribution_of_rows(program: Any, vae: Any, values: Any, data: Any) -> Distribution:
    """Return the distribution that a compiled program gives for rows of data.

    Args:
        program: of the VAE, its values and ``Rows``, to a distribution with a batch axis for the rows.
        vae: hashable.
        values: by site.
        data: a tree of arrays with a row for each datum.
    """
    if is_traced((values, data)):
        return program(vae, values, whole(data))
    n, todo = num_rows(data), [block() for block in blocks(data)]
    parts = [program(vae, values, rows) for rows in todo]
    if len(parts) == 1 and todo[0].count == len(todo[0].index):
        return parts[0]
    return _joined(parts, _form(program, vae, values, data), n)


def _form(program: Any, vae: Any, values: Any, data: Any) -> Any:
    """Return what the program gives for ``ODD`` rows, without numbers."""
    rows = jax.tree.map(lambda a: np.zeros((ODD, *a.shape[1:]), a.dtype), data)
    leaves, tree = jax.tree.flatten(rows)
    key = program, vae, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    if key not in _forms:
        if len(_forms) >= KEPT:
            _forms.clear()
        _forms[key] = jax.eval_shape(partial(program, vae), values, whole(rows))
    return _forms[key]


def _joined(parts: list[Any], form: Any, n: int) -> Any:
    """Join blocks of rows to a tree of ``n`` rows; its axes of rows are where ``form`` has ``ODD``.

    NumPyro's distributions hold their batch shape beside their arrays: it becomes that of ``n`` rows.
    """
    kind = type(form)
    if hasattr(kind, "tree_unflatten"):
        children, aux = zip(*(part.tree_flatten() for part in parts), strict=True)
        like, like_aux = form.tree_flatten()
        each = [_joined(list(c), f, n) for *c, f in zip(*children, like, strict=True)]
        return kind.tree_unflatten(_with_rows(aux[0], like_aux, n), tuple(each))
    shown, tree = jax.tree.flatten(form, is_leaf=lambda node: node is not form)
    if len(shown) == 1 and shown[0] is form:
        return _joined_leaf(parts, form, n)
    children = zip(*(tree.flatten_up_to(part) for part in parts), shown, strict=True)
    return jax.tree.unflatten(tree, [_joined(list(c), f, n) for *c, f in children])


def _joined_leaf(parts: list[jax.Array], form: Any, n: int) -> jax.Array:
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
