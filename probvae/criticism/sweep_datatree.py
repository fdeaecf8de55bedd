"""The members of a sweep side by side, in ArviZ's form."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from probvae.fitted.sweep import Sweep

OF_THE_DATA = ("observed_data", "constant_data")  # groups that all members share


def stack_trees(sweep: Sweep, tree_of: Callable[..., Any]) -> Any:
    """Return the trees of all members along a dimension ``member``.

    A member has coordinates: ``key``, the number of its key, and a coordinate for each swept value.
    Codes of members are not draws of one distribution, because each key's codes are rotated in a way
    of their own. So members are no chains, and no R-hat compares them.

    Args:
        sweep: the members.
        tree_of: makes the tree of one of them.
    """
    import xarray as xr

    trees = [tree_of(fitted) for fitted in sweep.fitted]
    places = list(product(range(sweep.num_keys), *sweep.over.values()))
    names = ("key", *sweep.over)
    columns = {
        name: ("member", np.array(column))
        for name, column in zip(names, zip(*places, strict=True), strict=True)
    }
    coordinates = {"member": np.arange(len(trees)), **columns}
    groups = {}
    for name in trees[0].children:
        datasets = [tree[name].to_dataset() for tree in trees]
        groups[name] = datasets[0]
        if name not in OF_THE_DATA:
            groups[name] = xr.concat(datasets, "member").assign_coords(coordinates)
            groups[name] = _sample_dimensions_first(groups[name])
    return xr.DataTree.from_dict(groups)


def _sample_dimensions_first(dataset: Any) -> Any:
    first = [name for name in ("chain", "draw", "member") if name in dataset.dims]
    return dataset.transpose(*first, ...)
