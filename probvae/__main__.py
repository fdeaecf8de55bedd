"""The module that `python -m probvae` runs: the program `probvae`, without a script on the path."""

import sys

from probvae.cli.entry_point import main

if __name__ == "__main__":
    sys.exit(main())
