"""The module that `python -m probvae.cli` runs, for when the script `probvae` is not on the path."""

import sys

from probvae.cli.entry_point import main

if __name__ == "__main__":
    sys.exit(main())
