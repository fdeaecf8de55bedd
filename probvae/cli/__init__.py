"""The command line, `probvae`."""

from probvae.cli.program import main

__all__ = ["main"]
