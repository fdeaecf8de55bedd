"""The devices and processes of a command: the setup of JAX."""

import atexit
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from probvae.cli.exit_codes import FAILED, INTERRUPTED, USAGE
from probvae.faq import cite
from probvae.training import DataParallel

INSTALL = {
    "gpu": 'NVIDIA: pip install -U "jax[cuda13]"; AMD: pip install -U "jax[rocm7-local]"',
    "cuda": 'pip install -U "jax[cuda13]"',
    "rocm": 'pip install -U "jax[rocm7-local]"',
    "tpu": 'pip install -U "jax[tpu]"',
    "cpu": "pip install -U jax",
}
HEARTBEAT = 20  # seconds without a sign of life after which a process counts as lost
REPORT_TIME = 7 * 24 * 3600  # seconds that the others wait while the first evaluates and reports


@contextmanager
def configure_jax(arguments: Namespace) -> Iterator[None]:
    """Use the device and the processes that the arguments name.

    Raises:
        SystemExit: 2 for a device that JAX does not find. The message says how to install it.
    """
    device = getattr(arguments, "device", None)
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")  # before JAX reserves a GPU's memory
    with (
        _join_processes(arguments),
        jax.default_device(None if device is None else _find_device(device)),
    ):
        yield


def _find_device(platform: str) -> jax.Device:
    try:
        return jax.local_devices(backend=platform)[0]
    except RuntimeError:
        print(
            f"probvae: --device {platform}: JAX finds no such device, only {jax.default_backend()}. "
            f"Install JAX for it ({INSTALL[platform]}), check its driver (NVIDIA: nvidia-smi), or omit "
            f"--device. {cite('device-missing')}",
            file=sys.stderr,
        )
        raise SystemExit(USAGE) from None


@contextmanager
def _join_processes(arguments: Namespace) -> Iterator[None]:
    if getattr(arguments, "coordinator", None) is None:
        yield
        return
    jax.distributed.initialize(
        arguments.coordinator,
        arguments.processes,
        arguments.process,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=REPORT_TIME,
    )
    try:
        yield
    except BaseException as error:
        default = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        # JAX's own exit handler would wait for the other processes. Handlers run last in, first out, so
        # this one ends the process before it.
        atexit.register(_end_process, getattr(error, "code", default))
        raise


def _end_process(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def select_devices(arguments: Namespace) -> DataParallel | None:
    """Return the devices that share each batch. None for one device."""
    if arguments.coordinator is not None or arguments.devices == "all":
        return DataParallel()
    if arguments.devices is None:
        return None
    num, devices = int(arguments.devices), jax.devices()
    if not 1 <= num <= len(devices):
        raise ValueError(
            f"--devices expects 1 to {len(devices)}, the number of devices here, or all; got {num}."
        )
    return DataParallel(devices[:num])
