"""`python -m probvae.cli`, where the script `probvae` is not on the path."""

import sys

from probvae.cli.entry_point import main

if __name__ == "__main__":
    sys.exit(main())
