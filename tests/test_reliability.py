"""A run that is killed in each of its phases goes on to the bits of one that was not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PHASES = ("first compile", "in an epoch", "in a checkpoint", "in validation", "in the report")


@pytest.mark.slow
def test_a_kill_in_every_phase_is_survived():
    words = "benchmarks/reliability.py --kills 1 --variants vae --workers 1 --quick".split()
    told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| (.*) \| 1 \| 1 \| 0 \| 1 \|$", done.stdout, re.MULTILINE)
    assert rows == list(PHASES)
