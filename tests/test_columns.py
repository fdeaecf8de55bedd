"""Tables that nets learn badly from are told of, with the number that brings log p(x) back."""

import re

import numpy as np
import pytest
from scipy import stats

from probvae import VAE, Variant, likelihoods
from probvae.data import Data
from probvae.runs.columns import unscaled

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(500, 3))


def note(x, likelihood=None):
    x = np.asarray(x, np.float32)
    family = likelihood or likelihoods.Gaussian()
    vae = VAE(event_shape=x.shape[1:], latent_dim=1, likelihood=family)
    return unscaled(Data("table", train=x, test=x[:3]), Variant(vae))


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
    x = np.asarray(X * [0.01, 1.0, 50.0] + [0.0, 5.0, 100.0], np.float32).astype(float)
    y = (x - x.mean(0)) / x.std(0)
    of_x = stats.multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x).mean()
    of_y = stats.multivariate_normal(np.zeros(3), np.cov(y.T, bias=True)).logpdf(y).mean()
    said = float(re.search(r"([+-]\d+\.\d+) nats", note(x)).group(1))
    assert said == pytest.approx(of_x - of_y, abs=0.01)
