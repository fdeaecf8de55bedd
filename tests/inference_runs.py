"""Run a script of `inference/` as a user does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
needs_data = pytest.mark.skipif(
    not os.environ.get("PROBVAE_DATA"), reason="PROBVAE_DATA is not set: real data are not here"
)


def run(script, *args, haste="--quick"):
    """Return what `python -m inference.SCRIPT ARGS` prints; fail with its error.

    With ``haste`` among args, programs are compiled without optimisation: most of a quick run's time.
    """
    command = [sys.executable, "-m", f"inference.{script}", *args]
    environment = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": str(int(haste in args))}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
