"""The class `Data`: training, validation and test arrays, and the observation of a row."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
from jaxtyping import Shaped
from markupsafe import Markup

from probvae import html
from probvae.data.observations import AbstractObservation, Cast
from probvae.data.read_errors import DataError
from probvae.data.schema import Schema
from probvae.data.table import Table
from probvae.short_repr import short_repr
from probvae.typing import Shape

MAX_BYTES = 2**29  # of data whose range `print` computes
SPLITS = ("train", "valid", "test")


@short_repr
@dataclass(frozen=True, eq=False)
class Data:
    """Training, validation and test data of one event shape.

    `train` keeps its compact dtype. `observation` maps it to the model's space at every step. `valid`
    and `test` are in the model's space already, drawn once: uint8 0 and 1 if binary, else float32.
    `valid` is None if the source has none. `labels` and `context` are keyed by split, or empty. Errors
    and reports show `name` and `description`. Data of a table (`load_table`) have the `tables` by
    split, and their arrays have NaN where a cell is missing.

    Raises:
        TypeError: a split is not a NumPy array.
        ValueError: the splits differ in event shape, or labels or context have another length.

    """

    name: str
    _: KW_ONLY
    train: Shaped[np.ndarray, "train ..."]
    valid: Shaped[np.ndarray, "valid ..."] | None = None
    test: Shaped[np.ndarray, "test ..."]
    observation: AbstractObservation = field(default_factory=Cast)
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    context: Mapping[str, np.ndarray] = field(default_factory=dict)
    description: str = ""
    tables: Mapping[str, Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"data {self.name!r}"
        for split, array in self.splits.items():
            if not isinstance(array, np.ndarray):
                got = f"{type(array).__name__}. Use np.asarray({split})."
                raise TypeError(f"{place}: expected {split} as a NumPy array; got {got}")
            if array.shape[1:] != self.event_shape:
                expected = f"the event shape of train, {self.event_shape}, in every split"
                got = f"{array.shape[1:]} in {split}. Reshape {split}."
                raise DataError(f"{place}: expected {expected}; got {got}")
        rows = {split: len(array) for split, array in self.splits.items()}
        for kind in ("labels", "context"):
            for split, array in getattr(self, kind).items():
                if rows.get(split) != np.shape(array)[0]:
                    got = f"{np.shape(array)[0]} rows for {split!r}. Give one row per datum."
                    raise DataError(f"{place}: expected {kind} by split with rows {rows}; got {got}")

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """The arrays by name of split, without a missing `valid`."""
        arrays = {split: getattr(self, split) for split in SPLITS}
        return {split: array for split, array in arrays.items() if array is not None}

    @property
    def event_shape(self) -> Shape:
        """The shape of one datum."""
        return self.train.shape[1:]

    @property
    def schema(self) -> Schema | None:
        """The columns of a table. None for data that are no table."""
        return self.tables["train"].schema if self.tables else None

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value in the model's space, over all splits."""
        if self.tables:
            cells = np.concatenate([table.x[table.mask] for table in self.tables.values()])
            return float(cells.min()), float(cells.max())
        bounds = [self.observation.bounds(float(self.train.min()), float(self.train.max()))]
        held_out = [array for split, array in self.splits.items() if split != "train"]
        bounds += [(float(array.min()), float(array.max())) for array in held_out]
        return min(low for low, _ in bounds), max(high for _, high in bounds)

    def describe(self) -> dict[str, str]:
        """Return the properties of the data, in words. The range of very large data is not computed."""
        labels = self.labels.get("train")
        sizes = [f"{split} {len(array):,}" for split, array in self.splits.items()]
        nbytes = sum(array.nbytes for array in self.splits.values())
        return {
            "event shape": str(self.event_shape),
            "sizes": ", ".join(sizes),
            "range": (
                "{:.4g} to {:.4g}".format(*self.range)
                if nbytes <= MAX_BYTES
                else f"in data.range ({nbytes / 1e9:.1f} GB)"
            ),
            "observation": f"{self.observation} of {self.train.dtype}",
            "labels": "none" if labels is None else f"{len(np.unique(labels)):,} classes",
            "context": ", ".join(f"{k} {v.shape}" for k, v in self.context.items()) or "none",
        }

    def __str__(self) -> str:
        lines = [f"  {word:<12} {value}" for word, value in self.describe().items()]
        return "\n".join([f"{self.name}: {self.description}", *lines])

    def _repr_html_(self) -> str:
        head = Markup("<p><b>{}</b>: {}</p>").format(self.name, self.description)
        return html.block(head, html.table(self.describe()))
