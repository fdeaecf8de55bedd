"""A distribution over n rows, joined from compiled programs over blocks of fixed size."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import jax
import numpy as np
from numpyro.distributions import Distribution

from probvae.batching import all_rows, is_traced, num_rows, split_blocks
from probvae.typing import Params, Program, PyTree
from probvae.vae import VAE

PROBE_ROWS = 3  # rows of the abstract trace that marks the axes of the rows. No block has as many.
CACHE_SIZE = 128  # entries of each cache below

_abstract_outputs: dict[Hashable, Any] = {}
_can_return: dict[Hashable, bool] = {}


def compute_distribution(program: Program, vae: VAE, values: Params, data: PyTree) -> Distribution:
    """Return the distribution that a compiled program computes for rows of data.

    Args:
        program: a function of ``vae``, ``values`` and ``Rows``. It returns a distribution whose batch
            axis is the rows.
        vae: the VAE.
        values: parameters and running state by site.
        data: a pytree of arrays with a row for each datum.
    """
    if is_traced((values, data)):
        return program(vae, values, all_rows(data))
    blocks = [block() for block in split_blocks(data)]
    parts = [program(vae, values, rows) for rows in blocks]
    if len(parts) == 1 and blocks[0].count == len(blocks[0].index):
        return parts[0]

    def trace() -> Any:
        return jax.eval_shape(partial(program, vae), values, all_rows(_probe(data)))

    # The blocks are padded, and n is not known to their programs. An abstract trace on PROBE_ROWS rows
    # shows which axes, and which numbers beside the arrays (batch shapes), are those of the rows.
    abstract = _cache(_abstract_outputs, _cache_key(program, vae, data), trace)
    return _join_blocks(parts, abstract, num_rows(data))


def can_return_distribution(program: Program, vae: VAE, values: Params, data: PyTree) -> bool:
    """Tell whether a compiled program can return its distribution with all arrays, as a pytree.

    A distribution of your own may hide arrays from JAX, in a function or in an attribute that
    ``pytree_data_fields`` lacks. Such arrays are lost or still traced. An abstract trace does not
    notice, so this runs the program on zeros.
    """

    def run() -> bool:
        try:
            p = program(vae, values, all_rows(_probe(data)))
            p.log_prob(p.sample(jax.random.key(0)))
        except Exception:  # noqa: BLE001  your code or JAX may raise anything
            return False
        return True

    return _cache(_can_return, _cache_key(program, vae, data), run)


def _probe(data: PyTree) -> PyTree:
    return jax.tree.map(lambda a: np.zeros((PROBE_ROWS, *a.shape[1:]), a.dtype), data)


def _cache_key(program: Program, vae: VAE, data: PyTree) -> Hashable:
    leaves, tree = jax.tree.flatten(data)
    return program, vae, tree, tuple((leaf.shape[1:], leaf.dtype) for leaf in leaves)


def _cache(memory: dict[Hashable, Any], key: Hashable, make: Callable[[], Any]) -> Any:
    if key not in memory:
        if len(memory) >= CACHE_SIZE:
            memory.clear()
        memory[key] = make()
    return memory[key]


def _join_blocks(parts: list[Any], abstract: Any, n: int) -> Any:
    """Concatenate pytrees of row blocks, and cut them to ``n`` rows.

    The row axes are those of length ``PROBE_ROWS`` in ``abstract``. NumPyro's distributions hold their
    batch shape beside their arrays. It becomes that of ``n`` rows.
    """
    kind = type(abstract)
    if hasattr(kind, "tree_unflatten"):  # a distribution
        children, aux = zip(*(part.tree_flatten() for part in parts), strict=True)
        like, like_aux = abstract.tree_flatten()
        each = [_join_blocks(list(c), a, n) for *c, a in zip(*children, like, strict=True)]
        return kind.tree_unflatten(_set_rows(aux[0], like_aux, n), tuple(each))
    is_child = lambda node: node is not abstract  # noqa: E731
    nodes, tree = jax.tree.flatten(abstract, is_leaf=is_child)
    if len(nodes) == 1 and nodes[0] is abstract:
        return _join_arrays(parts, abstract, n)
    below = [jax.tree.leaves(part, is_leaf=lambda node, part=part: node is not part) for part in parts]
    joined = [_join_blocks(list(c), a, n) for *c, a in zip(*below, nodes, strict=True)]
    return jax.tree.unflatten(tree, joined)


def _join_arrays(parts: list[jax.Array], abstract: jax.ShapeDtypeStruct, n: int) -> jax.Array:
    sizes = zip(parts[0].shape, abstract.shape, strict=True)
    axis = next((i for i, (size, probe) in enumerate(sizes) if size != probe), None)
    if axis is None:
        return parts[0]
    rows = np.concatenate([np.asarray(part) for part in parts], axis)  # JAX would compile for each n
    return jax.device_put(rows[(slice(None),) * axis + (slice(n),)])


def _set_rows(aux: Any, abstract: Any, n: int) -> Any:
    """Return the data beside the arrays, with ``n`` for each number that depends on the rows."""
    if isinstance(aux, tuple) and type(aux) is type(abstract) and len(aux) == len(abstract):
        return tuple(_set_rows(a, b, n) for a, b in zip(aux, abstract, strict=True))
    if isinstance(aux, dict) and isinstance(abstract, dict):
        return {name: _set_rows(value, abstract[name], n) for name, value in aux.items()}
    depends = isinstance(aux, int) and isinstance(abstract, int) and aux != abstract
    return n if depends else aux
