"""Feeds: the data of an epoch, on the device, or read in chunks while the device computes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.svi import SVIState

from probvae.data.streamed import StreamedData
from probvae.data_checks import fill_missing
from probvae.evidence import Batch
from probvae.precision import in_precision
from probvae.training import loop, validation
from probvae.training.initial_values import PASS_STATE
from probvae.training.parallel.devices import DataParallel, DeviceBatch, OneDevice, num_rows
from probvae.typing import ArrayLike, Metrics, Params, PyTree, RngKey

EpochResult: TypeAlias = tuple[SVIState, Metrics, validation.ValidationSummary | None]


@dataclass(frozen=True, eq=False)
class ResidentFeed:
    """Data on the device, or sharded over several. An epoch is one program."""

    train: DeviceBatch
    valid: DeviceBatch | None

    @property
    def n(self) -> int:
        """The number of training data."""
        return num_rows(self.train)

    @property
    def num_valid(self) -> int:
        """The number of validation data."""
        return 0 if self.valid is None else num_rows(self.valid)

    def run_epoch(
        self, run: loop.Run, state: SVIState, fresh: Params, key: RngKey, index: int, **options: bool
    ) -> EpochResult:
        """Run one epoch. Return the state, the terms of every step, the validation summary."""
        return loop.run_epoch(run, state, fresh, self.train, self.valid, key, index, **options)

    def find_infinite_rows(self, run: loop.Run, params: Params, key: RngKey) -> list[int]:
        """Return the validation rows whose bounds are not finite, given an epoch's parameters."""
        return [] if self.valid is None else find_infinite_rows(run, params, key, self.valid)

    def run_state_pass(self, run: loop.Run, params: Params, fresh: Params, key: RngKey) -> PyTree:
        """Return the likelihood's running state after a pass over the training data."""
        return loop.run_state_pass(run, params, fresh, self.train, key)


def find_infinite_rows(run: loop.Run, params: Params, key: RngKey, valid: DeviceBatch) -> list[int]:
    """Return the rows of validation data on the device whose bounds are not finite."""
    n, infinite = num_rows(valid), []
    for rows in validation.index_batches(n, run.batch_size):
        finite = validation.find_finite_bounds(run, params, key, rows[0], jnp.asarray(rows), valid)
        infinite += rows[~np.asarray(finite) & (rows < n)].tolist()
    return infinite


@dataclass(frozen=True, eq=False)
class StreamedFeed:
    """Data read in chunks, with the same steps, rows and keys as data on the device."""

    train: Batch
    valid: Batch | None
    fill: ArrayLike | float  # replaces missing entries

    @property
    def n(self) -> int:
        """The number of training data."""
        return len(self.train.x)

    @property
    def num_valid(self) -> int:
        """The number of validation data."""
        return 0 if self.valid is None else len(self.valid.x)

    def run_epoch(
        self,
        run: loop.Run,
        state: SVIState,
        fresh: Params,
        key: RngKey,
        index: int,
        *,
        guarded: bool = False,
    ) -> EpochResult:
        """Run one epoch. Return the state, the terms of every step, the validation summary."""
        rows = np.asarray(loop.draw_step_rows(key, index, self.n, run.batch_size))
        chunks: list[Metrics] = []
        state = loop.begin_epoch(state, fresh, key, index)
        for first, _, batches in self._read_chunks(self.train, rows):
            # Three chunks in memory at most: one in use, one waiting on the device, one being read.
            if len(chunks) > 1:
                jax.block_until_ready(chunks[-1])
            position = (index, first)
            state, steps = loop.run_steps(run, state, batches, key, position, self.n, guarded=guarded)
            chunks.append(steps)
        history = jax.tree.map(lambda *a: np.concatenate(a), *jax.device_get(chunks))
        summary = self._summarize(run, loop.extract_values(run, state), key)
        return state, jax.device_put(history), summary

    def _summarize(
        self, run: loop.Run, params: Params, key: RngKey
    ) -> validation.ValidationSummary | None:
        if self.valid is None:
            return None
        n, total = len(self.valid.x), validation.empty_summary()
        index = validation.index_batches(n, run.batch_size)
        for _, rows, batches in self._read_chunks(self.valid, index):
            total = jax.block_until_ready(
                validation.summarize_more(run, params, key, total, rows, batches, n)
            )
        return total

    def find_infinite_rows(self, run: loop.Run, params: Params, key: RngKey) -> list[int]:
        """Return the validation rows whose bounds are not finite, given an epoch's parameters."""
        if self.valid is None:
            return []
        n, infinite = len(self.valid.x), []
        for rows in validation.index_batches(n, run.batch_size):
            batch = read_rows(self.valid, rows, self.fill)
            within = jnp.arange(len(rows))
            finite = validation.find_finite_bounds(run, params, key, rows[0], within, batch)
            infinite += rows[~np.asarray(finite) & (rows < n)].tolist()
        return infinite

    def run_state_pass(self, run: loop.Run, params: Params, fresh: Params, key: RngKey) -> PyTree:
        """Return the likelihood's running state after a pass over the training data."""
        state, num_full = fresh[PASS_STATE], self.n - self.n % run.batch_size
        full, rest = np.arange(num_full).reshape(-1, run.batch_size), np.arange(num_full, self.n)[None]
        for rows in (full, rest):
            if rows.size:
                for _, part, batches in self._read_chunks(self.train, rows):
                    state = jax.block_until_ready(
                        loop.continue_state_pass(run, params, state, part[:, 0], batches, key)
                    )
        return state

    def _read_chunks(self, data: Batch, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, Batch]]:
        """Yield first step, rows and batches of each chunk. A thread reads the next chunk meanwhile."""
        most = max(data.x.chunk_bytes // (data.x.row_bytes * rows.shape[1]), 1)
        size = _choose_chunk_size(len(rows), most)
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        with ThreadPoolExecutor(1, thread_name_prefix="probvae-reader") as reader:
            future = reader.submit(read_rows, data, parts[0], self.fill)
            for number, part in enumerate(parts):
                batches = future.result()
                if number + 1 < len(parts):
                    future = reader.submit(read_rows, data, parts[number + 1], self.fill)
                yield number * size, part, batches


def _choose_chunk_size(steps: int, most: int) -> int:
    """Return the steps per chunk: a divisor of all steps, if one is above half of the largest size.

    All chunks then have one shape, and one compiled program.
    """
    most = min(most, steps)
    divisor = next(k for k in range(most, 0, -1) if steps % k == 0)
    return divisor if 2 * divisor >= most else most


def read_rows(data: Batch, rows: np.ndarray, fill: ArrayLike | float) -> Batch:
    """Return rows of streamed data, for indices of any shape. Too large ones give the last row."""
    rows = np.minimum(rows, len(data.x) - 1)
    flat = rows.reshape(-1)
    context, mask = (None if a is None else a[flat] for a in (data.context, data.mask))
    x = fill_missing(data.x.read(flat), mask, fill)
    x = in_precision(x).astype(data.x.loaded_dtype, copy=False)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        raise data.x.read_error(flat[bad], "values that are NaN or infinite")
    return jax.tree.map(lambda a: a.reshape(*rows.shape, *a.shape[1:]), Batch(x, context, mask))


def make_feed(
    run: loop.Run, devices: DataParallel | OneDevice, train: Batch, valid: Batch | None
) -> ResidentFeed | StreamedFeed:
    """Return the feed of a run. If training or validation data are streamed, both are read in chunks.

    Raises:
        ValueError: for several devices and streamed data.
    """
    if not any(isinstance(data.x, StreamedData) for data in (train, valid) if data is not None):
        return ResidentFeed(devices.shard(train), valid and devices.shard(valid))
    if isinstance(devices, DataParallel):
        raise ValueError(
            "DataParallel splits data in memory, but these data are streamed. Omit `devices`, or pass "
            "arrays, np.asarray(train). Each device then holds its share of them."
        )
    return StreamedFeed(_as_streamed(train), valid and _as_streamed(valid), run.vae.likelihood.fill)


def first_batch(run: loop.Run, train: Batch) -> Batch:
    """Return the first batch, on JAX's default device."""
    if isinstance(train.x, StreamedData):
        rows = np.arange(run.batch_size)
        return jax.device_put(read_rows(train, rows, run.vae.likelihood.fill))
    return jax.device_put(jax.tree.map(lambda a: a[: run.batch_size], train))


def _as_streamed(data: Batch) -> Batch:
    x = data.x if isinstance(data.x, StreamedData) else StreamedData(np.asarray(data.x))
    return data._replace(x=x)
