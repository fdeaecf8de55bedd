"""The options for devices and processes, without JAX."""

import argparse
from argparse import Namespace

from probvae.cli.argument_types import positive_integer

PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu")
TOGETHER = ("coordinator", "processes", "process")
PLACE = ("device", "devices", *TOGETHER)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option for the device of a command."""
    words = "device to compute on (default: a GPU or TPU if JAX finds one, else the CPU)"
    parser.add_argument("--device", choices=PLATFORMS, help=words)


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add the options for training on several devices or in several processes."""
    add = parser.add_argument
    add("--devices", metavar="N|all", help="split each batch over N devices, or all (default: 1)")
    words = "train in several processes: address of process 0, the same in all processes"
    add("--coordinator", metavar="HOST:PORT", help=words)
    add("--processes", type=positive_integer, metavar="N", help="number of processes, with this one")
    add("--process", type=int, metavar="I", help="number of this process; process 0 writes the run")


def check_processes(parser: argparse.ArgumentParser, arguments: Namespace) -> None:
    """End with a usage error if the options for devices and processes contradict each other."""
    present = [getattr(arguments, name) is not None for name in TOGETHER]
    selects_devices = arguments.devices not in (None, "all")
    if any(present) and not all(present):
        parser.error("use --coordinator HOST:PORT, --processes N and --process I together")
    if all(present) and not 0 <= arguments.process < arguments.processes:
        parser.error(f"--process expects 0 to {arguments.processes - 1}; got {arguments.process}")
    if all(present) and selects_devices:
        parser.error("several processes always use all their devices: omit --devices")
    if selects_devices and not arguments.devices.isdecimal():
        parser.error(f"--devices expects a number, or all; got {arguments.devices}")
