"""ArviZ variables of data: columns or flat blocks of entries, and the way back to arrays."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from probvae.data_remedies import list_blocks
from probvae.faq import cite
from probvae.interfaces import AbstractLikelihood
from probvae.typing import Shape
from probvae.vae import VAE

if TYPE_CHECKING:
    from xarray import Dataset, DataTree
else:  # xarray is optional, and the annotations below must exist without it
    Dataset = DataTree = Any

MAX_COLUMNS = 20  # a plot has one panel per variable, and 20 panels are still readable
DATA_GROUPS = ("observed_data", "posterior_predictive", "prior_predictive")


class Variable(NamedTuple):
    """A variable of ``observed_data`` and of the predictive groups.

    ``places`` are the positions of its entries in a flattened row. If ``flat``, all entries of all rows
    share one dimension, because ArviZ's PIT plot accepts variables of one dimension only.
    """

    name: str
    places: np.ndarray
    discrete: bool
    flat: bool
    labels: list[str] | None = None  # names of the columns at these places

    @property
    def dim(self) -> str:
        """The dimension besides chain and draw."""
        return f"{self.name}_entry" if self.flat else "datum"


def import_xarray(caller: str) -> ModuleType:
    """Return the module ``xarray``, or raise ImportError with the command that installs it."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError(
            f"{caller} needs xarray: pip install 'probvae[arviz]'. {cite('missing-extra')}"
        ) from error
    return xarray


def build_column_variables(name: str, shape: Shape) -> list[Variable]:
    """Return one variable per column of an array of real numbers, or one flat variable for many."""
    places = np.arange(math.prod(shape))
    if len(shape) == 1 and shape[0] <= MAX_COLUMNS:
        return [Variable(f"{name}_{i}", places[i : i + 1], discrete=False, flat=False) for i in places]
    return [Variable(name, places, discrete=False, flat=True)]


def build_variables(vae: VAE, column_names: Sequence[str] | None = None) -> list[Variable]:
    """Return one variable per column of a short vector, or one per block of entries.

    Columns have different units, so a plot that pools them means nothing. Images and long vectors have
    too many entries for one plot each. They become one flat variable ``"x"``, or one per block of a
    ``Joint``.

    Raises:
        ValueError: unless ``column_names`` holds one distinct name per column.
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


def _blocks(likelihood: AbstractLikelihood, shape: Shape) -> list[tuple[str, np.ndarray, bool]]:
    """Return the name, the places and ``is_discrete`` of each block of entries."""
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
    names = [str(name).replace("/", "_") for name in column_names]  # "/" separates groups
    if len(shape) != 1 or len(names) != shape[0] or len(set(names)) < len(names):
        raise ValueError(
            f"column_names expects {shape[0]} different names, one per column of x; got "
            f"{list(column_names)}."
            if len(shape) == 1
            else f"column_names expects rows with one axis; got rows of shape {shape}. Leave it out."
        )
    return names


def entries_dataset(
    variables: list[Variable], x: np.ndarray, leading: dict[str, Any], event_shape: Shape
) -> Dataset:
    """Return values ``(*leading, n, *event_shape)`` as a dataset of the variables.

    Args:
        variables: from ``build_variables``.
        x: the values.
        leading: coordinates of the axes before the row axis, by name.
        event_shape: the shape of a row.
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
    """Return the coordinates of a variable: for a flat one, the row and the place of each entry."""
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
    """Return the names of a code's units, padded with zeros so that they sort in order."""
    width = len(str(count - 1))
    return [f"unit {i:0{width}}" for i in range(count)]


def events(group: DataTree) -> np.ndarray:
    """Return the data of a tree's group as one array ``(chain, draw, n, *event_shape)``.

    Example: ``events(tree["posterior_predictive"])``. ``observed_data`` has no axes for chain and draw.

    Args:
        group: ``observed_data``, ``posterior_predictive`` or ``prior_predictive`` of ``to_datatree``.
    """
    shape = tuple(int(size) for size in np.atleast_1d(group.attrs["event_shape"]))
    size = math.prod(shape)
    names = [str(name) for name in group.data_vars]
    first = group[names[0]]
    lead = first.shape[:-1]
    flat_names = [name for name in names if first.dims[-1] != "datum"]
    # Flat variables hold n * size entries together. Without one, every variable has an axis "datum".
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


def drop_missing(tree: DataTree) -> DataTree:
    """Drop the missing entries of ``observed_data``, for predictive plots.

    ArviZ's PIT plots compare draws with the data by ``<=``, which is false for NaN. So they count a
    missing entry as one below all draws. In the new tree each observed variable, also in the predictive
    groups, has its own dimension with the observed entries only.

    Args:
        tree: from ``to_datatree``.
    """
    import xarray as xr

    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    observed = groups["observed_data"]
    finite = {name: np.isfinite(values.to_numpy()) for name, values in observed.data_vars.items()}
    finite = {name: present for name, present in finite.items() if present.any()}
    for group in DATA_GROUPS:
        arrays = {}
        for name, present in finite.items():
            array = groups[group][name]
            place = str(array.dims[-1])
            array = array.isel({place: present}).drop_vars(place)
            arrays[name] = array.rename({place: f"{name}_observed"})
        groups[group] = xr.Dataset(arrays)
    return xr.DataTree.from_dict({name: groups[name] for name in tree.children})
