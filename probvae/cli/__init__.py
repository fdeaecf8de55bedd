"""The command line, `probvae`."""

from probvae.cli.main import main

__all__ = [
    "main",
]
