"""Pictures as grey levels: features, sharpness, and reconstructions by principal components."""

from typing import NamedTuple

import jax
import numpy as np

from probvae.criticism import classifier_features
from probvae.criticism.samples.features import principal_components
from probvae.data import load


class Images(NamedTuple):
    """Grey levels ``(n, h, w)``, uint8, their number, and features for the distance."""

    train: np.ndarray
    test: np.ndarray
    levels: int
    features: object


def images(name: str) -> Images:
    """Load faces, MNIST or digits as grey levels."""
    data = load(name, binarize=None)
    top = 16 if name == "digits" else 255
    test = np.rint(data.test * top).astype(np.uint8)
    if name == "lfw64":
        train, test = _faces(data.train), _faces(test)
        train = np.concatenate([train, train[:, :, ::-1]])
        return Images(train, test, 256, principal_components(train / 256, 32))
    train, test = data.train[:10_000], test[:500]
    key, labels = jax.random.key(7), data.labels["train"][:10_000]
    features = classifier_features(train / (top + 1), labels, rng_key=key, epochs=20)
    print(f"classifier: accuracy {features.accuracy:.3f} on data held out", flush=True)
    return Images(train, test, top + 1, features)


def _faces(x: np.ndarray) -> np.ndarray:
    grey = x[:, 8:56, 8:56].astype(float).reshape(len(x), 24, 2, 24, 2, 3)
    return np.rint(grey.mean(axis=(2, 4, 5))).astype(np.uint8)


def sharpness(x: np.ndarray) -> float:
    """Return the variance of the Laplacian within a picture, averaged over pictures."""
    middle = x[:, 1:-1, 1:-1]
    sides = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]
    return float((sides - 4 * middle).var(axis=(1, 2)).mean())


def by_components(train: np.ndarray, x: np.ndarray, num_components: int) -> np.ndarray:
    """Return pictures rebuilt from the leading principal components of training pictures.

    By subspace iteration: the few leading ones of thousands of pixels, without their covariance.
    """
    mean = train.mean(0)
    flat = (train - mean).reshape(len(train), -1)
    axes = np.random.default_rng(0).normal(size=(flat.shape[1], num_components + 20))
    axes = axes.astype(flat.dtype)
    for _ in range(10):
        axes = np.linalg.qr(flat.T @ (flat @ axes))[0]
    axes = axes @ np.linalg.svd(flat @ axes, full_matrices=False)[2][:num_components].T
    return mean + ((x - mean).reshape(len(x), -1) @ axes @ axes.T).reshape(x.shape)


def in_chunks(function, x: np.ndarray, rows: int = 32) -> np.ndarray:
    """Return a function of data that runs in chunks of one size. The last one is padded."""
    parts = [x[i : i + rows] for i in range(0, len(x), rows)]
    filled = [np.concatenate([part, part[:1].repeat(rows - len(part), axis=0)]) for part in parts]
    return np.concatenate([np.asarray(function(part)) for part in filled])[: len(x)]
