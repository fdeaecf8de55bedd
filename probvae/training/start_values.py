"""The values that a fit starts from, found to fit the VAE before anything is compiled."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae import inputs
from probvae.data.streamed import Streamed
from probvae.evidence import Batch
from probvae.fields import shown
from probvae.structure import structure
from probvae.typing import Params, Shape

PASS_STATE = "likelihood$state"  # gathered over a pass through the training set, anew each epoch

ENTRIES = 2**23  # of the data that a start is found in: 32 MiB


def checked_params(vae: Any, given: Params) -> dict[str, Any]:
    """Return starting values, of parameters and running state, as the VAE's sites take them.

    What is frozen must be among them. A training-set value is gathered anew, unless it is frozen.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            f"init_params expects values by site, such as fitted.params; got {shown(given)}."
        )
    found = structure(vae)
    known = {**found.params, **found.state}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"init_params names {unknown}, which this VAE does not have. Its sites are {sorted(known)}."
        )
    for name, value in given.items():
        _check_tree(name, value, known[name])
    missing = [name for name in sorted(known) if is_frozen(vae, name) and name not in given]
    if missing:
        raise ValueError(
            f"freeze={vae.frozen} holds a part at the values that init_params gives, and it has none "
            f"for {missing}. Give init_params=fitted.values, or shared_params(fitted, vae) where "
            "other parts were swapped."
        )
    return {k: v for k, v in given.items() if k != PASS_STATE or is_frozen(vae, k)}


def initial_values(vae: Any, train: Batch, observation: Any) -> dict[str, Any]:
    """Return what the likelihood starts its parameters from: values found in the training data.

    Of large data a sample is read, evenly spread over all rows: a start need not be exact.
    """
    if vae.likelihood.initial_values is None:
        return {}
    n, size = len(train.x), math.prod(vae.event_shape)
    count = min(n, max(ENTRIES // size, 1))
    rows = np.arange(n) if count == n else np.linspace(0, n - 1, count).astype(int)
    x = _read_rows(train.x, rows)
    context = None if train.context is None else _read_rows(train.context, rows)
    mask = np.ones(x.shape, bool) if train.mask is None else _read_rows(train.mask, rows)
    x = np.where(mask, x, np.asarray(vae.likelihood.fill, x.dtype))
    x = np.asarray(observation(jax.random.key(0), x))
    return vae.likelihood.initial_values(x, mask, context)


def _read_rows(part: Any, rows: np.ndarray) -> np.ndarray:
    return part.read(rows) if isinstance(part, Streamed) else np.asarray(part)[rows]


def is_frozen(vae: Any, name: str) -> bool:
    """Tell whether a site belongs to a part that is frozen."""
    return name.split("$")[0] in vae.frozen


def same_shapes(value: Any, expected: Any) -> bool:
    """Tell whether two trees have the same names and shapes."""
    return _shapes(value) == _shapes(expected)


def _check_tree(name: str, value: Any, expected: Any) -> None:
    for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]:
        if not _is_key(leaf):
            inputs.numbers(f"the value given for {name}{jax.tree_util.keystr(path)}", leaf)
    got, want = _shapes(value), _shapes(expected)
    if got == want:
        return
    odd = min(k for k in got.keys() | want.keys() if got.get(k) != want.get(k))
    raise ValueError(
        f"the value given for {name}{odd} has shape {got.get(odd, 'none')}; this VAE expects "
        f"{want.get(odd, 'none there')}. It was made by another VAE, or for other sizes."
    )


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _shapes(tree: Any) -> dict[str, Shape]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in leaves}
