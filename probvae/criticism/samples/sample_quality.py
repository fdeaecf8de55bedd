"""Samples of the model against held-out data, in a space of features."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_function, check_key, check_positive_integer
from probvae.criticism.samples.features import check_features, principal_components
from probvae.criticism.samples.frechet import frechet_distance
from probvae.criticism.samples.neighbourhoods import Neighbourhoods, neighbourhoods
from probvae.criticism.samples.two_sample import TwoSample, linear_classifier, two_sample_test
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.typing import RngKey

MOST_COMPONENTS = 32


class SampleQuality(NamedTuple):
    """As many samples as held-out data, ``num_data``, compared in ``num_features`` features.

    ``frechet`` is the distance of the two normal distributions, in squared units of the features;
    ``frechet_permuted`` ``(p,)`` that of the pooled points split in two by chance, of the same sizes:
    what equal distributions give, its bias included. ``linear`` and ``neighbours`` are two-sample
    tests by logistic regression and by nearest neighbours; ``neighbourhoods`` has precision and recall.
    """

    frechet: float
    frechet_permuted: np.ndarray
    neighbourhoods: Neighbourhoods
    linear: TwoSample
    neighbours: TwoSample
    num_data: int
    num_features: int


def sample_quality(
    fitted: Fitted,
    x: Any,
    *,
    rng_key: RngKey,
    features: Callable | None = None,
    num_neighbours: int = 5,
    num_permutations: int = 20,
) -> SampleQuality:
    """Compare draws x' ~ p(x|z), z ~ p(z), with held-out data.

    Each measure is one of the features: a difference that they do not show is not found. With a
    context, a sample is drawn for each datum's. With ``Spread``, samples and data are without noise.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, or a ``Batch(x, context)``.
        rng_key: a typed key.
        features: a function ``(n, *event_shape) -> (n, k)``, such as ``classifier_features(...)``; by
            default the leading principal components of data and samples together, at most 32, at most
            one for 10 data.
        num_neighbours: of the neighbourhoods.
        num_permutations: splits by chance.

    Raises:
        ValueError: for data that do not fit or are incomplete, a likelihood that is no density, fewer
            data than features, or features of another shape.
    """
    check_fitted(fitted)
    check_key(rng_key)
    check_positive_integer("num_permutations", num_permutations)
    data = _complete(fitted, x)
    if features is not None:
        check_function("features", features, data.x, such_as="criticism.classifier_features(...)")
    sample_key, permutation_key, *test_keys = jax.random.split(rng_key, 4)
    samples = _samples(fitted, data, sample_key)
    features = features or principal_components(np.concatenate([data.x, samples]), _few(len(data.x)))
    a, b = (
        _score_samples(features, array, name)
        for array, name in ((data.x, "data"), (samples, "samples"))
    )
    return SampleQuality(
        frechet_distance(a, b),
        _permute_rows(np.concatenate([a, b]), len(a), permutation_key, num_permutations),
        neighbourhoods(a, b, num_neighbours=num_neighbours),
        two_sample_test(a, b, rng_key=test_keys[0], classifier=linear_classifier()),
        two_sample_test(a, b, rng_key=test_keys[1]),
        len(a),
        a.shape[1],
    )


def _complete(fitted: Fitted, x: Any) -> Batch:
    data = fitted.check_data(x)
    if data.mask is not None:
        raise ValueError(
            "samples are compared with whole data, and these have a mask. Give the data without "
            "missing entries, or draw what is missing: fitted.impute(x, mask, ...).x[0]."
        )
    if not fitted.vae.likelihood.is_density:
        raise ValueError(
            f"samples are draws of p(x|z), and {type(fitted.vae.likelihood).__name__} is no density: "
            "it scores reconstructions only. Take a likelihood such as Gaussian or Bernoulli."
        )
    return data


def _samples(fitted: Fitted, data: Batch, rng_key: RngKey) -> np.ndarray:
    """Return a sample for each datum."""
    if data.context is None:
        return np.asarray(fitted.sample(len(data.x), rng_key=rng_key).x)
    return np.asarray(fitted.sample(1, rng_key=rng_key, context=data.context).x[0])


def _few(n: int) -> int:
    return max(min(MOST_COMPONENTS, n // 10), 1)


def _score_samples(features: Callable, x: np.ndarray, name: str) -> np.ndarray:
    found = check_features(features(x), f"features of the {name}")
    if len(found) != len(x):
        raise ValueError(
            f"features expects a function (n, *event_shape) -> (n, k); got {len(found)} rows of "
            f"{len(x)} {name}."
        )
    return found


def _permute_rows(pooled: np.ndarray, n: int, rng_key: RngKey, num_permutations: int) -> np.ndarray:
    random = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    orders = [random.permutation(len(pooled)) for _ in range(num_permutations)]
    return np.array([frechet_distance(pooled[o[:n]], pooled[o[n:]]) for o in orders])
