"""The module that `python -m probvae.cli` runs: the same as `python -m probvae`."""

import sys

from probvae.cli.entry_point import main

if __name__ == "__main__":
    sys.exit(main())
