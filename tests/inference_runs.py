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


def run(script, *args):
    """Return what `python -m inference.SCRIPT ARGS` prints; fail with its error."""
    command = [sys.executable, "-m", f"inference.{script}", *args]
    haste = (
        {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} if "--quick" in args else {}
    )  # it is all compilation
    environment = {**os.environ, **haste}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
