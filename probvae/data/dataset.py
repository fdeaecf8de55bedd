"""A data set: three arrays, and how a datum is observed."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
from jaxtyping import Shaped

from probvae.data.observations import AbstractObservation, Cast
from probvae.data.read_errors import DataError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Data:
    """Training, validation and test data of one event shape.

    `train` keeps its compact dtype; `observation` brings it to the model's space, at every step.
    `valid` (None where the source has none) and `test` are in the model's space already, drawn
    once: uint8 0 and 1 where binary, float32 otherwise. `labels` and `context` are keyed by split,
    or empty. `name` and `description` are what errors and reports say.

    Raises:
        TypeError: a split is no numpy array.
        ValueError: the splits differ in event shape, or labels or context from them in length.

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

    def __post_init__(self):
        for split, array in self.splits.items():
            if not isinstance(array, np.ndarray):
                raise TypeError(
                    f"data {self.name!r}: expected {split} as a numpy array, got "
                    f"{type(array).__name__}; usual fix: np.asarray({split})"
                )
            if array.shape[1:] != self.event_shape:
                raise DataError(
                    f"data {self.name!r}: expected the event shape of train, {self.event_shape}, "
                    f"in every split, got {array.shape[1:]} in {split}; usual fix: reshape {split}"
                )
        for kind in ("labels", "context"):
            _check_rows(self, kind=kind)

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """The arrays by name of split, without a missing `valid`."""
        arrays = {split: getattr(self, split) for split in SPLITS}
        return {split: array for split, array in arrays.items() if array is not None}

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return self.train.shape[1:]

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value in the model's space, over all splits."""
        seen = [self.observation.bounds(float(self.train.min()), float(self.train.max()))]
        held_out = [array for split, array in self.splits.items() if split != "train"]
        seen += [(float(array.min()), float(array.max())) for array in held_out]
        return min(low for low, _ in seen), max(high for _, high in seen)

    def __str__(self) -> str:
        low, high = self.range
        sizes = [f"{split} {len(array):,}" for split, array in self.splits.items()]
        rows = {
            "event shape": str(self.event_shape),
            "sizes": ", ".join(sizes),
            "range": f"{low:.4g} to {high:.4g}",
            "observation": f"{self.observation} of {self.train.dtype}",
            "labels": _classes(self.labels),
            "context": ", ".join(f"{k} {v.shape}" for k, v in self.context.items()) or "none",
        }
        lines = [f"  {word:<12} {value}" for word, value in rows.items()]
        return "\n".join([f"{self.name}: {self.description}", *lines])


def _check_rows(data, *, kind):
    for split, array in getattr(data, kind).items():
        rows = {split: len(array) for split, array in data.splits.items()}
        if rows.get(split) != np.shape(array)[0]:
            raise DataError(
                f"data {data.name!r}: expected {kind} by split with rows {rows}, "
                f"got {np.shape(array)[0]} rows for {split!r}; usual fix: one row per datum"
            )


def _classes(labels):
    if "train" not in labels:
        return "none"
    return f"{len(np.unique(labels['train'])):,} classes"
