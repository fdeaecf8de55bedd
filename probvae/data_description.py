"""Ranges of the training data, and how new data differ from them."""

import json
import re
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from probvae import data as observations
from probvae.checks import format_value
from probvae.data import Schema
from probvae.data.entry_names import format_cell, name_entry, remove_value
from probvae.faq import cite
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, Observation, Shape
from probvae.user_warnings import warn_user

MOST_COLUMNS = 1000  # longer vectors, and arrays of several axes, have one range for all entries
FAR = 3.0  # distance outside the training range, in widths of it
VERY_FAR = 10.0  # the same for few data, which may be outliers
FEWEST_ROWS = 3
ABSURD = 1e4  # widths, for a single entry of validation data
CODES = (99, 999, 9999, 99999, 999999, 32767, 32768)  # usual fill values, of either sign
FAR_FOR_A_CODE = 30.0  # widths


class Ranges(NamedTuple):
    """Lowest and highest value, mean and standard deviation: of each column, or of all entries."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest value of all columns."""
        return float(np.nanmin(self.low)), float(np.nanmax(self.high))


@short_repr
@dataclass(frozen=True)
class DataDescription:
    """A description of the training data, ``Fitted.data``, which is saved with a fit.

    Attributes:
        event_shape: shape of one datum.
        dtype: dtype of the training data before conversion.
        num_rows: number of rows.
        observation: the observation applied to them, as text. "" for none.
        given_range: lowest and highest value before the observation.
        x: ranges after the observation. There is one range per column for vectors of at most 1000
            entries, and otherwise one for all entries.
        context: ranges of the context. None without a context.
        schema: the columns of the table that was trained on. None for an array.
    """

    event_shape: Shape
    dtype: str
    num_rows: int
    observation: str
    given_range: tuple[float, float]
    x: Ranges
    context: Ranges | None = None
    schema: Schema | None = None

    def to_json(self) -> str:
        """Return the description as JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        schema = None if self.schema is None else self.schema.to_json()
        return json.dumps(values | {"schema": schema})

    @classmethod
    def from_json(cls, text: str) -> "DataDescription":
        """Return the description from the JSON of ``to_json``.

        Raises:
            ValueError: for other text.
        """
        try:
            values = json.loads(text)
            x, context = (
                each and Ranges(*map(tuple, each)) for each in (values["x"], values["context"])
            )
            shape, span = tuple(values["event_shape"]), tuple(values["given_range"])
            changes = {"x": x, "context": context, "event_shape": shape, "given_range": span}
            if values.get("schema") is not None:  # files of earlier versions have none
                changes["schema"] = Schema.from_json(values["schema"])
            return cls(**{**values, **changes})
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"the file's description of its training data is corrupt ({error}). Restore a copy of "
                "the file, or save it again."
            ) from error

    def __str__(self) -> str:
        low, high = self.x.span
        after = f" after {self.observation}" if self.observation else ""
        return (
            f"{self.num_rows:,} data of shape {self.event_shape}, {self.dtype}, in [{low:.4g}, "
            f"{high:.4g}]{after}"
        )


class DataSummary:
    """Accumulates a ``DataDescription`` of training data, chunk by chunk."""

    def __init__(self, event_shape: Shape, observation: Observation) -> None:
        self._event_shape, self._observation = event_shape, observation
        self._x = _Moments(event_shape)
        self._context: _Moments | None = None
        self._raw_range = np.inf, -np.inf
        self._dtype, self._num_rows = "", 0
        self.schema: Schema | None = None  # of a table

    def add(self, raw: np.ndarray, scored: np.ndarray, mask: np.ndarray | None) -> None:
        """Add rows, before and after the observation."""
        self._dtype, self._num_rows = str(raw.dtype), self._num_rows + len(raw)
        self._x.add(scored, mask)
        self._raw_range = _widen(self._raw_range, raw, mask)

    def add_context(self, context: ArrayLike | None) -> None:
        """Add the context of all rows."""
        if context is not None:
            self._context = _Moments(context.shape[1:])
            self._context.add(np.asarray(context), None)

    def conclude(self) -> None:
        """Do nothing, as training data are compared with no other data."""

    def description(self) -> DataDescription:
        """Return the description of all rows so far."""
        return DataDescription(
            event_shape=self._event_shape,
            dtype=self._dtype,
            num_rows=self._num_rows,
            observation=_observation_text(self._observation),
            given_range=self._raw_range,
            x=self._x.ranges(),
            context=None if self._context is None else self._context.ranges(),
            schema=self.schema,
        )


class DataComparison:
    """Compares new data with the description of the training data, chunk by chunk.

    Scaled or shifted data lie far outside the training range as a whole. Outliers do too, but they must
    be scored without a warning. A row therefore counts only if half of its entries are outside. Zeros
    show no scale and are ignored. The data count only if half of their rows do. "Outside" means ``FAR``
    widths of the range. For fewer than ``FEWEST_ROWS`` rows it means ``VERY_FAR`` widths, as one
    heavy-tailed row is no reason to warn.

    Args:
        description: of the training data.
        name: the name of the new data in messages.
        names_cells: True to report single absurd entries, as for validation data.
        warns: False to give no warning.
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
        self._x = RangeDeparture(description.x, names_cells=names_cells)
        self._context: RangeDeparture | None = None
        self._names_cells = names_cells
        self._are_integers = True

    def add(self, raw: np.ndarray, scored: np.ndarray, mask: np.ndarray | None) -> None:
        """Add rows, before and after the observation.

        Raises:
            ValueError: if the training data had an observation, and the first rows seem to lack it.
        """
        is_first = self._x.num_rows == 0
        self._x.add(scored, mask)
        observed = scored if mask is None else scored[mask]
        self._are_integers &= bool((observed == np.round(observed)).all())
        if is_first:
            self._check_observation()

    def add_context(self, context: ArrayLike | None) -> None:
        """Add the context of all rows."""
        ranges = self._description.context
        if context is not None and ranges is not None:
            if len(ranges.low) in (1, int(np.prod(context.shape[1:], dtype=int))):
                self._context = RangeDeparture(ranges, names_cells=self._names_cells)
                self._context.add(np.asarray(context), None)

    @property
    def schema(self) -> Schema | None:
        """The columns of the table that was trained on, or None."""
        return self._description.schema

    @property
    def departure(self) -> "RangeDeparture | None":
        """The departure of x from the training range, or None if it is no reason to warn."""
        return self._x if self._x.share_outside else None

    def conclude(self) -> None:
        """Warn once if the data or their context differ from the training data.

        Raises:
            ValueError: if the training data had an observation, and these data seem to lack it.
        """
        self._check_observation()
        if not self._warns:
            return
        context = "context" if self._name == "x" else f"{self._name} context"
        parts = ((self._name, self._x, self.schema), (context, self._context, None))
        for name, departure, schema in parts:
            if departure is not None and departure.share_outside:
                warn_user(departure.in_words(name))
            elif departure is not None and departure.cells:
                warn_user(departure.describe_cells(name, schema))

    def _check_observation(self) -> None:
        """Raise if the data look like the training data before their observation."""
        x, train = self._x, self._description
        (raw_low, raw_high), (low, high) = train.given_range, train.x.span
        if not train.observation or not (raw_low <= x.low and x.high <= raw_high):
            return
        is_outside = x.high > high or x.low < low
        is_raw = self._are_integers and np.dtype(train.dtype).kind in "iub" and is_outside
        if not is_raw and not x.is_majority(x.rows_beyond[1.0]):
            return
        call = _observation_call(train.observation)
        how = (
            f"Apply it first: {call}(jax.random.key(0), x), with `from probvae import data`."
            if call
            else "Apply it first, as `fit` did to the training data."
        )
        raise ValueError(
            f"{self._name} holds values in {x.low:.4g}..{x.high:.4g}, but this VAE scores data in "
            f"[{low:.4g}, {high:.4g}]: the training data went through the observation "
            f"{train.observation}. {how} `fit` applies an observation to the training data alone. Give "
            "validation data, and the data of every query, as the likelihood scores them. "
            f"{cite('observation-not-applied')}"
        )


class AbsurdCell(NamedTuple):
    """An entry that is absurd beside the training range of its column."""

    row: int
    column: int
    value: float
    low: float
    high: float


class RangeDeparture:
    """How far rows lie outside the training range, in widths of the range."""

    def __init__(self, ranges: Ranges, *, names_cells: bool) -> None:
        self.ranges, self.names_cells = ranges, names_cells
        self.low, self.high = np.inf, -np.inf
        self.num_rows = self.num_telling = 0  # all rows, and those with an entry that shows a scale
        self.rows_beyond = {1.0: 0, FAR: 0, VERY_FAR: 0}  # by distance in widths
        self.cells: list[AbsurdCell] = []  # the first one
        self.num_cells = 0
        self._low, self._high = np.asarray(ranges.low), np.asarray(ranges.high)
        width = self._high - self._low
        # A column that was constant in training shows no unit. An infinite width ignores it.
        self._width = np.where(np.isfinite(width) & (width > 0), width, np.inf)

    def add(self, x: np.ndarray, mask: np.ndarray | None) -> None:
        """Add rows ``(n, *shape)``."""
        flat = np.asarray(x).reshape(len(x), -1).astype(float)  # (n, entries)
        observed = np.ones(flat.shape, bool) if mask is None else mask.reshape(len(x), -1)
        self.low, self.high = _widen((self.low, self.high), flat, None if mask is None else observed)
        excess = np.maximum(self._low - flat, flat - self._high) / self._width
        if self.names_cells:
            self._find_cells(flat, excess, observed)
        telling = observed & (flat != 0) & np.isfinite(self._width)
        count = telling.sum(1)
        for distance in self.rows_beyond:
            outside = (telling & (excess > distance)).sum(1)
            self.rows_beyond[distance] += int(((2 * outside >= count) & (count > 0)).sum())
        self.num_telling += int((count > 0).sum())
        self.num_rows += len(x)

    def _find_cells(self, flat: np.ndarray, excess: np.ndarray, observed: np.ndarray) -> None:
        is_code = np.isin(np.abs(flat), CODES) & (excess > FAR_FOR_A_CODE)
        absurd = observed & (is_code | (excess > ABSURD))
        self.num_cells += int(absurd.sum())
        if not self.cells and absurd.any():
            row, column = map(int, np.argwhere(absurd)[0])
            at = min(column, len(self._low) - 1)
            self.cells.append(
                AbsurdCell(
                    self.num_rows + row, column, flat[row, column], self._low[at], self._high[at]
                )
            )

    def is_majority(self, num_rows: int) -> bool:
        """Tell whether so many rows are at least half of those that show a scale."""
        return num_rows > 0 and 2 * num_rows >= self.num_telling

    @property
    def share_outside(self) -> float:
        """The share of rows far outside, of those that show a scale. 0 if it is no reason to warn."""
        far = self.rows_beyond[FAR]
        many = far >= FEWEST_ROWS and self.is_majority(far)
        return far / self.num_telling if many or self.is_majority(self.rows_beyond[VERY_FAR]) else 0.0

    def in_words(self, name: str) -> str:
        """Return a comparison with the training range, and the remedy."""
        low, high = self.ranges.span
        return (
            f"{name} is unlike the training data: {self.share_outside:.0%} of the rows lie far outside "
            f"the training range. {name} holds values in [{self.low:.4g}, {self.high:.4g}], the "
            f"training data in [{low:.4g}, {high:.4g}]. Are both in the same units? Give {name} in "
            f"the units of the training data. {cite('other-units')}"
        )

    def describe_cells(self, name: str, schema: Schema | None = None) -> str:
        """Return the place of the first absurd entry, and the remedy.

        Args:
            name: the name of the data.
            schema: names the columns of a table.
        """
        cell = self.cells[0]
        more = f" ({self.num_cells} such values in all)" if self.num_cells > 1 else ""
        place, value = name_entry(cell.column, schema), format_cell(cell.value, cell.column, schema, 6)
        low, high = (format_cell(v, cell.column, schema, 4) for v in (cell.low, cell.high))
        return (
            f"{name} holds {value} in row {cell.row}, {place}{more}; the training "
            f"data lie in [{low}, {high}]. Such a value dominates the mean over all "
            f"rows, which early stopping uses. If it means a missing value, {remove_value(schema)}. If "
            f"it is an error, drop the row. {cite('fill-values')}"
        )


class _Moments:
    """Accumulates ranges, means and standard deviations, chunk by chunk."""

    def __init__(self, shape: Shape) -> None:
        self._by_column = len(shape) == 1 and shape[0] <= MOST_COLUMNS
        size = shape[0] if self._by_column else 1
        self._low, self._high = np.full(size, np.inf), np.full(size, -np.inf)
        self._count, self._mean, self._square = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(self, x: np.ndarray, mask: np.ndarray | None) -> None:
        """Add rows, by the numerically stable update of Chan et al. (1983)."""
        flat = np.asarray(x).reshape((len(x), -1) if self._by_column else (-1, 1))
        flat = flat.astype(np.result_type(flat.dtype, np.float32), copy=False)
        if mask is None:
            count = np.full(self._count.shape, float(len(flat)))
            low, high = flat.min(0), flat.max(0)
            mean = flat.mean(0, dtype=float)
            square = np.square(flat - mean.astype(flat.dtype)).sum(0, dtype=float)
        else:
            observed = mask.reshape(flat.shape)
            count = observed.sum(0).astype(float)
            low = np.where(observed, flat, np.inf).min(0)
            high = np.where(observed, flat, -np.inf).max(0)
            mean = np.where(observed, flat, 0).sum(0, dtype=float) / np.maximum(count, 1)
            square = np.where(observed, np.square(flat - mean), 0).sum(0)
        # `square` is the sum of squared deviations from the chunk's own mean. Joining two chunks adds
        # the squared distance of their means, weighted by the product of their counts over the total.
        total, shift = np.maximum(self._count + count, 1), mean - self._mean
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._square += square + shift**2 * self._count * count / total
        self._mean += shift * count / total
        self._count += count

    def ranges(self) -> Ranges:
        """Return the ranges so far. They are NaN for columns without a value."""
        has_values = self._count > 0
        sd = np.sqrt(self._square / np.maximum(self._count, 1))
        columns = (np.where(has_values, a, np.nan) for a in (self._low, self._high, self._mean, sd))
        return Ranges(*(tuple(map(float, a)) for a in columns))


def _widen(span: tuple[float, float], x: np.ndarray, mask: np.ndarray | None) -> tuple[float, float]:
    """Return the lowest and highest value of a span and of the observed entries of x."""
    values = x if mask is None else x[mask]
    if values.size == 0:
        return span
    return min(span[0], float(values.min())), max(span[1], float(values.max()))


def _observation_text(observation: Observation) -> str:
    """Return an observation as code, or a function's name. "" for no observation."""
    if isinstance(observation, observations.Cast):
        return ""
    return getattr(observation, "__qualname__", None) or format_value(observation)


def _observation_call(observation: str) -> str | None:
    """Return code that makes an observation of this package, such as ``data.Rescale(255)``, or None."""
    names = re.findall(r"(\w+)\(", observation)
    if not names or not all(hasattr(observations, name) for name in names):
        return None
    return re.sub(r"(\w+)\(", r"data.\1(", observation)
