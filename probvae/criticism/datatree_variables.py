"""How the entries of a datum become ArviZ's variables, and how to get the events back."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from probvae.data_remedies import list_blocks
from probvae.typing import Shape

MAX_COLUMNS = 20  # a plot has a panel for each variable, and 20 panels can still be read
DATA_GROUPS = ("observed_data", "posterior_predictive", "prior_predictive")


class Variable(NamedTuple):
    """A variable of ``observed_data``, and its namesake in the predictive groups.

    ``places`` are the positions of its entries in a flattened datum. ``flat`` says that all entries of
    all rows share one dimension, because ArviZ's PIT plot takes variables of one dimension only.
    """

    name: str
    places: np.ndarray
    discrete: bool
    flat: bool
    labels: list[str] | None = None  # of the places, where the columns have names

    @property
    def dim(self) -> str:
        """Its dimension besides chain and draw."""
        return f"{self.name}_entry" if self.flat else "datum"


def find_columns(name: str, shape: Shape) -> list[Variable]:
    """Return a variable for each column of an array of real numbers, or one if they are too many."""
    places = np.arange(math.prod(shape))
    if len(shape) == 1 and shape[0] <= MAX_COLUMNS:
        return [Variable(f"{name}_{i}", places[i : i + 1], discrete=False, flat=False) for i in places]
    return [Variable(name, places, discrete=False, flat=True)]


def build_variables(vae: Any, column_names: Sequence[str] | None = None) -> list[Variable]:
    """Return a variable for each column of a short vector, or else one for each block of entries.

    Columns have units of their own, so pooling them in one plot says nothing. Images and long vectors
    have too many entries for a plot each: one flat variable ``"x"``, or one for each block of a
    ``Joint``.

    Raises:
        ValueError: unless there are as many different names as columns.
    """
    shape = vae.event_shape
    names = None if column_names is None else _check_names(column_names, shape)
    blocks = _blocks(vae.likelihood, shape)
    if len(shape) == 1 and shape[0] <= MAX_COLUMNS:
        names = names or [f"x_{place}" for place in range(shape[0])]
        return [
            Variable(names[place], np.array([place]), discrete, flat=False)
            for _, places, discrete in blocks
            for place in places
        ]
    return [
        Variable(name, places, discrete, flat=True, labels=names and [names[i] for i in places])
        for name, places, discrete in blocks
    ]


def _blocks(likelihood: Any, shape: Shape) -> list[tuple[str, np.ndarray, bool]]:
    """Return the name, the places and the kind (discrete or not) of each block of entries."""
    places = np.arange(math.prod(shape)).reshape(shape)
    return [
        (
            "x" if name is None else f"x_{name}",
            places[..., columns].ravel(),
            bool(part.support.is_discrete),
        )
        for name, columns, part in list_blocks(likelihood)
    ]


def _check_names(column_names: Sequence[str], shape: Shape) -> list[str]:
    names = [str(name).replace("/", "_") for name in column_names]  # "/" is the tree's own separator
    if len(shape) != 1 or len(names) != shape[0] or len(set(names)) < len(names):
        raise ValueError(
            f"column_names expects {shape[0]} different names, one for each column of x; got "
            f"{list(column_names)}."
            if len(shape) == 1
            else f"column_names are for data with one axis, and a datum has shape {shape}."
        )
    return names


def entries_dataset(
    variables: list[Variable], x: np.ndarray, leading: dict[str, Any], event_shape: Shape
) -> Any:
    """Return values ``(*leading, n, *event_shape)`` as a dataset of the variables.

    Args:
        variables: as ``variables_of`` returns them.
        x: the values.
        leading: coordinates of the axes before the datum's, by name.
        event_shape: the shape of a datum.
    """
    import xarray as xr

    lead = x.shape[: len(leading)]
    n = x.shape[len(leading)]
    flat = x.reshape(*lead, n, -1)
    arrays = {}
    coordinates = dict(leading)
    for variable in variables:
        values = flat[..., variable.places].reshape(*lead, -1)
        if variable.discrete and values.dtype.kind == "f" and not np.isnan(values).any():
            values = values.astype(np.int32)  # ArviZ tells counts from real numbers by their dtype
        place = {} if variable.flat else {"place": int(variable.places[0])}
        arrays[variable.name] = ([*leading, variable.dim], values, place)
        coordinates |= _coordinates(variable, n, event_shape)
    return xr.Dataset(arrays, coords=coordinates, attrs={"event_shape": list(event_shape)})


def _coordinates(variable: Variable, n: int, event_shape: Shape) -> dict[str, Any]:
    """Say of each entry of a flat variable which row it is of, and where in the datum it is."""
    if not variable.flat:
        return {"datum": np.arange(n)}
    count = len(variable.places)
    indices = np.unravel_index(variable.places, event_shape)
    axes = {f"{variable.name}_dim_{i}": np.tile(index, n) for i, index in enumerate(indices)}
    rows = {f"{variable.name}_datum": np.repeat(np.arange(n), count)}
    if variable.labels:
        axes[f"{variable.name}_column"] = np.tile(np.array(variable.labels), n)
    entry = {variable.dim: np.arange(n * count)}
    return {**entry, **{name: (variable.dim, values) for name, values in {**rows, **axes}.items()}}


def unit_names(count: int) -> list[str]:
    """Return the names of the units of a code, in an order that sorting keeps."""
    width = len(str(count - 1))
    return [f"unit {i:0{width}}" for i in range(count)]


def events(group: Any) -> np.ndarray:
    """Return data of a tree's group as they were, ``(chain, draw, n, *event_shape)``.

    Example: ``events(tree["posterior_predictive"])``. ``observed_data`` has no chain and no draw.

    Args:
        group: ``observed_data``, ``posterior_predictive`` or ``prior_predictive`` of ``to_datatree``.
    """
    shape = tuple(int(size) for size in np.atleast_1d(group.attrs["event_shape"]))
    size = math.prod(shape)
    names = list(group.data_vars)
    first = group[names[0]]
    lead = first.shape[:-1]
    flat_names = [name for name in names if first.dims[-1] != "datum"]
    n = sum(group.sizes[f"{name}_entry"] for name in flat_names) // size or group.sizes["datum"]
    x = np.empty((*lead, n, size), np.result_type(*(group[name].dtype for name in names)))
    for name in names:
        variable = group[name]
        if name in flat_names:
            axes = [group[f"{name}_dim_{i}"].to_numpy() for i in range(len(shape))]
            rows, places = group[f"{name}_datum"].to_numpy(), np.ravel_multi_index(axes, shape)
            x[..., rows, places] = variable.to_numpy()
        else:
            x[..., int(variable.attrs["place"])] = variable.to_numpy()
    return x.reshape(*lead, n, *shape)


def drop_missing(tree: Any) -> Any:
    """Return a tree without the missing entries of ``observed_data``, for predictive plots.

    ArviZ's PIT plots compare draws with the data by ``<=``, which is false for NaN. So a missing entry
    counts as one below all draws. Here each observed variable, and its namesake in the predictive
    groups, has a dimension of its own with the observed entries only.

    Args:
        tree: what ``to_datatree`` returned.
    """
    import xarray as xr

    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    observed = groups["observed_data"]
    kept = {name: np.isfinite(variable.to_numpy()) for name, variable in observed.data_vars.items()}
    kept = {name: present for name, present in kept.items() if present.any()}
    for group in DATA_GROUPS:
        arrays = {}
        for name, present in kept.items():
            array = groups[group][name]
            place = array.dims[-1]
            array = array.isel({place: present}).drop_vars(place)
            arrays[name] = array.rename({place: f"{name}_observed"})
        groups[group] = xr.Dataset(arrays)
    return xr.DataTree.from_dict({name: groups[name] for name in tree.children})
