"""ELBO surgery on fitted VAEs: its laws hold, and the codes of an autoencoder lie off its prior."""

import re

import pytest
from inference_runs import run


@pytest.mark.slow
def test_surgery_and_holes_are_measured_and_obey_their_laws(tmp_path):
    printed = run("population_kl", "--quick", "--out", str(tmp_path))
    assert (tmp_path / "population_kl_digits_2.png").stat().st_size > 10_000
    rows = [line.split(" | ") for line in printed.splitlines() if re.search(r"\| (yes|NO) \|$", line)]
    assert len(rows) == 3, printed
    assert all(cells[-1] == "yes |" for cells in rows), printed
    table = re.findall(r"^\| ([^|]*) \| [\d.]+ \+- ", printed, re.MULTILINE)
    assert table == ["standard normal"], printed
