"""Digits by label: the samples are what was asked for, and a VAE without context refuses."""

import re

import pytest
from inference_runs import run


@pytest.mark.slow
def test_a_conditional_vae_can_be_asked_and_a_plain_one_cannot(tmp_path):
    printed = run("conditional", "--quick", "--out", str(tmp_path))
    assert (tmp_path / "conditional.png").stat().st_size > 10_000
    assert len(re.findall(r"^\| \d( \(rare\))? \| [01]\.\d+ \|", printed, re.MULTILINE)) == 10, printed
    assert re.search(
        r"\| without context: asked for a label \| .* \| got a context .* \| yes \|", printed
    )
    rare = re.search(r"\| 8 \(rare\) \| \S+ \| (\S+) \+- \S+ \| (\S+) \+-", printed)
    assert float(rare[1]) > float(rare[2]) + 0.08, printed
    every = re.search(r"\| all labels: accuracy over all \| \S+ to \S+ \| (\S+) \+-", printed)
    assert float(every[1]) > 0.3, printed  # a tenth is chance
