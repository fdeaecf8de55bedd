"""Classifier two-sample tests: the accuracy at which a classifier separates two samples."""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from probvae.checks import check_key
from probvae.criticism.samples.features import check_features, check_pair
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, RngKey

MIN_POINTS = 20  # of each sample


@runtime_checkable
class Classifier(Protocol):
    """A classifier with the methods of scikit-learn's."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Train on features ``(n, k)`` and labels ``(n,)``."""

    def predict(self, x: np.ndarray) -> Any:
        """Return labels ``(n,)``."""


@short_repr
class TwoSample(NamedTuple):
    """The accuracy a of a classifier of two samples, on ``num_test`` = n points outside its training.

    ``accuracy`` is 1/2 in expectation for equal distributions. ``standard_error`` is
    sqrt(a (1 - a) / n). ``deviations`` is (a - 1/2) / sqrt(1 / 4n), which is about standard normal for
    equal distributions.
    """

    accuracy: float
    standard_error: float
    deviations: float
    num_test: int


def linear_classifier() -> Classifier:
    """Return a logistic regression on standardized features. It detects a difference of means."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def neighbour_classifier(num_neighbours: int) -> Classifier:
    """Return a vote of nearest neighbours. With enough points, it detects any difference."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), KNeighborsClassifier(num_neighbours))


def two_sample_test(
    a: ArrayLike, b: ArrayLike, *, rng_key: RngKey, classifier: Classifier | None = None
) -> TwoSample:
    """Train a classifier to separate a from b on half of each. Return its accuracy on the other half.

    A random part of the larger sample is used, of the size of the smaller one. So a guess has accuracy
    1/2.

    Args:
        a: features ``(n, k)``.
        b: features ``(m, k)``.
        rng_key: a typed key, for the split.
        classifier: an object with scikit-learn's ``fit(x, y)`` and ``predict(x)``, which is fitted
            here. The default is a vote of sqrt(n_train) nearest neighbours on standardized features.

    Raises:
        ValueError: for different numbers of features, or fewer than 20 points of a sample.

    Reference: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    check_key(rng_key)
    a, b = check_features(a, "a"), check_features(b, "b")
    n = min(len(a), len(b))
    check_pair("two_sample_test", a, b, MIN_POINTS)
    random = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    a, b = (f[random.permutation(len(f))[:n]] for f in (a, b))
    # The halves are fixed before training, so the accuracy on the second one is that of fresh points.
    # Under equal distributions each prediction is then a fair coin, with variance 1 / 4.
    train, test = (_label_rows(a[rows], b[rows]) for rows in (slice(n // 2), slice(n // 2, n)))
    if classifier is None:
        num_neighbours = math.isqrt(len(train[0]))
        classifier = neighbour_classifier(num_neighbours + (num_neighbours % 2 == 0))  # odd: no ties
    classifier.fit(*train)
    correct = np.asarray(classifier.predict(test[0])) == test[1]
    accuracy, size = float(correct.mean()), len(correct)
    error = math.sqrt(accuracy * (1 - accuracy) / size)
    return TwoSample(accuracy, error, (accuracy - 0.5) * math.sqrt(4 * size), size)


def _label_rows(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
