"""Two samples told apart by a classifier, or not."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_key
from probvae.criticism.samples.features import check_features
from probvae.typing import ArrayLike, RngKey

FEWEST = 20  # points of a kind


class TwoSample(NamedTuple):
    """How well a classifier tells two samples apart, on points that it was not trained on.

    ``accuracy`` is 1/2 in expectation for equal distributions; ``standard_error`` sqrt(a (1 - a) / n),
    n = ``num_test``, ``deviations`` (a - 1/2) / sqrt(1 / 4n), about standard normal for equal
    distributions.
    """

    accuracy: float
    standard_error: float
    deviations: float
    num_test: int


def linear_classifier() -> Any:
    """Return a logistic regression on standardised features: it sees a difference of means."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def neighbour_classifier(num_neighbours: int) -> Any:
    """Return a vote of nearest neighbours: it sees any difference, given points enough."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), KNeighborsClassifier(num_neighbours))


def two_sample_test(
    a: ArrayLike, b: ArrayLike, *, rng_key: RngKey, classifier: Any = None
) -> TwoSample:
    """Train a classifier to tell a from b on half of either; return its accuracy on the other half.

    The larger sample is cut to the size of the smaller, by chance, so that 1/2 is what a guess gets.

    Args:
        a: features ``(n, k)``.
        b: features ``(m, k)``.
        rng_key: of the split.
        classifier: an object with ``fit(x, y)`` and ``predict(x)``, as scikit-learn's, which is fitted
            here; by default a vote of sqrt(n_train) nearest neighbours, features standardised.

    Raises:
        ValueError: for features that do not fit each other, or fewer than 20 points of a kind.

    Reference: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    check_key(rng_key)
    a, b = check_features(a, "a"), check_features(b, "b")
    n = min(len(a), len(b))
    if n < FEWEST or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"a two-sample test expects at least {FEWEST} points of either kind, of the same features; "
            f"got features of shapes {a.shape} and {b.shape}."
        )
    random = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    a, b = (f[random.permutation(len(f))[:n]] for f in (a, b))
    train, test = (_label_rows(a[rows], b[rows]) for rows in (slice(n // 2), slice(n // 2, n)))
    chosen = (
        neighbour_classifier(_odd_neighbours(math.isqrt(len(train[0]))))
        if classifier is None
        else classifier
    )
    chosen.fit(*train)
    right = np.asarray(chosen.predict(test[0])) == test[1]
    accuracy, size = float(right.mean()), len(right)
    error = math.sqrt(accuracy * (1 - accuracy) / size)
    return TwoSample(accuracy, error, (accuracy - 0.5) * math.sqrt(4 * size), size)


def _label_rows(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])


def _odd_neighbours(n: int) -> int:
    """Return n or the next odd number: a vote without ties."""
    return n + (n % 2 == 0)
