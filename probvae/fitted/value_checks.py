"""The check that parameters and running state fit a VAE: their sites and shapes."""

from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from probvae.tracing import trace_structure
from probvae.typing import Params, PyTree, Shape
from probvae.vae import VAE


def check_values(vae: VAE, values: Params) -> None:
    """Raise ``ValueError`` unless ``values`` has the weights of each net, and the VAE's shapes.

    Without this check a net would run with the weights of another one, since NumPyro takes the
    parameters by name. Further sites are allowed, as queries ignore them. No values at all are allowed,
    too: such a ``Fitted`` has a history only.
    """
    if not values:
        return
    # `fit` has traced the same VAE by now, so the structure comes from the cache. Evaluation mode and
    # frozen parts change no site or shape.
    if vae.frozen or not vae.training:
        vae = replace(vae, frozen=(), training=True)
    structure = trace_structure(vae)
    for name, expected in {**structure.params, **structure.state}.items():
        if name not in values and not name.endswith("$params"):
            continue  # not a net's weights: NumPyro takes the initial value that the part declares
        part = name.split("$")[0]
        mismatch = find_mismatch(values.get(name), expected)
        if mismatch is None:
            continue
        raise ValueError(
            f"the values do not fit the {part} of this VAE: {name}{mismatch.path} has shape "
            f"{mismatch.shape}, and the VAE expects {mismatch.expected}. Use the VAE "
            "that the values belong to. To start another one from them, call "
            "fit(vae, x, init_params=transfer_params(fitted, vae))."
        )


class Mismatch(NamedTuple):
    """The first leaf of a tree whose shape differs: its path, and both shapes. "none": no such leaf."""

    path: str
    shape: Shape | str
    expected: Shape | str


def find_mismatch(tree: PyTree, expected: PyTree) -> Mismatch | None:
    """Return the first difference in shape between a tree of arrays and the expected one."""
    got, want = _list_shapes(tree), _list_shapes(expected)
    paths = [path for path in got.keys() | want.keys() if got.get(path) != want.get(path)]
    if not paths:
        return None
    return Mismatch(min(paths), got.get(min(paths), "none"), want.get(min(paths), "none"))


def _list_shapes(tree: PyTree) -> dict[str, Shape]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in leaves}
