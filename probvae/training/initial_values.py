"""Initial values of parameters, those of frozen parts, and the transfer from another fit."""

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
from probvae.faq import cite
from probvae.fitted.fitted import Fitted, check_fitted
from probvae.fitted.value_checks import find_mismatch
from probvae.tracing import trace_structure
from probvae.typing import Observation, Params, PyTree
from probvae.vae import VAE, check_vae

PASS_STATE = "likelihood$state"  # computed in a pass over the training set, again in each epoch

ENTRIES = 2**23  # of the data that give initial values: 32 MiB


def check_params(vae: VAE, params: Params) -> dict[str, Any]:
    """Return initial values of parameters and running state, if they have the VAE's sites and shapes.

    Frozen parts must have values. A training-set value is computed again, unless it is frozen.
    """
    if not isinstance(params, Mapping):
        raise TypeError(
            f"init_params expects values by site, such as fitted.params; got {format_value(params)}."
        )
    expected = _expected_values(vae)
    unknown = sorted(set(params) - set(expected))
    if unknown:
        raise ValueError(
            f"init_params holds {unknown}, which are not sites of this VAE. Its sites are "
            f"{sorted(expected)}. Use transfer_params(fitted, vae) to select the values that it has. "
            f"{cite('init-params')}"
        )
    for name, value in params.items():
        _check_tree(name, value, expected[name])
    missing = [name for name in sorted(expected) if is_frozen(vae, name) and name not in params]
    if missing:
        raise ValueError(
            f"freeze={vae.frozen} needs a value in init_params for each site of a frozen part. "
            f"Missing: {missing}. Pass init_params=fitted.values, or transfer_params(fitted, vae)."
        )
    return {k: v for k, v in params.items() if k != PASS_STATE or is_frozen(vae, k)}


def initial_values(vae: VAE, train: Batch, observation: Observation) -> dict[str, Any]:
    """Return the initial values of the likelihood's parameters, estimated from training data.

    Of large data it reads a sample, evenly spread over all rows. Initial values need not be exact.
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


def is_frozen(vae: VAE, name: str) -> bool:
    """Return whether a site belongs to a frozen part."""
    return name.split("$")[0] in vae.frozen


def _expected_values(vae: VAE) -> dict[str, PyTree]:
    structure = trace_structure(vae)
    return {**structure.params, **structure.state}


def _check_tree(name: str, value: PyTree, expected: PyTree) -> None:
    for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]:
        if not (isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)):
            inputs.to_numbers(f"the value given for {name}{jax.tree_util.keystr(path)}", leaf)
    if mismatch := find_mismatch(value, expected):
        wanted = "no such value" if mismatch.expected == "none" else mismatch.expected
        raise ValueError(
            f"init_params has shape {mismatch.shape} for {name}{mismatch.path}; this VAE expects "
            f"{wanted}. Pass values of a VAE with the same parts and sizes."
        )


def transfer_params(fitted: Fitted, vae: VAE) -> Params:
    """Return the values of a fitted VAE that another VAE can start from, after you replaced parts.

    These are the parameters and running state that ``vae`` has under the same names with the same
    shapes. All others start afresh. Equal shapes do not imply an equal meaning. For example, an encoder
    keeps its weights if you replace the guide by one with as many outputs.

        swapped = dataclasses.replace(fitted.vae, prior=priors.VampPrior())
        init = transfer_params(fitted, swapped)
        fit(swapped, x, init_params=init, freeze=("decoder",), rng_key=key)

    Args:
        fitted: a fitted VAE.
        vae: the VAE to start.

    Returns:
        values by site, for ``fit(init_params=...)``.

    Raises:
        ValueError: if the two VAEs have no value in common.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, fit, likelihoods, priors, transfer_params
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=2, progress=False)
        >>> from dataclasses import replace
        >>> new_vae = replace(vae, prior=priors.LearnedNormal())
        >>> sorted(transfer_params(fitted, new_vae))
        ['decoder$params', 'encoder$params', 'likelihood$log_scale']
    """
    check_fitted(fitted)
    check_vae("transfer_params", vae)
    expected = _expected_values(vae)
    shared = {
        name: value
        for name, value in fitted.values.items()
        if name in expected and find_mismatch(value, expected[name]) is None
    }
    if not shared:
        raise ValueError(
            f"The two VAEs have no site with the same name and shapes. The fitted one has "
            f"{sorted(fitted.values)}, the other {sorted(expected)}."
        )
    return shared


@lru_cache(maxsize=32)
def freeze_roles(
    optimizer: optax.GradientTransformation, roles: tuple[str, ...]
) -> optax.GradientTransformation:
    """Return an optimizer that does not change the parameters of some roles.

    Cached: equal arguments give one object, so that a second fit reuses the compiled program.
    """

    def label(params: Params) -> dict[str, str]:
        return {name: "frozen" if name.split("$")[0] in roles else "free" for name in params}

    return optax.multi_transform({"free": optimizer, "frozen": optax.set_to_zero()}, label)
