"""The ArviZ tree of a sweep: the members' trees along a dimension ``member``."""

from collections.abc import Callable
from itertools import product

import numpy as np

from probvae.criticism.datatree_variables import Dataset, DataTree
from probvae.fitted import Fitted, Sweep

SHARED_GROUPS = ("observed_data", "constant_data")  # the same for all members


def stack_trees(sweep: Sweep, build_tree: Callable[[Fitted], DataTree]) -> DataTree:
    """Return the trees of all members along a dimension ``member``.

    Each member has a coordinate ``key``, the number of its key, and one for each swept value. The
    members are not chains, and R-hat cannot compare them: each key leads to codes with a rotation of
    their own.

    Args:
        sweep: the fitted members.
        build_tree: returns the tree of one member.
    """
    import xarray as xr

    trees = [build_tree(fitted) for fitted in sweep.fitted]
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
        if name not in SHARED_GROUPS:
            groups[name] = xr.concat(datasets, "member").assign_coords(coordinates)
            groups[name] = _move_sample_dimensions_first(groups[name])
    return xr.DataTree.from_dict(groups)


def _move_sample_dimensions_first(dataset: Dataset) -> Dataset:
    first = [name for name in ("chain", "draw", "member") if name in dataset.dims]
    return dataset.transpose(*first, ...)
