"""What a fit knows of its training data, and how new data compare with them."""

import json
import re
import sys
import warnings
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from probvae import data as observations
from probvae.checks import format_value
from probvae.typing import Shape

MOST_COLUMNS = 1000  # longer vectors, and arrays of several axes, have one range for all entries
FAR = 3.0  # widths of the training range beyond its ends
VERY_FAR = 10.0  # the same, where the data are too few to tell outliers from other units
FEWEST_ROWS = 3
ABSURD = 1e4  # widths: of a single cell of validation data
CODES = (99, 999, 9999, 99999, 999999, 32767, 32768)  # usual fill values, of either sign
FAR_FOR_A_CODE = 30.0  # widths
INSIDE = ("probvae", "jaxtyping", "beartype")  # the last two check types around our functions, in tests


class Ranges(NamedTuple):
    """Lowest and highest value, mean and standard deviation of each column, or one of all entries."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest value of all columns."""
        return float(np.nanmin(self.low)), float(np.nanmax(self.high))


@dataclass(frozen=True)
class DataDescription:
    """What the training data of a fit looked like: ``Fitted.data``, kept in its file.

    Attributes:
        event_shape: of one datum.
        dtype: of the training data as they were given.
        num_rows: how many there were.
        observation: the observation that they went through, as text; "" for none.
        given_range: lowest and highest value before the observation.
        x: ranges after it: of the data as the likelihood scores them. One per column, where a datum is
            a vector of at most 1000 entries; otherwise one for all entries.
        context: ranges of the context, likewise; None without a context.
    """

    event_shape: Shape
    dtype: str
    num_rows: int
    observation: str
    given_range: tuple[float, float]
    x: Ranges
    context: Ranges | None = None

    def to_json(self) -> str:
        """Return the description as text."""
        return json.dumps(asdict(self) | {"x": self.x, "context": self.context})

    @classmethod
    def from_json(cls, text: str) -> "DataDescription":
        """Return the description that ``to_json`` wrote.

        Raises:
            ValueError: for text that is none.
        """
        try:
            fields = json.loads(text)
            x, context = (
                each and Ranges(*map(tuple, each)) for each in (fields["x"], fields["context"])
            )
            shape, given = tuple(fields["event_shape"]), tuple(fields["given_range"])
            changed = {"x": x, "context": context, "event_shape": shape, "given_range": given}
            return cls(**{**fields, **changed})
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"the file's description of its training data is damaged ({error}). Put a copy of the "
                "file back, or save it again."
            ) from error

    def __str__(self) -> str:
        low, high = self.x.span
        after = f" after {self.observation}" if self.observation else ""
        return (
            f"{self.num_rows:,} data of shape {self.event_shape}, {self.dtype}, in [{low:.4g}, "
            f"{high:.4g}]{after}"
        )


class DataSummary:
    """Gathers a description of training data, chunk by chunk."""

    def __init__(self, event_shape: Shape, observation: Any) -> None:
        self._event_shape, self._observation = event_shape, observation
        self._x = _Moments(event_shape)
        self._context: _Moments | None = None
        self._given_range = np.inf, -np.inf
        self._dtype, self._num_rows = "", 0

    def add(self, given: np.ndarray, scored: np.ndarray, mask: np.ndarray | None) -> None:
        """Take in rows as they were given and as the likelihood scores them."""
        self._dtype, self._num_rows = str(given.dtype), self._num_rows + len(given)
        self._x.add(scored, mask)
        self._given_range = _widen(self._given_range, given, mask)

    def add_context(self, context: np.ndarray | None) -> None:
        """Take in the context of all rows."""
        if context is not None:
            self._context = _Moments(context.shape[1:])
            self._context.add(context, None)

    def conclude(self) -> None:
        """Do nothing: training data are compared with nothing."""

    def description(self) -> DataDescription:
        """Return the description of all rows that were added."""
        return DataDescription(
            event_shape=self._event_shape,
            dtype=self._dtype,
            num_rows=self._num_rows,
            observation=_observation_text(self._observation),
            given_range=self._given_range,
            x=self._x.ranges(),
            context=None if self._context is None else self._context.ranges(),
        )


class DataComparison:
    """Compares new data with the description of the training data, chunk by chunk.

    Scaled or shifted data lie far outside the training range as a whole. Outliers do too, and scoring
    those is what a fit is for: so a datum counts only if half of its entries are outside (entries of 0
    say nothing of a scale), and the data only if half of them count. The range is widened by ``FAR`` of
    its width on either side, and by ``VERY_FAR`` for fewer than ``FEWEST_ROWS`` such data: a single
    heavy-tailed datum is then no reason to warn. For validation data, single absurd cells are named.
    """

    def __init__(
        self,
        description: DataDescription,
        name: str,
        *,
        names_cells: bool = False,
        warns: bool = True,
    ) -> None:
        self._description, self._name, self._warns = description, name, warns
        self._x = RangeDeparture(description.x, description.event_shape, names_cells=names_cells)
        self._context: RangeDeparture | None = None
        self._names_cells = names_cells
        self._all_integers = True

    def add(self, given: np.ndarray, scored: np.ndarray, mask: np.ndarray | None) -> None:
        """Take in rows; raise at once if the first ones have not been through the observation.

        Raises:
            ValueError: where the training data went through an observation, and these did not.
        """
        is_first = self._x.num_rows == 0
        self._x.add(scored, mask)
        observed = scored if mask is None else scored[mask]
        self._all_integers &= bool((observed == np.round(observed)).all())
        if is_first and self._looks_unobserved():
            raise ValueError(self._refusal())

    def add_context(self, context: np.ndarray | None) -> None:
        """Take in the context of all rows."""
        ranges = self._description.context
        if (
            context is not None
            and ranges is not None
            and len(ranges.low) in (1, _size(context.shape[1:]))
        ):
            self._context = RangeDeparture(ranges, context.shape[1:], names_cells=self._names_cells)
            self._context.add(context, None)

    @property
    def departure(self) -> "RangeDeparture | None":
        """How the data lie outside the training range; None if that is no cause to warn."""
        return self._x if self._x.share_outside else None

    def conclude(self) -> None:
        """Warn, once, if the data or their context are unlike those of the training.

        Raises:
            ValueError: where the training data went through an observation, and these did not.
        """
        if self._looks_unobserved():
            raise ValueError(self._refusal())
        if not self._warns:
            return
        context = "context" if self._name == "x" else f"{self._name} context"
        for name, departure in ((self._name, self._x), (context, self._context)):
            if departure is not None and departure.share_outside:
                warn_user(departure.in_words(name))
            elif departure is not None and departure.cells:
                warn_user(departure.cells_in_words(name))

    def _looks_unobserved(self) -> bool:
        """Tell whether the data look like the training data before their observation."""
        (low, high), x, seen = self._description.given_range, self._x, self._description
        if not seen.observation or not (low <= x.low and x.high <= high):
            return False
        is_outside = x.high > seen.x.span[1] or x.low < seen.x.span[0]
        integers = self._all_integers and np.dtype(seen.dtype).kind in "iub" and is_outside
        return integers or x.is_majority(x.rows_past_one)

    def _refusal(self) -> str:
        seen, x = self._description, self._x
        low, high = seen.x.span
        called = _call_of(seen.observation)
        how = (
            f"Apply it first: {called}(jax.random.key(0), x), with `from probvae import data`."
            if called
            else "Apply it first, as `fit` did to the training data."
        )
        return (
            f"{self._name} holds values in {x.low:.4g}..{x.high:.4g}; this VAE scores data in "
            f"[{low:.4g}, {high:.4g}]: the training data went through the observation "
            f"{seen.observation}. {how} "
            "(`fit` applies an observation to the training data alone. Validation data and the data of "
            "every query are given as the likelihood scores them.)"
        )


class RangeDeparture:
    """How far rows lie outside ranges, in widths of these."""

    def __init__(self, ranges: Ranges, shape: Shape, *, names_cells: bool) -> None:
        self.ranges, self.names_cells = ranges, names_cells
        self.low, self.high = np.inf, -np.inf
        self.num_rows = self.num_telling = 0
        self.rows_past_one = self.rows_far = self.rows_very_far = 0
        self.cells: list[tuple[int, int, float, float, float]] = []
        self.num_cells = 0
        self._low, self._high = np.asarray(ranges.low), np.asarray(ranges.high)
        width = self._high - self._low
        # A column that did not vary in training says nothing of its units, so it is not looked at.
        self._width = np.where(np.isfinite(width) & (width > 0), width, np.inf)

    def add(self, x: np.ndarray, mask: np.ndarray | None) -> None:
        """Take in rows ``(n, *shape)``."""
        flat = np.asarray(x).reshape(len(x), -1).astype(float)
        telling = np.ones(flat.shape, bool) if mask is None else mask.reshape(len(x), -1)
        self.low, self.high = _widen((self.low, self.high), flat, None if mask is None else telling)
        excess = np.maximum(self._low - flat, flat - self._high) / self._width
        if self.names_cells:
            self._name_cells(flat, excess, telling)
        telling = telling & (flat != 0) & np.isfinite(self._width)
        count = telling.sum(1)
        for margin, name in ((1.0, "rows_past_one"), (FAR, "rows_far"), (VERY_FAR, "rows_very_far")):
            outside = (telling & (excess > margin)).sum(1)
            rows = int(((2 * outside >= count) & (count > 0)).sum())
            setattr(self, name, getattr(self, name) + rows)
        self.num_telling += int((count > 0).sum())
        self.num_rows += len(x)

    def _name_cells(self, flat: np.ndarray, excess: np.ndarray, observed: np.ndarray) -> None:
        is_code = np.isin(np.abs(flat), CODES) & (excess > FAR_FOR_A_CODE)
        absurd = observed & (is_code | (excess > ABSURD))
        self.num_cells += int(absurd.sum())
        for row, column in np.argwhere(absurd)[: 1 - len(self.cells)]:
            at = min(column, len(self._low) - 1)
            place = (self.num_rows + int(row), int(column))
            self.cells.append((*place, flat[row, column], self._low[at], self._high[at]))

    def is_majority(self, rows: int) -> bool:
        """Whether so many rows are half of those that tell anything, and one at least."""
        return rows > 0 and 2 * rows >= self.num_telling

    @property
    def share_outside(self) -> float:
        """The share of rows that lie far outside, of those that tell; 0 if that is no cause to warn."""
        many = self.rows_far >= FEWEST_ROWS and self.is_majority(self.rows_far)
        if many or self.is_majority(self.rows_very_far):
            return self.rows_far / self.num_telling
        return 0.0

    def in_words(self, name: str) -> str:
        """Say how the data lie to the training range, and what to do."""
        low, high = self.ranges.span
        return (
            f"{name} is unlike the training data: {self.share_outside:.0%} of the rows lie far outside "
            f"the training range. {name} holds values in [{self.low:.4g}, {self.high:.4g}], the "
            f"training data in [{low:.4g}, {high:.4g}]. Are both in the same units? Give {name} in "
            "the units of the training data."
        )

    def cells_in_words(self, name: str) -> str:
        """Name the first absurd cell, and what to do."""
        row, column, value, low, high = self.cells[0]
        more = f" ({self.num_cells} such values in all)" if self.num_cells > 1 else ""
        return (
            f"{name} holds {value:.6g} in row {row}, entry {column}{more}; the training data lie in "
            f"[{low:.4g}, {high:.4g}]. Such a value decides the mean over all rows, and early stopping "
            "goes by that. If it stands for a missing value, give a mask that is false there, "
            "Batch(x, mask=...). If it is an error, drop the row."
        )


class _Moments:
    """Ranges, means and standard deviations, gathered chunk by chunk."""

    def __init__(self, shape: Shape) -> None:
        self._by_column = len(shape) == 1 and shape[0] <= MOST_COLUMNS
        size = shape[0] if self._by_column else 1
        self._low, self._high = np.full(size, np.inf), np.full(size, -np.inf)
        self._count, self._mean, self._square = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(self, x: np.ndarray, mask: np.ndarray | None) -> None:
        """Take in rows; means and squares by the update of Chan et al. (1983), which keeps digits."""
        flat = np.asarray(x).reshape((len(x), -1) if self._by_column else (-1, 1))
        flat = flat.astype(np.result_type(flat.dtype, np.float32), copy=False)
        if mask is None:
            count = np.full(self._count.shape, float(len(flat)))
            low, high = flat.min(0), flat.max(0)
            mean = flat.mean(0, dtype=float)
            square = np.square(flat - mean.astype(flat.dtype)).sum(0, dtype=float)
        else:
            seen = mask.reshape(flat.shape)
            count = seen.sum(0).astype(float)
            low, high = np.where(seen, flat, np.inf).min(0), np.where(seen, flat, -np.inf).max(0)
            mean = np.where(seen, flat, 0).sum(0, dtype=float) / np.maximum(count, 1)
            square = np.where(seen, np.square(flat - mean), 0).sum(0)
        total, shift = np.maximum(self._count + count, 1), mean - self._mean
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._square += square + shift**2 * self._count * count / total
        self._mean += shift * count / total
        self._count += count

    def ranges(self) -> Ranges:
        """Return what was gathered; NaN for columns without a value."""
        known = self._count > 0
        sd = np.sqrt(self._square / np.maximum(self._count, 1))
        columns = (np.where(known, a, np.nan) for a in (self._low, self._high, self._mean, sd))
        return Ranges(*(tuple(map(float, a)) for a in columns))


def warn_user(message: str) -> None:
    """Warn at the line outside of this package that led here."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _widen(span: tuple[float, float], x: np.ndarray, mask: np.ndarray | None) -> tuple[float, float]:
    """Return the lowest and highest value of both: a span, and the observed entries of x."""
    values = x if mask is None else x[mask]
    if values.size == 0:
        return span
    return min(span[0], float(values.min())), max(span[1], float(values.max()))


def _observation_text(observation: Any) -> str:
    """Return an observation as it is written; a function by its name. No observation is ""."""
    if isinstance(observation, observations.Cast):
        return ""
    return getattr(observation, "__qualname__", None) or format_value(observation)


def _call_of(observation: str) -> str | None:
    """Return the code that makes an observation of this package from its text; None for others."""
    names = re.findall(r"(\w+)\(", observation)
    if not names or not all(hasattr(observations, name) for name in names):
        return None
    return re.sub(r"(\w+)\(", r"data.\1(", observation)


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=int))
