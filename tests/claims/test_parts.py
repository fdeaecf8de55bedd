"""The claims: each script runs, and the fast ones hold."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference_runs import needs_data, run
from scipy import stats

from inference.counts import RoundedLogNormal


@pytest.mark.slow
def test_vampprior_digits_says_whether_the_difference_is_noise():
    printed = run("vampprior_digits", "--quick")
    assert re.search(r"\| VampPrior \| -\d+\.\d+ \+- \d+\.\d+ \|", printed)
    assert re.search(r"VampPrior minus standard: [+-]\d+\.\d+ nats, standard error \d+\.\d+", printed)


@pytest.mark.slow
def test_spread_noise_mends_what_maximum_likelihood_breaks(tmp_path):
    printed = run("spread_failure", "--out", str(tmp_path))
    assert (tmp_path / "spread_failure.png").stat().st_size > 10_000
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| spread")]
    assert len(rows) == 9
    assert all(cells[-1] == "yes |" for cells in rows), printed
    assert len(re.findall(r"\| plain: .* yes \|", printed)) == 3, printed


@pytest.mark.slow
def test_the_quick_comparisons_print_their_tables(tmp_path):
    parts = run("better_parts", "--quick")
    assert len(re.findall(r"minus standard normal, mean field: [+-]\d", parts)) == 4
    figure = tmp_path / "missing.png"
    missing = run("missing_digits", "--quick", "--figure", str(figure))
    assert "| per-pixel frequency | -7.98" in missing
    assert figure.stat().st_size > 5_000


@needs_data
@pytest.mark.slow
def test_counts_compares_four_laws():
    assert len(re.findall(r"^\| .* \| -\d+\.\d+ \+-", run("counts", "--quick"), re.MULTILINE)) == 4


@pytest.mark.usefixtures("float64")
def test_the_rounded_lognormal_is_a_mass_function():
    """P(x) = Phi((log(x + 1.5) - mu) / sigma) - Phi((log(x + 0.5) - mu) / sigma), the first bin open."""
    x, mu = np.arange(20_000.0), np.array([-2.0, 0.3, 3.0])
    for sigma in (0.2, 1.0):
        law = RoundedLogNormal(jnp.asarray(mu), jnp.full(3, sigma))
        mass = np.exp(np.asarray(law.log_prob(jnp.asarray(x)[:, None])))
        np.testing.assert_allclose(mass.sum(0), 1.0, atol=1e-6)
        edges = stats.norm.cdf((np.log(x[:, None] + np.array([0.5, 1.5])[:, None, None]) - mu) / sigma)
        edges[0, 0] = 0.0
        np.testing.assert_allclose(mass, edges[1] - edges[0], atol=1e-7)
        drawn = np.asarray(law.sample(jax.random.key(0), (50_000,)))
        np.testing.assert_allclose((drawn == 1).mean(0), mass[1], atol=0.01)


@pytest.mark.slow
@needs_data
def test_flax_example_runs():
    assert "| 1 | 119.74 |" in run("flax_example", "--quick")


@pytest.mark.slow
def test_a_decoder_serves_as_a_prior(tmp_path):
    for script, rows in (("decoder_as_prior", 2), ("process_prior", 4)):
        printed = run(
            script, "--quick", "--out", str(tmp_path), haste=None
        )  # NUTS runs longer than that
        assert (tmp_path / f"{script}.png").stat().st_size > 10_000
        assert len(re.findall(r" (yes|NO) \|$", printed, re.MULTILINE)) == rows, printed
