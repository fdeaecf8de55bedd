"""Where a command runs: on which device, over how many, and with which other processes."""

import argparse
import atexit
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from probvae.training import DataParallel

PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu")
INSTALL = {
    "gpu": 'NVIDIA: pip install -U "jax[cuda13]"; AMD: pip install -U "jax[rocm7-local]"',
    "cuda": 'pip install -U "jax[cuda13]"',
    "rocm": 'pip install -U "jax[rocm7-local]"',
    "tpu": 'pip install -U "jax[tpu]"',
    "cpu": "pip install -U jax",
}
TOGETHER = ("coordinator", "processes", "process")
PLACE = ("device", "devices", *TOGETHER)
HEARTBEAT = 20  # seconds without a sign of life after which a process counts as lost
PATIENCE = 7 * 24 * 3600  # seconds that the others wait for the first to evaluate and report
NOT_THERE, FAILED, INTERRUPTED = 2, 1, 130


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option that says on what a command runs."""
    words = "where to compute (default: a GPU or TPU where JAX finds one, else the CPU)"
    parser.add_argument("--device", choices=PLATFORMS, help=words)


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add the options that say over how many devices and processes a run is trained."""
    add = parser.add_argument
    add("--devices", metavar="N|all", help="split each batch over N devices, or all (default: 1)")
    words = "train with other processes: the address of the first, which is the same for all"
    add("--coordinator", metavar="HOST:PORT", help=words)
    add("--processes", type=int, metavar="N", help="how many there are, with this one")
    add("--process", type=int, metavar="I", help="which this one is, from 0, which writes the run")


def check_processes(parser: argparse.ArgumentParser, found: Namespace) -> None:
    """Refuse options of which one is missing, or that cannot be."""
    given = [getattr(found, name) is not None for name in TOGETHER]
    if any(given) and not all(given):
        parser.error("--coordinator HOST:PORT, --processes N and --process I go together")
    if all(given) and not 0 <= found.process < found.processes:
        parser.error(f"--process expects 0 to {found.processes - 1}, got {found.process}")
    if all(given) and found.devices not in (None, "all"):
        parser.error("several processes split each batch over all their devices: leave --devices out")
    if found.devices not in (None, "all") and not found.devices.isdecimal():
        parser.error(f"--devices expects a number, or all; got {found.devices}")


@contextmanager
def select_machine(arguments: Namespace) -> Iterator[None]:
    """Run on the device, and with the processes, that the arguments name.

    Raises:
        SystemExit: 2 for a device that JAX does not find; the message says how to install it.
    """
    device = getattr(arguments, "device", None)
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")  # before JAX takes hold of a GPU's memory
    with (
        _join_processes(arguments),
        jax.default_device(None if device is None else _find_devices(device)),
    ):
        yield


def _find_devices(platform: str) -> jax.Device:
    try:
        return jax.local_devices(backend=platform)[0]
    except RuntimeError:
        print(
            f"probvae: --device {platform}: JAX finds none; it finds {jax.default_backend()}. Install "
            f"JAX for it ({INSTALL[platform]}), see that its driver works (NVIDIA: nvidia-smi), or "
            "leave --device out.",
            file=sys.stderr,
        )
        raise SystemExit(NOT_THERE) from None


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
        shutdown_timeout_seconds=PATIENCE,
    )
    try:
        yield
    except BaseException as error:
        usual = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        code = getattr(error, "code", usual)
        atexit.register(_end_process, code)  # before JAX's own end, which would wait for the others
        raise


def _end_process(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def data_parallel(arguments: Namespace) -> DataParallel | None:
    """Return what a run is to be split over; None for one device."""
    if arguments.coordinator is not None or arguments.devices == "all":
        return DataParallel()
    if arguments.devices is None:
        return None
    asked, there = int(arguments.devices), jax.devices()
    if not 1 <= asked <= len(there):
        raise ValueError(f"--devices {asked}: there are {len(there)}. Take --devices all, or fewer.")
    return DataParallel(there[:asked])


def joins_processes(arguments: Namespace) -> bool:
    """Tell whether this process takes part in a run that another one writes."""
    return arguments.process not in (None, 0)
