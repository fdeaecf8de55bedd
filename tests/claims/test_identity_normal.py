"""The critic's normal distribution: what has a closed form comes out as it says."""

import pytest
from inference_runs import run


@pytest.mark.slow
def test_training_keeps_the_density_and_reaches_the_entropy(tmp_path):
    printed = run("identity_normal", "--quick", "--out", str(tmp_path))
    assert (tmp_path / "identity_normal.png").stat().st_size > 10_000
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 18, printed
    assert all(cells[-1] == "yes |" for cells in rows), printed
