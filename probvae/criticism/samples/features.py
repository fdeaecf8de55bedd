"""Feature spaces in which samples and data are compared."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from probvae.checks import check_draw_arguments, check_positive_integer
from probvae.inputs import to_numbers
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, RngKey

TEST_SHARE = 0.2  # of the labelled data, for the classifier's accuracy


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The leading principal components of flattened data: ``(n, *event) -> (n, k)``."""

    mean: np.ndarray
    axes: np.ndarray  # (entries, k)

    def __call__(self, x: ArrayLike) -> np.ndarray:
        return (_flat(x) - self.mean) @ self.axes


def principal_components(x: ArrayLike, num_features: int) -> PrincipalComponents:
    """Return the leading principal components of data, at most one per entry.

    Args:
        x: data ``(n, *event)``.
        num_features: k, the number of components.
    """
    check_positive_integer("num_features", num_features)
    flat = _flat(x)
    centred = flat - flat.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred / len(flat))
    return PrincipalComponents(flat.mean(0), vectors[:, ::-1][:, :num_features])


@short_repr
@dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """The last hidden layer of a classifier: ``(n, *event) -> (n, k)``.

    ``layers`` holds the weights and offsets of its hidden layers. ``accuracy`` is that on held-out
    labelled data, with its ``standard_error``. If it is low, do not rely on the features.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    accuracy: float
    standard_error: float

    def __call__(self, x: ArrayLike) -> np.ndarray:
        h = _flat(x)
        for weights, offset in self.layers:
            h = np.maximum(h @ weights + offset, 0.0)
        return h


def classifier_features(
    x: ArrayLike,
    labels: ArrayLike,
    *,
    rng_key: RngKey,
    hidden: tuple[int, ...] = (64,),
    epochs: int = 100,
) -> ClassifierFeatures:
    """Train a small classifier of labels. Return its last hidden layer as a feature space.

    Use it for images such as digits and MNIST, where single pixels say little about the content. A
    fifth of the data is held out for the accuracy. Training stops when the score on a further tenth no
    longer improves.

    Args:
        x: data ``(n, *event)``, such as the training set.
        labels: ``(n,)``.
        rng_key: a typed key, for the split, the first weights and the batches.
        hidden: the widths of the hidden layers (ReLU). The last is the number of features.
        epochs: the largest number of epochs.

    Raises:
        ValueError: for labels of another number than the data, of one class, or too few of a class.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    check_draw_arguments(rng_key, epochs=epochs)
    flat = _flat(x)
    labels = _check_labels(labels, len(flat))
    seed = int(jax.random.randint(rng_key, (), 0, 2**31 - 1))
    split = train_test_split(flat, labels, test_size=TEST_SHARE, random_state=seed, stratify=labels)
    options: dict[str, Any] = {"early_stopping": True, "n_iter_no_change": 5, "random_state": seed}
    classifier = MLPClassifier(hidden, max_iter=epochs, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the accuracy shows how far it came
        classifier.fit(split[0], split[2])
    accuracy = float(classifier.score(split[1], split[3]))
    error = math.sqrt(accuracy * (1 - accuracy) / len(split[1]))
    layers = tuple(zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True))
    return ClassifierFeatures(layers, accuracy, error)


def check_features(features: ArrayLike, name: str) -> np.ndarray:
    """Return features ``(n, k)`` in double precision. Raise for another shape, nan or infinity."""
    features = np.asarray(to_numbers(name, features), np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(f"{name} expects features (n, k), n at least 1; got shape {features.shape}.")
    _check_finite(features, name)
    return features


def check_pair(caller: str, a: np.ndarray, b: np.ndarray, min_rows: int) -> None:
    """Raise unless two samples have the same number of features and enough rows."""
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) < min_rows:
        raise ValueError(
            f"{caller} expects the same features of both, and at least {min_rows} rows of each; "
            f"got shapes {a.shape} and {b.shape}."
        )


def _flat(x: ArrayLike) -> np.ndarray:
    array = np.asarray(to_numbers("x", x), np.float64)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"x expects data (n, *event), n at least 1; got shape {array.shape}.")
    _check_finite(array, "x")
    return array.reshape(len(array), -1)


def _check_finite(array: np.ndarray, name: str) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"{name} expects finite numbers; got some that are NaN or infinite.")


def _check_labels(labels: ArrayLike, n: int) -> np.ndarray:
    """Return labels as an array ``(n,)``. Raise for another shape, or too few of a class."""
    try:
        labels = np.asarray(labels)
    except ValueError as error:
        raise ValueError(f"labels expects one for each datum, ({n},); got lists: {error}.") from None
    if labels.shape != (n,):
        raise ValueError(f"labels expects one for each datum, ({n},); got shape {labels.shape}.")
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < 10:
        raise ValueError(
            "labels expects at least two classes with 10 data each, for training and test; got "
            f"{len(classes)} classes, the smallest with {counts.min()} data."
        )
    return labels
