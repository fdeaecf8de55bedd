"""The values that a fit starts from, found to fit the VAE before anything is compiled."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from probvae import inputs
from probvae.checks import format_value
from probvae.data.streamed import StreamedData
from probvae.evidence import Batch
from probvae.fitted.fitted import check_fitted
from probvae.tracing import trace_structure
from probvae.typing import Params, Shape
from probvae.vae import check_vae

PASS_STATE = "likelihood$state"  # gathered over a pass through the training set, anew each epoch

ENTRIES = 2**23  # of the data that a start is found in: 32 MiB


def check_params(vae: Any, given: Params) -> dict[str, Any]:
    """Return starting values, of parameters and running state, as the VAE's sites take them.

    What is frozen must be among them. A training-set value is gathered anew, unless it is frozen.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            f"init_params expects values by site, such as fitted.params; got {format_value(given)}."
        )
    found = trace_structure(vae)
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
    return part.read(rows) if isinstance(part, StreamedData) else np.asarray(part)[rows]


def is_frozen(vae: Any, name: str) -> bool:
    """Tell whether a site belongs to a part that is frozen."""
    return name.split("$")[0] in vae.frozen


def same_shapes(value: Any, expected: Any) -> bool:
    """Tell whether two trees have the same names and shapes."""
    return _shapes(value) == _shapes(expected)


def _check_tree(name: str, value: Any, expected: Any) -> None:
    for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]:
        if not _is_key(leaf):
            inputs.to_numbers(f"the value given for {name}{jax.tree_util.keystr(path)}", leaf)
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


def transfer_params(fitted: Any, vae: Any) -> Params:
    """Return the values of a fitted VAE that another VAE has a place for: after a swap of parts.

    These are the sites, of parameters and running state, that ``vae`` has under the same name with the
    same shapes; all others start anew. (Same shapes need not mean the same
    thing: an encoder keeps its weights where the guide that reads it was swapped for one with as many
    outputs.)

        swapped = dataclasses.replace(fitted.vae, prior=priors.VampPrior())
        fit(swapped, x, init_params=shared_params(fitted, swapped), freeze=("decoder",), rng_key=key)

    Args:
        fitted: a fitted VAE.
        vae: the VAE to start.

    Returns:
        values by site, for ``fit(init_params=...)``; the keys say what is shared.

    Raises:
        ValueError: if nothing is.
    """
    check_fitted(fitted)
    check_vae("shared_params", vae)
    found = trace_structure(vae)
    known = {**found.params, **found.state}
    values = fitted.values.items()
    shared = {k: v for k, v in values if k in known and same_shapes(v, known[k])}
    if not shared:
        raise ValueError(
            f"the two VAEs share nothing: the fitted one has the sites {sorted(fitted.values)}, the "
            f"other {sorted(known)}, and none of these has the same name and shapes in both."
        )
    return shared


@lru_cache(maxsize=32)
def freeze_roles(optimizer: optax.GradientTransformation, roles: tuple[str, ...]) -> Any:
    """Return an optimizer that leaves the parameters of some roles as they are.

    Cached: equal arguments give one object, so that a second fit reuses the compiled program.
    """

    def labels(params: Params) -> dict[str, str]:
        return {name: "held" if name.split("$")[0] in roles else "moved" for name in params}

    return optax.multi_transform({"moved": optimizer, "held": optax.set_to_zero()}, labels)
