"""The command line, `probvae`."""

from probvae.cli.entry_point import main

__all__ = [
    "main",
]
