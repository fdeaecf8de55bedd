"""Devices: each batch split over several, of one process or more, by ``jax.sharding``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from probvae.evidence import Batch

AXIS = "data"


@dataclass(frozen=True)
class DataParallel:
    """Split data and batches over devices; each has all parameters, and their gradients are summed.

        fit(..., devices=DataParallel())

    The run is that of one device to rounding, with the same keys and the same ``batch_size``, which is
    that of all devices together: rows and draws do not depend on how many there are. Each device holds
    its share of the data, and of each batch. A checkpoint says nothing of devices: the run goes on
    with another number of them.

    ``BatchNorm`` takes its statistics over the whole batch, on any number of devices. Losses agree to
    rounding there too, but codes may differ in the second digit after the point. The bias of the layer
    before BatchNorm cancels, so its gradient is nothing but rounding, which Adam scales up to full
    steps. The running mean follows that bias with a delay. With ``optax.sgd``, or ``optax.adam`` of a
    larger ``eps``, codes agree as well; ``nnx.LayerNorm`` has no such bias.

    With several processes, after ``jax.distributed.initialize``, make the same call in each, with the
    same data: each puts its rows on its own devices, the first writes checkpoints and calls callbacks,
    and all return the fitted VAE.

    Args:
        devices: which; by default ``jax.devices()``: all, of all processes.

    Raises:
        TypeError, ValueError: for something else, none, or one that is named twice.
    """

    devices: Any = None

    def __post_init__(self) -> None:
        given = self.devices
        if given is None:
            return
        if not (isinstance(given, Sequence) and all(isinstance(each, jax.Device) for each in given)):
            raise TypeError(
                f"devices expects JAX's devices, such as jax.devices()[:4]; got {given!r}. All of them "
                "are DataParallel()."
            )
        object.__setattr__(self, "devices", tuple(given))
        if not given or len(set(given)) < len(given):
            raise ValueError(f"devices expects one or more, each named once; got {list(given)}.")

    @property
    def mesh(self) -> Mesh:
        """The devices in a row."""
        return Mesh(np.array(self.used), (AXIS,))

    @property
    def used(self) -> tuple[jax.Device, ...]:
        """The devices that a fit would use now."""
        return tuple(jax.devices()) if self.devices is None else self.devices

    def check_batch_size(self, batch_size: int) -> None:
        """Raise unless every device has as many data of a batch as any other."""
        n = len(self.used)
        if batch_size % n:
            near = max(batch_size // n, 1) * n
            raise ValueError(
                f"batch_size={batch_size} does not split over {n} devices: expected a multiple of {n}. "
                f"Take batch_size={near} or {near + n}, or fewer devices: "
                "devices=DataParallel(jax.devices()[:k])."
            )

    def split(self, data: Batch | None) -> "Split | None":
        """Return data as rows of which each device holds its share; only that is put there."""
        if data is None:
            return None
        n, mesh = len(data.x), self.mesh
        share = -(-n // mesh.size)

        def put(array: Any) -> jax.Array:
            shape = (share * mesh.size, *array.shape[1:])
            return jax.make_array_from_callback(shape, _on(mesh, AXIS), partial(_rows, array))

        return Split(jax.tree.map(put, data), n, mesh)

    def copied(self, tree: Any) -> Any:
        """Return a tree of arrays that every device has."""
        whole = _on(self.mesh)

        def put(leaf: Any) -> jax.Array:
            if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                data = put(jax.random.key_data(leaf))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
            array = np.asarray(leaf)
            return jax.make_array_from_callback(array.shape, whole, lambda at: array[at])

        return jax.tree.map(put, tree)

    def home(self, tree: Any) -> Any:
        """Return a tree of arrays that all devices have on JAX's default device."""
        return jax.tree.map(jnp.asarray, jax.device_get(tree))


class OneDevice:
    """JAX's default device: it has all, and nothing is split."""

    def split(self, data: Batch | None) -> Batch | None:
        """Return data on the device."""
        return jax.device_put(data)

    def copied(self, tree: Any) -> Any:
        """Return a tree of arrays as it is."""
        return tree

    def home(self, tree: Any) -> Any:
        """Return a tree of arrays as it is."""
        return tree


def check_devices(devices: Any, batch_size: int) -> DataParallel | OneDevice:
    """Return what a run is on; raise unless a batch splits over its devices."""
    if devices is None:
        return OneDevice()
    if not isinstance(devices, DataParallel):
        raise TypeError(
            f"devices expects DataParallel() for all devices, or DataParallel(jax.devices()[:4]) for "
            f"some; got {devices!r}."
        )
    devices.check_batch_size(batch_size)
    return devices


def _on(mesh: Mesh, *axes: str) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*axes))


def _rows(array: Any, at: tuple) -> np.ndarray:
    """Return a share's rows; what the last lacks, so that all are of one size, is never read."""
    share = np.asarray(array[at[0]])
    missing = (at[0].stop or len(array)) - (at[0].start or 0) - len(share)
    return np.concatenate([share, np.zeros((missing, *share.shape[1:]), share.dtype)])


@partial(jax.tree_util.register_dataclass, data_fields=["held"], meta_fields=["num_data", "mesh"])
@dataclass(frozen=True)
class Split:
    """Data of which each device holds a share.

    Attributes:
        held: the arrays, with rows at the end that fill the last shares up.
        num_data: rows that count.
        mesh: the devices.
    """

    held: Batch
    num_data: int
    mesh: Mesh

    def rows(self, row: jax.Array) -> Batch:
        """Return rows, split over the devices: each gives those that it holds, to who needs them."""
        even = len(row) % self.mesh.size == 0  # a remainder is had by all

        def given(array: jax.Array, row: jax.Array) -> jax.Array:
            here = row - jax.lax.axis_index(AXIS) * len(array)
            mine = (here >= 0) & (here < len(array))
            found = array.reshape(len(array), -1)[jnp.where(mine, here, 0)]
            found = jnp.where(mine[:, None], found, jnp.zeros((), found.dtype))
            bits = found.astype(jnp.uint8) if found.dtype == bool else found
            scattered = partial(jax.lax.psum_scatter, scatter_dimension=0, tiled=True)
            summed = (scattered if even else jax.lax.psum)(bits, AXIS)  # one of them is not zero
            return summed.astype(found.dtype).reshape(-1, *array.shape[1:])

        def all_given(held: Batch, row: jax.Array) -> Batch:
            return jax.tree.map(lambda array: given(array, row), held)

        split, whole = PartitionSpec(AXIS), PartitionSpec()
        out = split if even else whole
        shared = jax.shard_map(all_given, mesh=self.mesh, in_specs=(split, whole), out_specs=out)
        return shared(self.held, row)


def num_rows(data: Any) -> int:
    """Return the number of data."""
    return data.num_data if isinstance(data, Split) else len(data.x)


def gather_rows(data: Any, row: jax.Array) -> Batch:
    """Gather rows as flat vectors: XLA's loops over short axes, such as 28 x 28, are slower."""
    if isinstance(data, Split):
        return data.rows(row)
    return jax.tree.map(lambda a: a.reshape(len(a), -1)[row].reshape(-1, *a.shape[1:]), data)


def replicate(data: Any, tree: Any) -> Any:
    """Say, in a compiled program, that all devices have a tree of arrays where the data are split."""
    if not isinstance(data, Split):
        return tree
    return jax.lax.with_sharding_constraint(tree, _on(data.mesh))
