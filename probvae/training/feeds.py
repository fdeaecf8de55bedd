"""What an epoch is fed by: data that are on the device, or chunks that are read while it computes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.data.streamed import StreamedData
from probvae.data_checks import fill_missing
from probvae.evidence import Batch
from probvae.precision import in_precision
from probvae.training import loop, validation
from probvae.training.initial_values import PASS_STATE
from probvae.training.parallel.devices import DataParallel, OneDevice, num_rows
from probvae.typing import Params, RngKey


@dataclass(frozen=True, eq=False)
class ResidentFeed:
    """Data on the device, or split over several: an epoch is one program."""

    train: Any
    valid: Any

    @property
    def n(self) -> int:
        """The number of training data."""
        return num_rows(self.train)

    @property
    def num_valid(self) -> int:
        """The number of validation data."""
        return 0 if self.valid is None else num_rows(self.valid)

    def epoch(
        self, run: loop.Run, state: Any, fresh: Params, key: RngKey, index: int, **options: bool
    ) -> Any:
        """Take one epoch: the state, every step's numbers, the validation's summary."""
        return loop.epoch(run, state, fresh, self.train, self.valid, key, index, **options)

    def rows_without_bound(self, run: loop.Run, params: Params, key: RngKey) -> list[int]:
        """Return the validation rows whose bounds are not finite, of an epoch with these parameters."""
        return rows_without_bound(run, params, key, self.valid)

    def whole_pass(self, run: loop.Run, params: Params, fresh: Params, key: RngKey) -> Any:
        """Return the likelihood's running state after a pass over the training data."""
        return loop.evaluate_all(run, params, fresh, self.train, key)


def rows_without_bound(run: loop.Run, params: Params, key: RngKey, valid: Any) -> list[int]:
    """Return the rows of validation data on the device whose bounds are not finite."""
    n, found = num_rows(valid), []
    for rows in validation.count_validation_rows(n, run.batch_size):
        fine = np.asarray(validation.have_bounds(run, params, key, jnp.asarray(rows), valid))
        found += rows[~fine & (rows < n)].tolist()
    return found


@dataclass(frozen=True, eq=False)
class StreamedFeed:
    """Data read chunk by chunk: the same steps, rows and keys as those of data on the device."""

    train: Batch
    valid: Batch | None
    fill: Any  # what stands where an entry is missing

    @property
    def n(self) -> int:
        """The number of training data."""
        return len(self.train.x)

    @property
    def num_valid(self) -> int:
        """The number of validation data."""
        return 0 if self.valid is None else len(self.valid.x)

    def epoch(
        self,
        run: loop.Run,
        state: Any,
        fresh: Params,
        key: RngKey,
        index: int,
        *,
        guarded: bool = False,
    ) -> Any:
        """Take one epoch: the state, every step's numbers, the validation's summary."""
        rows = np.asarray(loop.rows_of_steps(key, index, self.n, run.batch_size))
        seen: list[Any] = []
        state = loop.begin_epoch(state, fresh, key, index)
        for first, _, batches in self._chunks(self.train, rows):
            if len(seen) > 1:
                jax.block_until_ready(seen[-1])  # no chunk waits on the device behind another
            at = (index, first)
            state, steps = loop.run_steps(run, state, batches, key, at, self.n, guarded=guarded)
            seen.append(steps)
        history = jax.tree.map(lambda *a: np.concatenate(a), *jax.device_get(seen))
        steps = jax.device_put(history)
        return state, steps, self._summary(run, loop.parameters(run, state), key)

    def _summary(self, run: loop.Run, params: Params, key: RngKey) -> Any:
        if self.valid is None:
            return None
        n, total = len(self.valid.x), validation.empty_summary()
        index = validation.count_validation_rows(n, run.batch_size)
        for _, rows, batches in self._chunks(self.valid, index):
            total = jax.block_until_ready(
                validation.validate_rows(run, params, key, total, rows, batches, n)
            )
        return total

    def rows_without_bound(self, run: loop.Run, params: Params, key: RngKey) -> list[int]:
        """Return the validation rows whose bounds are not finite, of an epoch with these parameters."""
        if self.valid is None:
            return []
        n, fill = len(self.valid.x), self.fill
        index = validation.count_validation_rows(n, run.batch_size)
        found = []
        for rows in index:
            fine = validation.batch_has_bounds(run, params, key, rows[0], read(self.valid, rows, fill))
            found += rows[~np.asarray(fine) & (rows < n)].tolist()
        return found

    def whole_pass(self, run: loop.Run, params: Params, fresh: Params, key: RngKey) -> Any:
        """Return the likelihood's running state after a pass over the training data."""
        held, whole = fresh[PASS_STATE], self.n - self.n % run.batch_size
        for rows in (np.arange(whole).reshape(-1, run.batch_size), np.arange(whole, self.n)[None]):
            if rows.size:
                for _, part, batches in self._chunks(self.train, rows):
                    told = (held, part[:, 0], batches, key)
                    held = jax.block_until_ready(loop.evaluate_rows(run, params, *told))
        return held

    def _chunks(self, data: Batch, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, Batch]]:
        """Yield first step, rows and batches of each chunk; the next is read by a thread meanwhile."""
        most = max(data.x.chunk_bytes // (data.x.row_bytes * rows.shape[1]), 1)
        size = _steps_at_a_time(len(rows), most)
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        with ThreadPoolExecutor(1, thread_name_prefix="probvae-reader") as reader:
            coming = reader.submit(read, data, parts[0], self.fill)
            for number, part in enumerate(parts):
                batches = coming.result()
                if number + 1 < len(parts):
                    coming = reader.submit(read, data, parts[number + 1], self.fill)
                yield number * size, part, batches


def _steps_at_a_time(steps: int, most: int) -> int:
    """Return how many to take at a time: a divisor where one is near, for one compiled program."""
    most = min(most, steps)
    whole = next(k for k in range(most, 0, -1) if steps % k == 0)
    return whole if 2 * whole >= most else most


def read(data: Batch, rows: np.ndarray, fill: Any) -> Batch:
    """Return rows of any shape as arrays; rows beyond the last are the last."""
    rows = np.minimum(rows, len(data.x) - 1)
    flat = rows.reshape(-1)
    context, mask = (None if a is None else a[flat] for a in (data.context, data.mask))
    x = fill_missing(data.x.read(flat), mask, fill)
    x = in_precision(x).astype(data.x.loaded_dtype, copy=False)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        raise data.x.read_error(flat[bad], "values that are NaN or infinite")
    shaped = lambda a: a.reshape(*rows.shape, *a.shape[1:])  # noqa: E731
    return jax.tree.map(shaped, Batch(x, context, mask))


def feed_of(
    run: loop.Run, devices: DataParallel | OneDevice, train: Batch, valid: Batch | None
) -> ResidentFeed | StreamedFeed:
    """Return what feeds a run: where either is streamed, both are read in chunks.

    Raises:
        ValueError: for several devices and data that are streamed.
    """
    held = [batch for batch in (train, valid) if batch is not None]
    if not any(isinstance(batch.x, StreamedData) for batch in held):
        return ResidentFeed(devices.split(train), devices.split(valid))
    if isinstance(devices, DataParallel):
        raise ValueError(
            "DataParallel splits data that are in memory, and these are streamed. Leave `devices` out, "
            "or give arrays, np.asarray(train): each device holds its share of them."
        )
    return StreamedFeed(_by_row(train), valid and _by_row(valid), run.vae.likelihood.fill)


def first_batch(run: loop.Run, train: Batch) -> Batch:
    """Return the first batch, on JAX's default device."""
    if isinstance(train.x, StreamedData):
        rows = np.arange(run.batch_size)
        return jax.device_put(read(train, rows, run.vae.likelihood.fill))
    return jax.device_put(jax.tree.map(lambda a: a[: run.batch_size], train))


def _by_row(batch: Batch) -> Batch:
    x = batch.x if isinstance(batch.x, StreamedData) else StreamedData(np.asarray(batch.x))
    return batch._replace(x=x)
