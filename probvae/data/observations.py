"""Observations: maps from a stored datum to the model's space, drawn once per datum and step."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from probvae.checks import Checked, PositiveFloat, format_value
from probvae.typing import ArrayLike, Observation, RngKey


class AbstractObservation(Checked, ABC):
    """A map from a stored datum to the values that the model is given, possibly random.

    A subclass is a small frozen dataclass. It must be hashable, and traceable by ``jax.jit``.
    """

    @abstractmethod
    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return the observation of `x` under `rng_key`: float32, of the shape of `x`."""

    @abstractmethod
    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return the range of the observed values if the stored ones lie in [low, high]."""


@dataclass(frozen=True)
class Cast(AbstractObservation):
    """The datum itself, as float32."""

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return x."""
        return jnp.asarray(x, float)

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [low, high] itself."""
        return low, high


@dataclass(frozen=True)
class Rescale(AbstractObservation):
    """Grey levels 0..high as $x / high$ in [0, 1].

    Args:
        high: the largest grey level.
    """

    high: PositiveFloat = 255.0

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return x / high."""
        return jnp.asarray(x, float) / self.high

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [low, high] / high."""
        return low / self.high, high / self.high


@dataclass(frozen=True)
class Binarize(AbstractObservation):
    r"""Dynamic binarisation: $\mathrm{Bernoulli}(x / high)$, 0 or 1, a new draw at each call.

    Args:
        high: the largest grey level. Values of x are in 0..high.

    Reference: the training protocol of Burda et al. 2016, arXiv:1509.00519.
    """

    high: PositiveFloat = 255.0

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return a draw of Bernoulli(x / high)."""
        ink = jnp.asarray(x, float) / self.high
        return jax.random.bernoulli(rng_key, ink).astype(float)

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [0, 1], or one of its ends if no other value can be drawn."""
        return (1.0 if low >= self.high else 0.0), (0.0 if high <= 0 else 1.0)


@dataclass(frozen=True)
class Dequantize(AbstractObservation):
    r"""Uniform dequantisation: $(x + u) / high$ in [0, 1), $u \sim \mathrm{Uniform}[0, 1)$.

    The noise never rounds up to the next level. If `high` is a power of two, you get the level back
    as `floor(high * y)`.

    Args:
        high: the number of levels. Values of x are the levels 0..high - 1.

    Reference: Theis, van den Oord and Bethge 2016, arXiv:1511.01844, section 3.1.
    """

    high: PositiveFloat = 256.0

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return a draw of (x + u) / high."""
        level = jnp.asarray(x, float)
        noisy = level + jax.random.uniform(rng_key, level.shape)
        # in float32, 255 + 0.99999999 rounds to 256: the sum stays below the next level
        return jnp.minimum(noisy, jnp.nextafter(level + 1, level)) / self.high

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [low, high + 1] / high."""
        return low / self.high, (high + 1) / self.high


@dataclass(frozen=True)
class Flip(AbstractObservation):
    """Images mirrored left to right with probability 1/2, each datum by its own draw.

    `x` is a batch ``(n, height, width)`` or ``(n, height, width, channels)``, in any units.

    Raises:
        ValueError: x is not a batch of images.
    """

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return x, with half of its images mirrored."""
        if x.ndim not in (3, 4):
            expected = "images (n, height, width) or (n, height, width, channels)"
            raise ValueError(
                f"Flip expects {expected}; got shape {x.shape}. Use x[None] for one image."
            )
        x = jnp.asarray(x, float)
        mirrored = jax.random.bernoulli(rng_key, shape=(len(x),) + (1,) * (x.ndim - 1))
        return jnp.where(mirrored, x[:, :, ::-1], x)

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [low, high] itself."""
        return low, high


@dataclass(frozen=True)
class Compose(AbstractObservation):
    """Observations one after another, each with its own key. Without parts, it is `Cast`.

    Args:
        parts: the observations, in the order in which they are applied.

    Raises:
        TypeError: a part is not an observation.
    """

    parts: tuple[AbstractObservation, ...] = ()

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return x after all parts."""
        y = jnp.asarray(x, float)
        for part, key in zip(self.parts, jax.random.split(rng_key, len(self.parts)), strict=True):
            y = part(key, y)
        return y

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds after the last part."""
        for part in self.parts:
            low, high = part.bounds(low, high)
        return low, high


def observe_once(observation: Observation, x: np.ndarray) -> np.ndarray:
    """Return data after one draw of an observation."""
    return x if isinstance(observation, Cast) else np.asarray(observation(jax.random.key(0), x))


def check_observation(observation: Observation, x: np.ndarray) -> None:
    """Raise unless an observation maps a key and data to an array of the data's shape."""
    expected = "observation expects a function (rng_key, x) -> x, such as data.Binarize()"
    if not callable(observation) or isinstance(observation, type):
        raise TypeError(f"{expected}; got {format_value(observation)}.")
    try:
        y = observation(jax.random.key(0), x[:2])
    except TypeError as error:
        raise TypeError(
            f"{expected}; {format_value(observation)} raises on two data: {error}"
        ) from error
    if np.shape(y) != x[:2].shape:
        raise ValueError(
            f"{expected}, of the same shape; {format_value(observation)} returns {np.shape(y)} for "
            f"{x[:2].shape}."
        )
