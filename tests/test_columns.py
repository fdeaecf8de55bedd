"""Tables that nets learn badly from are told of, with the number that brings log p(x) back."""

import re
import warnings

import numpy as np
import pytest
from scipy import stats

from probvae import likelihoods
from probvae.column_checks import describe_unscaled_columns, warn_of_column_scales
from probvae.data import Cast
from probvae.data_description import DataSummary

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(500, 3))


def note(x, likelihood=None):
    x = np.asarray(x, np.float32)
    return describe_unscaled_columns(likelihood or likelihoods.Gaussian(), x)


@pytest.mark.parametrize("x", [X, X + 2.5, 4 * X, X.reshape(500, 3, 1) + 100, X * [1.0, 0.0, 1.0]])
def test_nothing_is_said_of_columns_of_usual_size_and_of_images(x):
    assert note(x) is None


def test_nothing_is_said_of_counts():
    assert note(RANDOM.poisson(100.0, size=(500, 3)), likelihoods.Poisson()) is None


@pytest.mark.parametrize("x", [X + [0, 0, 100], X * [1, 1, 0.01], X * [1, 30, 1]])
def test_columns_far_from_0_or_1_are_told_of(x):
    assert "(x - mean) / sd" in note(x)


def test_the_number_is_what_standardising_changes_log_p_by():
    """log N(x; m, S) = log N(y; 0, correlation) - sum log s."""
    x = np.asarray(X * [0.1, 1.0, 5.0] + [0.0, 5.0, 100.0], np.float32).astype(float)
    y = (x - x.mean(0)) / x.std(0)
    of_x = stats.multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x).mean()
    of_y = stats.multivariate_normal(np.zeros(3), np.cov(y.T, bias=True)).logpdf(y).mean()
    assert "log p(x) of the raw data = log p of the standardized data - sum of log sd" in note(x)
    sum_of_log_sd = float(re.search(r"the sum is (-?\d+\.\d+) nats", note(x)).group(1))
    assert of_x == pytest.approx(of_y - sum_of_log_sd, abs=0.01)


def warned_of(x, likelihood=None):
    """Return what `fit` warns of these training data."""
    x = np.asarray(x, np.float32)
    describer = DataSummary(x.shape[1:], Cast())
    describer.add(x, x, None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warn_of_column_scales(likelihood or likelihoods.Gaussian(), describer.description().x)
    return [str(w.message) for w in said]


JOINT = likelihoods.Joint(
    a=(1, likelihoods.Gaussian()), n=(1, likelihoods.Poisson()), b=(1, likelihoods.Laplace())
)


@pytest.mark.parametrize("x", [X * [1, 1, 1e-4], X * [1, 1, 500] + 7, X * [0, 1e3, 1e-3]])
def test_fit_warns_of_columns_on_very_different_scales_and_the_note_is_left_to_it(x):
    (text,) = warned_of(x)
    assert "likelihoods.Standardized(...)" in text
    assert "standard deviations from" in text
    assert note(x) is None
    varying = x[:, x.std(0) > 0]
    assert warned_of((varying - varying.mean(0)) / varying.std(0)) == []


def test_fit_looks_at_the_real_columns_of_a_joint():
    assert warned_of(X * [1, 1e6, 1], JOINT) == []
    assert len(warned_of(X * [1, 1, 1e6], JOINT)) == 1


@pytest.mark.parametrize("x", [X, 1e-4 * X, X + 1e3, X * [1, 30, 1], X * [1, 0, 0], X[:, :1]])
def test_fit_is_silent_about_columns_of_one_scale(x):
    assert warned_of(x) == []


def test_fit_is_silent_about_images_as_vectors():
    """A pixel that is dark but for one faint stroke is in no other unit."""
    x = RANDOM.random((1000, 12)) * (RANDOM.random((1000, 12)) < 0.5)
    x[:, 0], x[7, 0] = 0, 1 / 255
    x[:, 1] = RANDOM.random(1000) < 0.002
    assert warned_of(x) == []
