"""Devices: each batch split over several of them, in one process or more, by ``jax.sharding``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from probvae.evidence import Batch
from probvae.typing import ArrayLike

AXIS = "data"

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class DataParallel:
    """Split data and batches over devices. Each has all parameters, and their gradients are summed.

        fit(..., devices=DataParallel())

    Up to rounding, the run equals that of one device with the same keys and the same ``batch_size``.
    ``batch_size`` counts the rows of all devices together. Rows and draws do not depend on the number
    of devices. Each device holds its share of the data and of each batch. A checkpoint does not depend
    on devices, so you can resume with another number of them.

    ``BatchNorm`` takes its statistics over the whole batch, on any number of devices. Losses agree to
    rounding there too, but codes may differ in the second digit after the point. The bias of the layer
    before BatchNorm cancels, so its gradient is nothing but rounding, which Adam scales up to full
    steps. The running mean follows that bias with a delay. With ``optax.sgd``, or ``optax.adam`` of a
    larger ``eps``, codes agree as well. ``nnx.LayerNorm`` has no such bias.

    With several processes, call ``jax.distributed.initialize`` first. Then make the same call in each
    process, with the same data. Each process puts its rows on its own devices. The first one writes
    checkpoints and calls callbacks. All return the fitted VAE.

    Args:
        devices: a sequence of devices. The default, ``jax.devices()``, has those of all processes.

    Raises:
        TypeError: for anything but devices.
        ValueError: for no devices, or for a device that you name twice.
    """

    devices: Sequence[jax.Device] | None = None

    def __post_init__(self) -> None:
        devices = self.devices
        if devices is None:
            return
        if not (
            isinstance(devices, Sequence) and all(isinstance(each, jax.Device) for each in devices)
        ):
            raise TypeError(
                f"devices expects JAX's devices, such as jax.devices()[:4]; got {devices!r}."
            )
        object.__setattr__(self, "devices", tuple(devices))
        if not devices or len(set(devices)) < len(devices):
            raise ValueError(f"devices expects one or more, each named once; got {list(devices)}.")

    @property
    def mesh(self) -> Mesh:
        """The devices as a mesh with one axis."""
        return Mesh(np.array(self.device_list), (AXIS,))

    @property
    def device_list(self) -> tuple[jax.Device, ...]:
        """The devices that a fit would use now."""
        return tuple(jax.devices() if self.devices is None else self.devices)

    def check_batch_size(self, batch_size: int) -> None:
        """Raise ValueError unless all devices have the same number of rows of a batch."""
        n = len(self.device_list)
        if batch_size % n:
            near = max(batch_size // n, 1) * n
            raise ValueError(
                f"batch_size={batch_size} does not split over {n} devices. Use a multiple of {n}, such "
                f"as batch_size={near} or {near + n}, or fewer devices."
            )

    def shard(self, data: Batch) -> "ShardedBatch":
        """Return data of which each device holds its share of the rows. No device receives more."""
        n, mesh = len(data.x), self.mesh
        share = -(-n // mesh.size)

        def put(array: ArrayLike) -> jax.Array:
            shape = (share * mesh.size, *array.shape[1:])
            return jax.make_array_from_callback(
                shape, _sharding(mesh, AXIS), partial(_read_share, array)
            )

        return ShardedBatch(jax.tree.map(put, data), n, mesh)

    def replicate(self, tree: Tree) -> Tree:
        """Return a tree of arrays that every device holds whole."""
        sharding = _sharding(self.mesh)

        def put(leaf: ArrayLike) -> jax.Array:
            if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                data = put(jax.random.key_data(leaf))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
            array = np.asarray(leaf)
            return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

        return jax.tree.map(put, tree)

    def to_default_device(self, tree: Tree) -> Tree:
        """Return a tree of replicated arrays on JAX's default device alone."""
        return jax.tree.map(jnp.asarray, jax.device_get(tree))


class OneDevice:
    """JAX's default device, which holds all data and parameters."""

    def shard(self, data: Batch) -> Batch:
        """Return data on the device."""
        return jax.device_put(data)

    def replicate(self, tree: Tree) -> Tree:
        """Return a tree of arrays unchanged."""
        return tree

    def to_default_device(self, tree: Tree) -> Tree:
        """Return a tree of arrays unchanged."""
        return tree


@partial(jax.tree_util.register_dataclass, data_fields=["shards"], meta_fields=["num_data", "mesh"])
@dataclass(frozen=True)
class ShardedBatch:
    """Data of which each device holds a share.

    Attributes:
        shards: the arrays. Rows of zeros at the end fill up the last shares.
        num_data: the number of rows without those zeros.
        mesh: the devices.
    """

    shards: Batch
    num_data: int
    mesh: Mesh

    def gather_rows(self, row: jax.Array) -> Batch:
        """Return rows, split over the devices again.

        A batch has rows from the shares of all devices, and each device computes on an equal part of
        the batch. Indexing would make XLA copy all data to every device. So each device fills in the
        rows that it holds, zeros elsewhere, and a sum over devices puts the batch together. It is
        exact, because each row is nonzero on one device only. ``psum_scatter`` leaves each device its
        part of the sum.
        """
        even = len(row) % self.mesh.size == 0  # else every device gets the whole batch

        def gather(array: jax.Array, row: jax.Array) -> jax.Array:
            # array: this device's share                                    (share, *event)
            # row: indices into all data, the same on all devices           (batch,)
            local = row - jax.lax.axis_index(AXIS) * len(array)
            is_mine = (local >= 0) & (local < len(array))
            rows = array.reshape(len(array), -1)[jnp.where(is_mine, local, 0)]  # (batch, size)
            rows = jnp.where(is_mine[:, None], rows, jnp.zeros((), rows.dtype))
            summands = rows.astype(jnp.uint8) if rows.dtype == bool else rows
            scatter_sum = partial(jax.lax.psum_scatter, scatter_dimension=0, tiled=True)
            total = (scatter_sum if even else jax.lax.psum)(summands, AXIS)  # (batch / devices, size)
            return total.astype(rows.dtype).reshape(-1, *array.shape[1:])

        def gather_batch(shards: Batch, row: jax.Array) -> Batch:
            return jax.tree.map(lambda array: gather(array, row), shards)

        split, whole = PartitionSpec(AXIS), PartitionSpec()
        out = split if even else whole
        mapped = jax.shard_map(gather_batch, mesh=self.mesh, in_specs=(split, whole), out_specs=out)
        return mapped(self.shards, row)


DeviceBatch: TypeAlias = Batch | ShardedBatch


def num_rows(data: DeviceBatch) -> int:
    """Return the number of rows."""
    return data.num_data if isinstance(data, ShardedBatch) else len(data.x)


def gather_rows(data: DeviceBatch, row: jax.Array) -> Batch:
    """Gather rows as flat vectors: XLA's loops over short axes, such as 28 x 28, are slower."""
    if isinstance(data, ShardedBatch):
        return data.gather_rows(row)
    return jax.tree.map(lambda a: a.reshape(len(a), -1)[row].reshape(-1, *a.shape[1:]), data)


def constrain_replicated(data: DeviceBatch, tree: Tree) -> Tree:
    """Tell the compiler that every device holds a tree of arrays whole, if the data are sharded."""
    if not isinstance(data, ShardedBatch):
        return tree
    return jax.lax.with_sharding_constraint(tree, _sharding(data.mesh))


def _sharding(mesh: Mesh, *axes: str) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*axes))


def _read_share(array: ArrayLike, index: tuple[slice, ...]) -> np.ndarray:
    """Return a device's rows, filled up with zeros to the size of the other shares."""
    share = np.asarray(array[index[0]])
    missing = (index[0].stop or len(array)) - (index[0].start or 0) - len(share)
    return np.concatenate([share, np.zeros((missing, *share.shape[1:]), share.dtype)])
