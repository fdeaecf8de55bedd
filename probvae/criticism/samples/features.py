"""Feature spaces in which samples and data are compared."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from probvae.checks import check_key, check_positive_integer
from probvae.inputs import to_numbers
from probvae.typing import ArrayLike, RngKey

HELD_OUT = 0.2  # of the labelled data, for the classifier's accuracy


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The leading principal components of flattened data: ``(n, *event) -> (n, k)``."""

    mean: np.ndarray
    axes: np.ndarray  # (entries, k)

    def __call__(self, x: ArrayLike) -> np.ndarray:
        return (_flat(x) - self.mean) @ self.axes


def principal_components(x: ArrayLike, num_features: int) -> PrincipalComponents:
    """Return the principal components of data, at most as many as there are entries.

    Args:
        x: data ``(n, *event)``.
        num_features: k.
    """
    check_positive_integer("num_features", num_features)
    flat = _flat(x)
    centred = flat - flat.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred / len(flat))
    return PrincipalComponents(flat.mean(0), vectors[:, ::-1][:, :num_features])


@dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """The last hidden layer of a classifier: ``(n, *event) -> (n, k)``.

    ``layers`` holds the weights and offsets of its hidden layers; ``accuracy`` is that on labelled data
    held out, with its ``standard_error``: a classifier that fails has features that say little.
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
    """Train a small classifier of labels; return its last hidden layer as a feature space.

    For digits and MNIST, where entries as such say little about what a picture shows. A fifth of the
    data is held out for the accuracy; training stops when it no longer gains on a further tenth.

    Args:
        x: data ``(n, *event)``, such as the training set.
        labels: ``(n,)``.
        rng_key: of the split, of the starting weights and of the batches.
        hidden: widths of the hidden layers, ReLU; the last is the number of features.
        epochs: at most.

    Raises:
        ValueError: for labels that do not fit, of one class, or too few of a class.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    check_key(rng_key)
    check_positive_integer("epochs", epochs)
    flat, labels = _flat(x), _labels(labels)
    _check_labels(flat, labels)
    seed = int(jax.random.randint(rng_key, (), 0, 2**31 - 1))
    split = train_test_split(flat, labels, test_size=HELD_OUT, random_state=seed, stratify=labels)
    options: dict[str, Any] = {"early_stopping": True, "n_iter_no_change": 5, "random_state": seed}
    classifier = MLPClassifier(hidden, max_iter=epochs, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its accuracy says how far it came
        classifier.fit(split[0], split[2])
    accuracy = float(classifier.score(split[1], split[3]))
    error = math.sqrt(accuracy * (1 - accuracy) / len(split[1]))
    layers = tuple(zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True))
    return ClassifierFeatures(layers, accuracy, error)


def check_features(found: Any, name: str) -> np.ndarray:
    """Return features ``(n, k)`` in double precision; raise for anything else."""
    features = np.asarray(to_numbers(name, found), np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(
            f"{name} expects features (n, k), a row for each datum; got shape {features.shape}."
        )
    if not np.isfinite(features).all():
        raise ValueError(f"{name} holds features that are NaN or infinite; expected finite numbers.")
    return features


def _flat(x: ArrayLike) -> np.ndarray:
    array = np.asarray(to_numbers("x", x), np.float64)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"x expects data (n, *event), n at least 1; got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("x holds values that are NaN or infinite; expected finite numbers.")
    return array.reshape(len(array), -1)


def _labels(given: Any) -> np.ndarray:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(f"labels expects one for each datum, (n,); got other ({error}).") from None


def _check_labels(flat: np.ndarray, labels: np.ndarray) -> None:
    if labels.shape != flat.shape[:1]:
        raise ValueError(
            f"labels expects one for each datum, ({len(flat)},); got shape {labels.shape}."
        )
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < 10:
        raise ValueError(
            "labels expects two classes or more, of at least 10 data each, to train and to hold out; "
            f"got {len(classes)} classes, the least of {counts.min()}."
        )
