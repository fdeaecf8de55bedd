"""What happens to a datum before it is scored: drawn once per datum and step."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from probvae.checks import Checked
from probvae.typing import ArrayLike, RngKey


class AbstractObservation(Checked, ABC):
    """A draw of what the model sees, given a stored datum: small, frozen, hashable, jit-able."""

    @abstractmethod
    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return `x` as it is observed under `rng_key`: float32, of the shape of `x`."""

    @abstractmethod
    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return the range of the observed values when the stored ones lie in [low, high]."""


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
    """Grey levels 0..high as x / high in [0, 1]."""

    high: float | int = 255.0

    def __post_init__(self):
        _check_high(self)

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return x / high."""
        return jnp.asarray(x, float) / self.high

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [low, high] / high."""
        return low / self.high, high / self.high


@dataclass(frozen=True)
class Binarize(AbstractObservation):
    """Dynamic binarisation: Bernoulli(x / high), 0 or 1, drawn anew at each call.

    Values of `x` in 0..high. The protocol of Burda et al. (2016, arXiv:1509.00519) for training.
    """

    high: float | int = 255.0

    def __post_init__(self):
        _check_high(self)

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return a draw of Bernoulli(x / high)."""
        ink = jnp.asarray(x, float) / self.high
        return jax.random.bernoulli(rng_key, ink).astype(float)

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [0, 1], or its end where no other value can be drawn."""
        return (1.0 if low >= self.high else 0.0), (0.0 if high <= 0 else 1.0)


@dataclass(frozen=True)
class Dequantize(AbstractObservation):
    """Uniform dequantisation: (x + u) / high in [0, 1), u ~ Uniform[0, 1), for levels 0..high - 1.

    Theis, van den Oord, Bethge (2016, arXiv:1511.01844), section 3.1. The noise never rounds up to
    the next level, so that the level is `floor(high * y)` where `high` is a power of two.
    """

    high: float | int = 256.0

    def __post_init__(self):
        _check_high(self)

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return a draw of (x + u) / high."""
        level = jnp.asarray(x, float)
        noisy = level + jax.random.uniform(rng_key, level.shape)
        return jnp.minimum(noisy, jnp.nextafter(level + 1, level)) / self.high

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [low, high + 1] / high."""
        return low / self.high, (high + 1) / self.high


@dataclass(frozen=True)
class Flip(AbstractObservation):
    """Images mirrored left to right with probability 1/2, each datum by a draw of its own.

    `x` is a batch ``(n, height, width)`` or ``(n, height, width, channels)``, in any units.

    Raises:
        ValueError: where x has no rows and columns beside its first axis.
    """

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return x, half of its images mirrored."""
        if x.ndim not in (3, 4):
            raise ValueError(
                f"Flip expected images (n, height, width) or (n, height, width, channels), got shape "
                f"{x.shape}; usual fix: flip only images, and where it is one, x[None]"
            )
        x = jnp.asarray(x, float)
        mirrored = jax.random.bernoulli(rng_key, shape=(len(x),) + (1,) * (x.ndim - 1))
        return jnp.where(mirrored, x[:, :, ::-1], x)

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return [low, high] itself."""
        return low, high


@dataclass(frozen=True)
class Compose(AbstractObservation):
    """Observations one after another, each with its own key; of nothing, it is `Cast`.

    Args:
        parts: the observations, the first one first.

    Raises:
        TypeError: for a part that is no observation.
    """

    parts: tuple[AbstractObservation, ...] = ()

    def __post_init__(self):
        for part in self.parts:
            if not isinstance(part, AbstractObservation):
                raise TypeError(
                    f"Compose expected a tuple of observations, got {part!r} in it; "
                    "usual fix: Compose((Rescale(255.0), ...)), instances and not classes"
                )

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return the observation by the last part of ... by the first of x."""
        y = jnp.asarray(x, float)
        for part, key in zip(self.parts, jax.random.split(rng_key, len(self.parts)), strict=True):
            y = part(key, y)
        return y

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds after the last part."""
        for part in self.parts:
            low, high = part.bounds(low, high)
        return low, high


def _check_high(observation):
    if not observation.high > 0:
        raise ValueError(
            f"{type(observation).__name__} expected high > 0, got {observation.high!r}; usual fix: "
            "the largest grey level (255.0), or the number of levels (256.0) for Dequantize"
        )
