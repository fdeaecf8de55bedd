"""The claims: each script runs, and the fast ones hold."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = os.environ.get("PROBVAE_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="PROBVAE_DATA is not set: real data are not here")


def run(script, *args):
    command = [sys.executable, "-m", f"inference.{script}", *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_vampprior_digits_says_whether_the_difference_is_noise():
    printed = run("vampprior_digits", "--quick")
    assert re.search(r"\| VampPrior \| -\d+\.\d+ \+- \d+\.\d+ \|", printed)
    assert re.search(r"VampPrior minus standard: [+-]\d+\.\d+ nats, standard error \d+\.\d+", printed)


@needs_data
def test_flax_example_runs():
    assert "| 1 | 119.74 |" in run("flax_example", "--quick")


@needs_data
@pytest.mark.slow
def test_the_plain_vae_learns_as_fast_as_flax_says():
    printed = run("flax_example", "--seeds", "1")
    assert len(re.findall(r"\| yes \|", printed)) == 4, printed
