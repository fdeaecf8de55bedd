"""Rate and distortion: normal data lie on Shannon's curve."""

import numpy as np
import pytest
from inference_runs import run

from inference import normal_source


@pytest.mark.slow
def test_normal_data_reach_the_rate_distortion_function(tmp_path):
    printed = run("rate_distortion", "--quick", "--out", str(tmp_path))
    assert (tmp_path / "rate_distortion.png").stat().st_size > 10_000
    rows = [line for line in printed.splitlines() if line.startswith("| normal")]
    assert len(rows) == 3
    assert all(line.endswith("| yes |") for line in rows), printed


def test_the_law_is_a_frontier_of_slope_minus_beta_that_touches_the_entropy_at_beta_1():
    betas = np.geomspace(0.1, 20, 400)
    rate, distortion = np.array([normal_source.law(beta) for beta in betas]).T
    slope = np.diff(distortion) / np.diff(rate)
    middle = np.sqrt(betas[1:] * betas[:-1])
    np.testing.assert_allclose(slope, -middle, rtol=0.01)
    above = rate + distortion - normal_source.entropy()
    assert above.min() > -1e-9
    assert abs(normal_source.law(1.0).cost(1.0) - normal_source.entropy()) < 1e-9


def test_the_draws_have_exactly_the_moments_of_the_law():
    x = normal_source.draws(500, 3).astype(np.float64)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    found = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    np.testing.assert_allclose(found, normal_source.EIGENVALUES, rtol=1e-4)
    assert np.abs(np.cov(x.T) - np.diag(np.cov(x.T).diagonal())).max() > 0.5  # turned
