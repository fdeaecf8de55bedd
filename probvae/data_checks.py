"""Convert users' data to checked arrays ``Batch(x, context, mask)``.

All data pass through ``check_data``: training and validation data, and those of every query and
diagnostic. A context without data passes through ``check_context``.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from probvae import containers, inputs
from probvae.checks import format_value
from probvae.containers import read_values, split_mask
from probvae.data import Cast, Data, StreamedData
from probvae.data.entry_names import name_entry, remove_value
from probvae.data.observations import check_observation, observe_once
from probvae.data.read_errors import DataError
from probvae.data.schema import Schema
from probvae.data.streamed import as_streamed, find_mapped_array, free_memory
from probvae.data_description import DataComparison, DataSummary
from probvae.data_remedies import UnsupportedValues, list_blocks, support_error
from probvae.evidence import Batch
from probvae.faq import cite
from probvae.precision import describe_merged_values, in_precision, may_merge, sample_rows
from probvae.progress import progress_bar
from probvae.table_inputs import encode_table
from probvae.typing import ArrayLike, DataLike, Observation, Shape
from probvae.vae import VAE

DataRecord: TypeAlias = DataSummary | DataComparison
Rows: TypeAlias = Any  # np.ndarray or StreamedData

NO_OBSERVATION = Cast()
CHUNK_BYTES = 32 * 2**20  # read at a time, so that the check does not set the run's peak memory
CHECKED_ROWS = 512  # compared with the support at a time, for the same reason


def check_data(
    vae: VAE,
    data: DataLike,
    name: str = "x",
    *,
    context: DataLike | None = None,
    mask: DataLike | None = None,
    observation: Observation = NO_OBSERVATION,
    record: DataRecord | None = None,
    keep_streamed: bool = False,
    progress: bool = False,
) -> Batch:
    """Return data as arrays with the VAE's shapes and supported values, in JAX's dtypes.

    Args:
        vae: the VAE.
        data: an array, a list, a masked array, a frame, a `data.Table`, a sparse matrix, a source of
            rows, or a ``Batch`` of these with their context and mask. After training on a table, also
            the path of a file.
        name: the name of the data in errors.
        context: ``(n, *context_shape)``, unless it is in the ``Batch``.
        mask: True where x is observed, unless it is in the ``Batch``. If x is a masked array or a frame
            with ``pandas.NA``, an entry is observed where both say so.
        observation: applied to x before it is scored.
        record: gets all values, to summarise training data or to compare other data with them.
        keep_streamed: True to return streamed data as ``StreamedData``, False to read them into memory.
        progress: True for a progress bar while large data are read.

    Returns:
        NumPy arrays. x has the likelihood's fill value where the mask is False, except in
        ``StreamedData``. Traced arrays are returned unchanged, as only their shapes can be checked.

    Raises:
        TypeError: for containers and dtypes without numbers.
        ValueError: for a wrong shape, for values that are not finite or outside the support, for a mask
            that is True only where x is missing, and for training data with values that are equal in
            float32 (other data give a warning).
    """
    batch = encode_table(vae, _as_batch(data, name, context, mask), name, record)
    if any(isinstance(part, jax.core.Tracer) for part in batch):
        return Batch(*inputs.check_inputs(vae, *batch))
    x, observed = _read_x(name, batch.x)
    inputs.check_shape(name, x.shape, vae.event_shape, "event_shape")
    mask = _check_mask(vae, batch.mask, observed, x.shape, _part_name(name, "mask"))
    context = check_context(vae, batch.context, _part_name(name, "context"), rows=len(x))
    schema = None if record is None else record.schema
    if text := _describe_merged_values(name, x, mask, schema):
        if isinstance(record, DataSummary):  # training data: a fit to merged values is useless
            raise ValueError(text)
        warnings.warn(text, stacklevel=2)
    if observation is not NO_OBSERVATION:
        check_observation(observation, in_precision(_rows(x, slice(0, 2))))
    check = partial(check_values, vae, observation=observation, record=record)
    fill = vae.likelihood.fill
    if isinstance(x, StreamedData) and keep_streamed:
        x = _check_streamed(x, mask, fill, name, check, progress=progress)
    else:
        x = _in_memory(x, mask, fill, name, progress=progress, schema=schema)
        check(x, mask, name)
    if record is not None:
        record.add_context(context)
        record.conclude()
    return Batch(x, context, mask)


def check_context(
    vae: VAE, context: DataLike | None, name: str = "context", *, rows: int | None = None
) -> ArrayLike | None:
    """Return a context as an array ``(rows, *context_shape)``, or None for a VAE without one.

    Raises:
        TypeError, ValueError: for a context that is missing, unexpected, or of a wrong shape or value.
    """
    if context is None or isinstance(context, jax.core.Tracer):
        return inputs.check_context(vae, context, None)
    array, observed = _load(name, context)
    if observed is not None:
        raise ValueError(
            f"{name} holds {int((~observed).sum())} masked or missing entries. {_MISSING_CONTEXT}"
        )
    inputs.check_context_shape(vae, array.shape, name)
    if rows is not None:
        inputs.check_same_rows(name, len(array), rows)
    if text := _describe_merged_values(name, array, None):
        warnings.warn(text, stacklevel=2)
    array = in_precision(array)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        raise ValueError(
            f"{name} holds NaN or infinite values in {int(bad.sum())} rows, the first in row "
            f"{int(bad.argmax())}. {_MISSING_CONTEXT}"
        )
    check_magnitude(name, array)
    _check_labels(vae, array)
    return array


_MISSING_CONTEXT = (
    "A context must be complete, as a mask applies to x alone. Fill these entries with 0 or a mean and "
    f"add a column that is 1 where they are missing, or drop these rows. {cite('context-incomplete')}"
)


_MASK_INVERTED = "The mask is True only where x is missing. It seems inverted: Batch(x, mask=~mask)."


def _as_batch(data: DataLike, name: str, context: DataLike | None, mask: DataLike | None) -> Batch:
    """Return data, context and mask together. Raise if one of them is given twice."""
    if isinstance(data, Data):
        raise TypeError(f"{name} expects an array; got a data set, {data.name!r}. Use data.train.")
    if not isinstance(data, Batch):
        return Batch(data, context, mask)
    for part, value in (("context", context), ("mask", mask)):
        if value is not None and getattr(data, part) is not None:
            raise ValueError(f"{name} is a Batch with a {part}, and {part} is given too. Give it once.")
    return data._replace(
        context=data.context if context is None else context, mask=data.mask if mask is None else mask
    )


def _part_name(name: str, part: str) -> str:
    return part if name == "x" else f"{name} {part}"


def _read_x(name: str, value: DataLike) -> tuple[Rows, np.ndarray | None]:
    """Return x as an array or ``StreamedData``, and where it is observed. None without a mask."""
    if isinstance(value, Batch):
        raise TypeError(f"{name} expects an array of numbers; got a Batch inside a Batch.")
    if isinstance(value, np.ma.MaskedArray):
        _, observed = split_mask(value)
        return _read_x(name, value.data)[0], observed
    if not isinstance(value, StreamedData):
        containers.check_container(name, value)
    source = as_streamed(value)
    if isinstance(source, StreamedData):
        return source, None
    array, observed = read_values(name, source)
    return np.asarray(array), observed


def _load(name: str, value: DataLike) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a context or a mask as an array in memory, and where it is observed."""
    array, observed = _read_x(name, value)
    return array.read(np.arange(len(array))) if isinstance(array, StreamedData) else array, observed


def _describe_merged_values(
    name: str, x: Rows, mask: np.ndarray | None, schema: Schema | None = None
) -> str | None:
    if not may_merge(x.dtype):
        return None
    rows = sample_rows(len(x))
    sample = x.read(rows) if isinstance(x, StreamedData) else x[rows]
    names = None if schema is None else schema.names
    return describe_merged_values(name, sample, None if mask is None else mask[rows], names)


def _check_mask(
    vae: VAE, mask: DataLike | None, observed: np.ndarray | None, shape: Shape, name: str
) -> np.ndarray | None:
    """Return where x is observed: in the given mask and in the mask of its container."""
    if mask is not None:
        array, mask_of_mask = _load(name, mask)
        if mask_of_mask is not None:
            raise ValueError(f"{name} has masked or missing entries. Fill them: mask.filled(False).")
        inputs.check_shape(name, array.shape, shape[1:], "event_shape")
        inputs.check_same_rows(name, len(array), shape[0])
        if array.dtype != bool:
            if not ((array == 0) | (array == 1)).all():
                raise ValueError(
                    f"{name} expects True where x is observed and False elsewhere; got other numbers. "
                    "Use np.isfinite(x), or mask > 0."
                )
            array = array.astype(bool)
        # a combined mask would hide the mistake: it is False everywhere, and impute redraws all entries
        if observed is not None and observed.any() and array.any() and not (observed & array).any():
            raise ValueError(
                f"{name} hides all observed entries; x has {int((~observed).sum())} missing entries. "
                f"{_MASK_INVERTED} Or give x alone, as it marks its missing entries itself. "
                f"{cite('mask-inverted')}"
            )
        observed = array if observed is None else observed & array
    if observed is not None:
        inputs.check_can_mask(vae)
    return observed


def fill_missing(x: np.ndarray, mask: np.ndarray | None, fill: float | ArrayLike) -> np.ndarray:
    """Return x with the fill value where the mask is False."""
    return x if mask is None else np.where(mask, x, np.asarray(fill, x.dtype))


def _check_streamed(
    x: StreamedData,
    mask: np.ndarray | None,
    fill: float | ArrayLike,
    name: str,
    check: Callable,
    *,
    progress: bool,
) -> StreamedData:
    """Check streamed data chunk by chunk, and return them with one dtype for all chunks."""
    for rows in _blocks(x, name, progress=progress):
        block, block_mask = _finite_block(x, rows, mask, fill, name)
        if block.dtype.kind == "f":  # integers too large for JAX became floats, so all chunks must
            x = x.load_as(block.dtype)
        place = f"{name}[{rows.start}:]" if rows.start else name
        check(block, block_mask, place, first_row=rows.start)
    return x


def _in_memory(
    x: Rows,
    mask: np.ndarray | None,
    fill: float | ArrayLike,
    name: str,
    *,
    progress: bool,
    schema: Schema | None = None,
) -> np.ndarray:
    """Return data as one array, converted, filled and finite, without a copy if none is needed."""
    # An array that needs no conversion is used as it is: a copy would double the memory of the data.
    is_streamed = isinstance(x, StreamedData)
    if is_streamed and x.nbytes > free_memory():
        raise DataError(
            f"{name} is streamed, and its {x.nbytes:,} bytes exceed the free memory. Use a part of its "
            "rows at a time, source[rows]."
        )
    dtype = x.loaded_dtype if is_streamed else in_precision(x[:0]).dtype
    copy = is_streamed or mask is not None or dtype != x.dtype
    array = np.empty(x.shape, dtype) if copy else x
    is_on_disk = is_streamed or find_mapped_array(x) is not None
    for rows in _blocks(x, name, progress=progress and is_on_disk):
        block, _ = _finite_block(x, rows, mask, fill, name, schema)
        # Only streamed integers change their kind here: a later chunk holds one too large for JAX.
        if block.dtype.kind == "f" != dtype.kind:
            return _in_memory(x.load_as(block.dtype), mask, fill, name, progress=progress)
        if copy:
            array[rows] = block
    return array


def _finite_block(
    x: Rows,
    rows: slice,
    mask: np.ndarray | None,
    fill: float | ArrayLike,
    name: str,
    schema: Schema | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return rows of x, filled and converted, and their mask. Raise for values that are not finite."""
    mask = None if mask is None else mask[rows]
    raw = fill_missing(_rows(x, rows), mask, fill)
    block = in_precision(raw)
    finite = np.isfinite(block)
    if not finite.all():
        bad = np.argwhere(~finite)
        place = "" if schema is None else f", {name_entry(bad[0][1], schema)}"
        raise ValueError(
            f"{name} holds {len(bad)} values that are NaN or infinite, the first in row "
            f"{rows.start + bad[0][0]}{place}; expected finite numbers. "
            f"{_finite_remedy(raw, finite, mask)}"
        )
    return block, mask


def _finite_remedy(raw: np.ndarray, finite: np.ndarray, mask: np.ndarray | None) -> str:
    if np.isfinite(raw).all():
        remedy = "They are above the largest float32, 3.4e38. Divide by a unit first."
    elif mask is None:
        remedy = (
            "Drop or fill them, or mark them as missing: frame.convert_dtypes() for a pandas frame, "
            "Batch(x, mask=np.isfinite(x)) for an array."
        )
    elif not (finite & mask).any():
        return f"{_MASK_INVERTED} {cite('mask-inverted')}"
    else:
        remedy = "The mask is True there. Make it False where x is missing: mask & np.isfinite(x)."
    return f"{remedy} {cite('nan-in-the-data')}"


def _rows(x: Rows, rows: slice) -> np.ndarray:
    if isinstance(x, StreamedData):
        return x.read(np.arange(*rows.indices(len(x))))
    return np.asarray(x[rows])


def _blocks(x: Rows, name: str, *, progress: bool) -> Iterator[slice]:
    """Yield all rows in order as slices, a chunk at a time, with a progress bar."""
    chunk = x.chunk_bytes if isinstance(x, StreamedData) else CHUNK_BYTES
    step = max(chunk * len(x) // max(x.nbytes, 1), 1)
    starts = range(0, len(x), step)
    for start in progress_bar(
        starts, desc=f"reading {name}", unit="chunk", leave=False, disable=not progress
    ):
        yield slice(start, min(start + step, len(x)))


def _check_labels(vae: VAE, context: np.ndarray) -> None:
    """Raise unless the labels of a discrete site are one-hot, or zeros."""
    if not vae.prior.observes_context:
        return
    bad = ~((context == 0) | (context == 1)).all(-1) | (context.sum(-1) > 1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"the prior {type(vae.prior).__name__} reads labels from the context. It expects one-hot "
            f"rows, or zeros for an unknown label; got {context[row]} in row {row}. Use "
            f"np.eye(classes)[label], times 0 for an unknown label. {cite('labels-not-one-hot')}"
        )


def check_values(
    vae: VAE,
    x: np.ndarray,
    mask: np.ndarray | None,
    name: str,
    observation: Observation,
    record: DataRecord | None = None,
    first_row: int = 0,
) -> None:
    """Raise unless every observed value is in the likelihood's support.

    Args:
        vae: the VAE.
        x: data, or a chunk of them, as they are stored.
        mask: True where x is observed.
        name: the name of the data in errors.
        observation: applied to x before it is scored.
        record: gets the values before they are checked.
        first_row: index of the chunk's first row.
    """
    likelihood, schema = vae.likelihood, None if record is None else record.schema
    for start in range(0, len(x), CHECKED_ROWS):
        rows = slice(start, start + CHECKED_ROWS)
        scored = observe_once(observation, x[rows])
        check_magnitude(name, scored, first_row + start, schema)
        if record is not None:
            record.add(x[rows], scored, None if mask is None else mask[rows])
        is_real = "real" in str(likelihood.support).lower()
        if scored.dtype == np.uint8 and scored.max() > 1 and is_real:
            raise ValueError(
                f"{name} holds bytes in 0..{x.max()}, which {type(likelihood).__name__} would model as "
                f"real numbers in units of grey levels. {_bytes_remedy(name)} "
                f"{cite('bytes-as-real-numbers')}"
            )
        is_supported = np.asarray(likelihood.support(scored))
        if mask is not None:
            is_supported = is_supported | ~mask[rows]
        if not is_supported.all():
            raise ValueError(_support_error(vae, x, mask, name, observation, first_row, schema))


def check_magnitude(name: str, x: np.ndarray, first_row: int = 0, schema: Schema | None = None) -> None:
    """Raise for finite values whose square is infinite in JAX's precision."""
    limit = float(np.finfo(jnp.zeros(()).dtype).max) ** 0.5
    if x.dtype.kind == "f" and float(np.abs(x).max(initial=0)) >= limit:
        flat = x.reshape(len(x), -1).astype(float)
        row, entry = np.argwhere(np.abs(flat) >= limit)[0]
        raise ValueError(
            f"{name} holds {flat[row, entry]:.6g} in row {first_row + row}, "
            f"{name_entry(entry, schema)}; expected numbers below {limit:.2g}, whose squares are "
            "finite. If this is a fill value for missing data (netCDF writes 9.97e36), "
            f"{remove_value(schema)}, or drop the row. Otherwise divide the "
            f"{'data' if schema is None else 'column'} by a unit. {cite('fill-values')}"
        )


def _bytes_remedy(name: str) -> str:
    if name.startswith("train"):
        return (
            "Use the observation of the data set, fit(..., observation=data.observation), or convert "
            "them to float."
        )
    return "Convert them to the units of the training data, such as x / 255, or to float."


def _support_error(
    vae: VAE,
    x: np.ndarray,
    mask: np.ndarray | None,
    name: str,
    observation: Observation,
    first_row: int,
    schema: Schema | None,
) -> str:
    """Return the error for the first block of columns with values outside its support."""
    # The check stopped at its first block of rows. The error describes all of the data.
    scored = np.concatenate(
        [
            observe_once(observation, x[start : start + CHECKED_ROWS])
            for start in range(0, len(x), CHECKED_ROWS)
        ]
    )
    observed = np.ones(scored.shape, bool) if mask is None else mask
    for block in list_blocks(vae.likelihood, schema):
        values, is_observed = scored[..., block.columns], observed[..., block.columns]
        bad = ~np.asarray(block.likelihood.support(values)) & is_observed
        if bad.any():
            break
    place = name if block.name is None else f"block {block.name!r} of {name}"
    if schema is not None:
        place = f'column "{block.name}" of {name}'
    if not isinstance(observation, Cast):
        place = f"{place}, after {format_value(observation)},"
    unsupported = UnsupportedValues(
        likelihood=block.likelihood,
        values=values[is_observed],
        bad=values[bad],
        first=_find_first(bad, first_row, block.columns),
        place=place,
        num_rows=len(x),
        columns=None if block.name is None else f"{block.columns.start}:{block.columns.stop}",
        on_fit=name.startswith("train"),
        can_mask=vae.likelihood.factorises,
        column=None if schema is None else schema.modelled[block.columns.start],
    )
    return support_error(unsupported)


def _find_first(bad: np.ndarray, first_row: int, columns: slice) -> tuple[int, ...]:
    """Return the indices in x of the first bad value of a block of columns."""
    row, *outer, column = (int(i) for i in np.argwhere(bad)[0])
    return (first_row + row, *outer, column + (columns.start or 0))
