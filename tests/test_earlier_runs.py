"""Runs that an earlier version saved, before its modules and functions were renamed, still work."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from probvae.cli import main
from probvae.criticism import Budget
from probvae.runs import diagnosing

DATA = Path(__file__).parent / "data"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A copy of a run on digits, of which figures and report were deleted."""
    monkeypatch.setattr("probvae.runs.figures.can_draw", lambda: False)
    return shutil.copytree(DATA / "run_before_renaming", tmp_path / "run")


def test_an_earlier_run_evaluates_to_its_own_numbers(run, capsys):
    assert main(["evaluate", str(run)]) == 0
    elbo, log_prob = capsys.readouterr().out.splitlines()[-2:]
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"test ELBO {metrics['test_elbo']['mean']:.2f} nats" in elbo
    assert f"test log p(x) >= {metrics['test_log_prob']['mean']:.2f} nats" in log_prob


def test_an_earlier_run_can_be_sampled(run):
    assert main(["sample", str(run), "--num", "3"]) == 0
    assert np.load(run / "samples.npz")["x"].shape == (3, 8, 8)


def test_a_name_that_has_changed_since_the_run_is_explained(run, capsys):
    model = run / "model.py"
    model.write_text(model.read_text().replace("nets.MLP(hidden)", "nets.OldName(hidden)", 1))
    assert main(["evaluate", str(run)]) == 1
    message = capsys.readouterr().err
    assert "has no attribute 'OldName'" in message
    assert "made by probvae 0.1.0, maybe before a name in its model.py changed" in message


@pytest.mark.slow
def test_an_earlier_run_can_be_diagnosed(run, monkeypatch, capsys):
    monkeypatch.setitem(diagnosing.BUDGETS, "quick", Budget(60, 100, 20, 6, 10, 50))
    assert main(["diagnose", str(run), "--budget", "quick"]) == 0
    assert "Verdict: " in capsys.readouterr().out


def test_a_checkpoint_of_an_earlier_version_says_so(tmp_path, capsys):
    run = shutil.copytree(DATA / "stopped_before_renaming", tmp_path / "run")
    assert main(["train", "--resume", str(run)]) == 1
    assert "epoch-00000001.safetensors comes from another version of ProbVAE" in capsys.readouterr().err
