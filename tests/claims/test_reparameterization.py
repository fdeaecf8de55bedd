"""Estimators of the gradient: exact moments, and the package's within their noise."""

import re

import numpy as np
import pytest
from inference_runs import run

from inference import linear_gaussian as exact


@pytest.mark.slow
def test_the_packages_estimators_have_the_exact_moments():
    printed = run("reparameterization", "--quick")
    rows = [line.split(" | ") for line in printed.splitlines()][2:]
    assert len(rows) == 16, printed
    assert all(cells[-1] == "yes |" for cells in rows), printed
    stl = re.search(r"exact posterior: variance, STL \| \S+ \| (\S+) ", printed)
    assert float(stl[1]) < 1e-20


def test_all_estimators_have_one_mean_by_quadrature():
    """Of the ELBO, and of the bound of three particles; the variances are ordered."""
    for names, q, particles, nodes in (
        ((exact.score, exact.sampled_kl, exact.closed_kl, exact.stl), 3, 1, 6),
        (
            (exact.weight_by_importance(1, exact.sampled_kl), exact.weight_by_importance(2, exact.stl)),
            1,
            3,
            40,
        ),
    ):
        told = [
            exact.expected_moments(exact.toy(q), exact.OFF, name, particles, nodes) for name in names
        ]
        for other in told[1:]:
            np.testing.assert_allclose(other.mean, told[0].mean, rtol=1e-6, atol=1e-6)
        variances = [one.variance for one in told]
        assert variances == sorted(variances, reverse=True)
        assert variances[-1] < variances[-2] / 2
