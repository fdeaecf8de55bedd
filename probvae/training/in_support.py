"""Whether the likelihood takes the data, as the observation makes them."""

from typing import Any

import jax
import numpy as np

from probvae.data import Cast
from probvae.fields import shown

CHUNK = 512  # rows looked at together: the check must not decide the run's peak memory


def check_values(vae: Any, x: np.ndarray, mask: np.ndarray | None, name: str, observation: Any) -> None:
    """Raise unless every observed value is one that the likelihood gives a density to."""
    likelihood = vae.likelihood
    if (
        x.dtype == np.uint8
        and x.max() > 1
        and type(observation).__name__ == "Cast"
        and _real(likelihood)
    ):
        raise ValueError(
            f"{name} holds bytes in 0..{x.max()} and the likelihood {type(likelihood).__name__} takes "
            "real numbers: they would be modelled in units of grey levels. Give the observation that "
            "the data bring, fit(..., observation=data.observation), or convert them to float."
        )
    for start in range(0, len(x), CHUNK):
        seen = _seen(observation, x[start : start + CHUNK])
        fine = np.asarray(likelihood.support(seen))
        if mask is not None:
            fine = fine | ~mask[start : start + CHUNK]
        if not fine.all():
            raise ValueError(_out_of_range(likelihood, seen[~fine], name))


def _seen(observation: Any, x: np.ndarray) -> np.ndarray:
    return x if isinstance(observation, Cast) else np.asarray(observation(jax.random.key(0), x))


def _real(likelihood: Any) -> bool:
    return "real" in str(likelihood.support).lower()


def _out_of_range(likelihood: Any, bad: np.ndarray, name: str) -> str:
    takes = str(likelihood.support).strip("_<>").lower().replace("()", "")
    return (
        f"the likelihood {type(likelihood).__name__} takes {takes} values"
        f"{' (0 or 1)' if takes == 'boolean' else ''}; {name} holds {bad.size} others, such as "
        f"{bad.ravel()[0]:.4g}, in [{bad.min():.4g}, {bad.max():.4g}]. Binarise grey values "
        "(load(..., binarize='dynamic'), or observation=data.Binarize(high=...)), or take a likelihood "
        "for such values, as likelihoods.Gaussian()."
    )


def check_observation(observation: Any, x: np.ndarray) -> None:
    """Raise unless an observation can be called on a key and data, and returns as many numbers."""
    expected = "observation expects a function (rng_key, x) -> x, such as data.Binarize()"
    if not callable(observation) or isinstance(observation, type):
        raise TypeError(f"{expected}; got {shown(observation)}.")
    try:
        seen = observation(jax.random.key(0), x[:2])
    except TypeError as error:
        raise TypeError(f"{expected}; {shown(observation)} fails on two data: {error}") from error
    if np.shape(seen) != x[:2].shape:
        got = f"{np.shape(seen)} for {x[:2].shape}"
        raise ValueError(f"{expected}, of the same shape; {shown(observation)} gives {got}.")
