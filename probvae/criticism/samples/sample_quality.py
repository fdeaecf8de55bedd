"""Sample quality: draws of the model against held-out data, in a feature space."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from probvae.checks import check_draw_arguments, check_function
from probvae.criticism.samples.features import check_features, principal_components
from probvae.criticism.samples.frechet import frechet_distance
from probvae.criticism.samples.neighbourhoods import Neighbourhoods, neighbourhoods
from probvae.criticism.samples.two_sample import TwoSample, linear_classifier, two_sample_test
from probvae.evidence import Batch, check_density
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, DataLike, RngKey

MAX_COMPONENTS = 32


@short_repr
class SampleQuality(NamedTuple):
    """Samples and held-out data, ``num_data`` of each, compared in ``num_features`` features.

    ``frechet`` is the Frechet distance, in squared units of the features. ``frechet_permuted`` ``(p,)``
    is that between random halves of the pooled points. It shows the result for equal distributions,
    with the bias. ``linear`` and ``neighbours`` are two-sample tests by logistic regression and by
    nearest neighbours. ``neighbourhoods`` has precision and recall.
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
    x: DataLike,
    *,
    rng_key: RngKey,
    features: Callable | None = None,
    num_neighbours: int = 5,
    num_permutations: int = 20,
) -> SampleQuality:
    """Compare draws x' ~ p(x|z), z ~ p(z), with held-out data.

    All measures use the features only, so they miss differences that the features do not show. With a
    context, there is one sample for the context of each datum. With ``Spread``, samples and data are
    without noise.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, or a ``Batch(x, context)``.
        rng_key: a typed key.
        features: a function ``(n, *event_shape) -> (n, k)``, such as ``classifier_features(...)``. The
            default is the leading principal components of data and samples together: at most 32, and
            at most one per 10 data.
        num_neighbours: k of the neighbourhoods.
        num_permutations: the number of random splits.

    Raises:
        ValueError: for invalid or incomplete data, a likelihood that has no density, fewer data than
            features, or features of another shape.
    """
    check_fitted(fitted)
    check_draw_arguments(rng_key, num_permutations=num_permutations)
    data = fitted.check_data(x)
    if data.mask is not None:
        raise ValueError(
            "sample_quality expects complete data; got data with a mask. Use data without missing "
            "entries, or draw these first: fitted.impute(x, mask, ...).x[0]."
        )
    check_density(fitted.vae, "sample_quality", guide=False)
    if features is not None:
        check_function("features", features, data.x, such_as="criticism.classifier_features(...)")
    sample_key, permutation_key, *test_keys = jax.random.split(rng_key, 4)
    samples = _draw_samples(fitted, data, sample_key)
    if features is None:
        num_components = max(min(MAX_COMPONENTS, len(data.x) // 10), 1)
        features = principal_components(np.concatenate([data.x, samples]), num_components)
    a, b = (
        _extract_features(features, array, name)
        for array, name in ((data.x, "data"), (samples, "samples"))
    )
    return SampleQuality(
        frechet_distance(a, b),
        _split_randomly(np.concatenate([a, b]), len(a), permutation_key, num_permutations),
        neighbourhoods(a, b, num_neighbours=num_neighbours),
        two_sample_test(a, b, rng_key=test_keys[0], classifier=linear_classifier()),
        two_sample_test(a, b, rng_key=test_keys[1]),
        len(a),
        a.shape[1],
    )


def _draw_samples(fitted: Fitted, data: Batch, rng_key: RngKey) -> np.ndarray:
    """Return one sample for each datum."""
    if data.context is None:
        return np.asarray(fitted.sample(len(data.x), rng_key=rng_key).x)
    return np.asarray(fitted.sample(1, rng_key=rng_key, context=data.context).x[0])


def _extract_features(
    features: Callable[[ArrayLike], ArrayLike], x: np.ndarray, name: str
) -> np.ndarray:
    array = check_features(features(x), f"features of the {name}")
    if len(array) != len(x):
        raise ValueError(
            f"features expects a function (n, *event_shape) -> (n, k); got {len(array)} rows for "
            f"{len(x)} {name}."
        )
    return array


def _split_randomly(pooled: np.ndarray, n: int, rng_key: RngKey, num_permutations: int) -> np.ndarray:
    """Return the Frechet distance of each random split of the pooled points in n and the rest."""
    # If data and samples have one distribution, the labels of the pooled points are exchangeable. So
    # these distances have the same distribution as the one between data and samples.
    random = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    orders = [random.permutation(len(pooled)) for _ in range(num_permutations)]
    return np.array([frechet_distance(pooled[o[:n]], pooled[o[n:]]) for o in orders])
