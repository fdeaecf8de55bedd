"""The one door for data: what a user gives becomes checked arrays ``Batch(x, context, mask)``.

Training and validation data, and the data of every query and measure, come through ``check_data``.
Contexts without data come through ``check_context``.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae import containers, inputs
from probvae.checks import format_value
from probvae.containers import read_values, split_mask
from probvae.data import Cast, Data, StreamedData
from probvae.data.read_errors import DataError
from probvae.data.streamed import as_streamed, find_mapped_array, free_memory
from probvae.data_description import DataComparison, DataSummary
from probvae.data_remedies import RefusedValues, list_blocks, support_error
from probvae.evidence import Batch
from probvae.precision import describe_merged_values, in_precision, may_merge, sample_rows
from probvae.progress import progress_bar
from probvae.typing import Shape

AS_IT_IS = Cast()
CHUNK_BYTES = 32 * 2**20  # bytes looked at together: the check must not decide the run's peak memory


def check_data(
    vae: Any,
    data: Any,
    name: str = "x",
    *,
    context: Any = None,
    mask: Any = None,
    observation: Any = AS_IT_IS,
    record: DataSummary | DataComparison | None = None,
    keep_streamed: bool = False,
    progress: bool = False,
) -> Batch:
    """Return data as arrays that fit the VAE, in the dtypes that JAX computes in.

    Args:
        vae: says which shapes and values are right.
        data: an array, a list, a masked array, a frame, a sparse matrix, a source of rows, or a
            ``Batch`` of these and their context and mask.
        name: what an error calls the data.
        context: ``(n, *context_shape)``, where ``data`` is no ``Batch``.
        mask: true where x is observed, likewise. Where the data have a mask of their own, an entry is
            observed if both say so.
        observation: what is applied to x before it is scored.
        record: is shown all values: it describes training data, or compares others with these.
        keep_streamed: return streamed data as ``StreamedData``. Otherwise they are read into memory.
        progress: show a bar while large data are read.

    Returns:
        NumPy arrays. Where the mask is false, x holds the likelihood's fill value (not: ``StreamedData``).
        Traced arrays are returned as they are: only their shapes can be checked.

    Raises:
        TypeError: for containers and dtypes that hold no numbers.
        ValueError: for a wrong shape, for values that are not finite or not in the support, and for
            training data whose values float32 merges (other data give a warning).
    """
    batch = _as_batch(data, name, context, mask)
    if any(isinstance(part, jax.core.Tracer) for part in batch):
        return Batch(*inputs.check_inputs(vae, *batch))
    x, observed = _read_x(name, batch.x)
    inputs.check_shape(name, x.shape, vae.event_shape, "event_shape")
    mask = _check_mask(vae, batch.mask, observed, x.shape, _part_of(name, "mask"))
    context = check_context(vae, batch.context, _part_of(name, "context"), rows=len(x))
    if text := _describe_merged_values(name, x, mask):
        if isinstance(record, DataSummary):  # a fit to three values of a thousand helps nobody
            raise ValueError(text)
        warnings.warn(text, stacklevel=2)
    if observation is not AS_IT_IS:
        check_observation(observation, in_precision(_rows(x, slice(0, 2))))
    if isinstance(x, StreamedData) and keep_streamed:
        x = _check_streamed(vae, x, mask, name, observation, record, progress=progress)
    else:
        x = _in_memory(x, mask, vae.likelihood.fill, name, progress=progress)
        check_values(vae, x, mask, name, observation, record)
    if record is not None:
        record.add_context(context)
        record.conclude()
    return Batch(x, context, mask)


def check_context(vae: Any, context: Any, name: str = "context", *, rows: int | None = None) -> Any:
    """Return a context as an array ``(rows, *context_shape)``; None where the VAE takes none.

    Raises:
        TypeError, ValueError: for a context that is missing or not asked for, and for wrong shapes and
            values.
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
    "A context must be complete: a mask is of x alone. Fill the entries in, with 0 or a mean, and say "
    "where in a column of its own (1 where missing), or drop these rows."
)


def _as_batch(data: Any, name: str, context: Any, mask: Any) -> Batch:
    """Return data, context and mask together; raise if one of them is given twice."""
    if isinstance(data, Data):
        raise TypeError(f"{name} expects an array; got a data set, {data.name!r}. Give data.train.")
    if not isinstance(data, Batch):
        return Batch(data, context, mask)
    for part, outside in (("context", context), ("mask", mask)):
        if outside is not None and getattr(data, part) is not None:
            raise ValueError(f"{name} is a Batch with a {part}, and {part} is given too. Give it once.")
    return Batch(
        data.x,
        data.context if context is None else context,
        data.mask if mask is None else mask,
    )


def _part_of(name: str, part: str) -> str:
    return part if name == "x" else f"{name} {part}"


def _read_x(name: str, value: Any) -> tuple[Any, np.ndarray | None]:
    """Return x as an array or ``StreamedData``, and where it is observed: None where it has no mask."""
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


def _load(name: str, value: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a context or a mask in memory, and where it is observed; a source is read."""
    array, observed = _read_x(name, value)
    return array.read(np.arange(len(array))) if isinstance(array, StreamedData) else array, observed


def _describe_merged_values(name: str, x: Any, mask: np.ndarray | None) -> str | None:
    if not may_merge(x.dtype):
        return None
    rows = sample_rows(len(x))
    sample = x.read(rows) if isinstance(x, StreamedData) else x[rows]
    return describe_merged_values(name, sample, None if mask is None else mask[rows])


def _check_mask(
    vae: Any, mask: Any, observed: np.ndarray | None, shape: Shape, name: str
) -> np.ndarray | None:
    """Return where x is observed, by the mask that was given and by the one of its container."""
    if mask is not None:
        array, hidden = _load(name, mask)
        if hidden is not None:
            raise ValueError(
                f"{name} has masked or missing entries itself. Fill them: mask.filled(False)."
            )
        inputs.check_shape(name, array.shape, shape[1:], "event_shape")
        inputs.check_same_rows(name, len(array), shape[0])
        if array.dtype != bool:
            if not ((array == 0) | (array == 1)).all():
                raise ValueError(
                    f"{name} expects True where x is observed and False where not; got other numbers. "
                    "Take np.isfinite(x), or mask > 0."
                )
            array = array.astype(bool)
        observed = array if observed is None else observed & array
    if observed is not None:
        inputs.check_can_mask(vae)
    return observed


def fill_missing(x: np.ndarray, mask: np.ndarray | None, fill: Any) -> np.ndarray:
    """Return x with the fill value where the mask is false."""
    return x if mask is None else np.where(mask, x, np.asarray(fill, x.dtype))


def _check_streamed(
    vae: Any, x: StreamedData, mask: Any, name: str, observation: Any, record: Any, *, progress: bool
) -> StreamedData:
    """Check streamed data chunk by chunk; return them with one dtype for all chunks."""
    for rows in _blocks(x, name, progress=progress):
        part = None if mask is None else mask[rows]
        block = _finite_block(x, rows, part, vae.likelihood.fill, name)
        if block.dtype.kind == "f":  # integers that JAX would wrap are floats here, so all others are
            x = x.load_as(block.dtype)
        place = f"{name}[{rows.start}:]" if rows.start else name
        check_values(vae, block, part, place, observation, record, rows.start)
    return x


def _in_memory(x: Any, mask: np.ndarray | None, fill: Any, name: str, *, progress: bool) -> np.ndarray:
    """Return data as one array, converted, filled and finite. One that is so already is not copied."""
    is_streamed = isinstance(x, StreamedData)
    if is_streamed and x.nbytes > free_memory():
        raise DataError(
            f"{name} is streamed, and its {x.nbytes:,} bytes do not fit into the free memory; usual "
            "fix: ask about some of its rows at a time, source[rows]"
        )
    dtype = x.loaded_dtype if is_streamed else in_precision(x[:0]).dtype
    copy = is_streamed or mask is not None or dtype != x.dtype
    array = np.empty(x.shape, dtype) if copy else x
    for rows in _blocks(
        x, name, progress=progress and (is_streamed or find_mapped_array(x) is not None)
    ):
        block = _finite_block(x, rows, None if mask is None else mask[rows], fill, name)
        if block.dtype.kind == "f" != dtype.kind:  # integers that JAX would wrap: all become floats
            return _in_memory(x.load_as(block.dtype), mask, fill, name, progress=progress)
        if copy:
            array[rows] = block
    return array


def _finite_block(x: Any, rows: slice, mask: Any, fill: Any, name: str) -> np.ndarray:
    """Return rows of x, filled and converted; raise if an observed value is not finite."""
    raw = fill_missing(_rows(x, rows), mask, fill)
    block = in_precision(raw)
    finite = np.isfinite(block)
    if not finite.all():
        bad = np.argwhere(~finite)
        row, count = rows.start + int(bad[0][0]), len(bad)
        raise ValueError(
            f"{name} holds {count} values that are NaN or infinite, the first in row {row}; expected "
            f"finite numbers. {_finite_remedy(raw, finite, mask)}"
        )
    return block


def _finite_remedy(raw: np.ndarray, finite: np.ndarray, mask: np.ndarray | None) -> str:
    if np.isfinite(raw).all():
        return "They are beyond float32, which ends at 3.4e38. Divide by a unit first."
    if mask is None:
        return "Drop or fill them, or say that they are missing: Batch(x, mask=np.isfinite(x))."
    if not (finite & mask).any():
        return "The mask is true exactly where x is NaN. It seems inverted: Batch(x, mask=~mask)."
    return "The mask is true there: make it false where x is missing, mask & np.isfinite(x)."


def _rows(x: Any, rows: slice) -> np.ndarray:
    return (
        x.read(np.arange(*rows.indices(len(x)))) if isinstance(x, StreamedData) else np.asarray(x[rows])
    )


def _blocks(x: Any, name: str, *, progress: bool) -> Iterator[slice]:
    """Yield all rows in order as slices, a chunk at a time, beside a bar."""
    chunk = x.chunk_bytes if isinstance(x, StreamedData) else CHUNK_BYTES
    step = max(chunk * len(x) // max(x.nbytes, 1), 1)
    starts = range(0, len(x), step)
    for start in progress_bar(
        starts, desc=f"reading {name}", unit="chunk", leave=False, disable=not progress
    ):
        yield slice(start, min(start + step, len(x)))


def _check_labels(vae: Any, context: np.ndarray) -> None:
    """Raise unless a context that labels a discrete site is one-hot, or zeros."""
    if not vae.prior.observes_context:
        return
    odd = ~((context == 0) | (context == 1)).all(-1) | (context.sum(-1) > 1)
    if odd.any():
        row = int(odd.argmax())
        raise ValueError(
            f"the prior {type(vae.prior).__name__} reads labels from the context: each row is one-hot, "
            f"or zeros where the label is not known; got {context[row]} in row {row}. Take "
            "np.eye(classes)[label], times 0 where there is none."
        )


CHECKED_ROWS = 512  # rows looked at together: the check must not decide the run's peak memory


def check_values(
    vae: Any,
    x: np.ndarray,
    mask: np.ndarray | None,
    name: str,
    observation: Any,
    record: DataSummary | DataComparison | None = None,
    first_row: int = 0,
) -> None:
    """Raise unless every observed value is one that the likelihood gives a density to.

    Args:
        vae: whose likelihood it is.
        x: data, or a chunk of them, as they are stored.
        mask: true where x is observed.
        name: what an error calls the data.
        observation: what is applied to x before it is scored.
        record: is shown the values before anything is said of them.
        first_row: the number of the chunk's first row.
    """
    likelihood = vae.likelihood
    for start in range(0, len(x), CHECKED_ROWS):
        rows = slice(start, start + CHECKED_ROWS)
        seen = _observe_once(observation, x[rows])
        check_magnitude(name, seen, first_row + start)
        if record is not None:
            record.add(x[rows], seen, None if mask is None else mask[rows])
        if seen.dtype == np.uint8 and seen.max() > 1 and _real(likelihood):
            raise ValueError(
                f"{name} holds bytes in 0..{x.max()} and the likelihood {type(likelihood).__name__} "
                "takes real numbers: they would be modelled in units of grey levels. "
                f"{_bytes_remedy(name)}"
            )
        fine = np.asarray(likelihood.support(seen))
        if mask is not None:
            fine = fine | ~mask[rows]
        if not fine.all():
            raise ValueError(_refusal(vae, x, mask, name, observation))


def check_magnitude(name: str, x: np.ndarray, first_row: int = 0) -> None:
    """Raise for finite values whose square is beyond the numbers that JAX computes in."""
    limit = float(np.finfo(jnp.zeros(()).dtype).max) ** 0.5
    if x.dtype.kind == "f" and float(np.abs(x).max(initial=0)) >= limit:
        flat = x.reshape(len(x), -1).astype(float)
        row, entry = np.argwhere(np.abs(flat) >= limit)[0]
        raise ValueError(
            f"{name} holds {flat[row, entry]:.6g} in row {first_row + row}, entry {entry}; expected "
            f"numbers below {limit:.2g}, whose squares are finite. If this is a fill value for what is "
            "missing (netCDF writes 9.97e36), give a mask of x that is false there, Batch(x, "
            "mask=...), or drop the row. Otherwise divide the data by a unit."
        )


def _bytes_remedy(name: str) -> str:
    if name.startswith("train"):
        return (
            "Give the observation that the data bring, fit(..., observation=data.observation), or "
            "convert them to float."
        )
    return "Bring them to the units of the training data, such as x / 255, or convert them to float."


def _refusal(vae: Any, x: np.ndarray, mask: np.ndarray | None, name: str, observation: Any) -> str:
    """Say what is outside the support in the first block that has such values, and what to do."""
    seen = np.concatenate(
        [
            _observe_once(observation, x[start : start + CHECKED_ROWS])
            for start in range(0, len(x), CHECKED_ROWS)
        ]
    )
    observed = np.ones(seen.shape, bool) if mask is None else mask
    bad = {
        block: ~np.asarray(likelihood.support(seen[..., columns])) & observed[..., columns]
        for block, columns, likelihood in list_blocks(vae.likelihood)
    }
    block, columns, likelihood = next(
        each for each in list_blocks(vae.likelihood) if bad[each[0]].any()
    )
    refused = RefusedValues(
        likelihood=likelihood,
        values=seen[..., columns][observed[..., columns]],
        bad=seen[..., columns][bad[block]],
        where=_place(name, observation, block),
        num_rows=len(x),
        columns=None if block is None else f"{columns.start}:{columns.stop}",
        on_fit=name.startswith("train"),
        can_mask=vae.likelihood.factorises,
    )
    return support_error(refused)


def _place(name: str, observation: Any, block: str | None) -> str:
    place = name if block is None else f"block {block!r} of {name}"
    return place if isinstance(observation, Cast) else f"{place}, after {format_value(observation)},"


def _observe_once(observation: Any, x: np.ndarray) -> np.ndarray:
    return x if isinstance(observation, Cast) else np.asarray(observation(jax.random.key(0), x))


def _real(likelihood: Any) -> bool:
    return "real" in str(likelihood.support).lower()


def check_observation(observation: Any, x: np.ndarray) -> None:
    """Raise unless an observation can be called on a key and data, and returns as many numbers."""
    expected = "observation expects a function (rng_key, x) -> x, such as data.Binarize()"
    if not callable(observation) or isinstance(observation, type):
        raise TypeError(f"{expected}; got {format_value(observation)}.")
    try:
        seen = observation(jax.random.key(0), x[:2])
    except TypeError as error:
        raise TypeError(
            f"{expected}; {format_value(observation)} fails on two data: {error}"
        ) from error
    if np.shape(seen) != x[:2].shape:
        got = f"{np.shape(seen)} for {x[:2].shape}"
        raise ValueError(f"{expected}, of the same shape; {format_value(observation)} gives {got}.")
