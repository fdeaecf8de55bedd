"""`Blocks`: different distributions for different columns."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions.point_estimates import find_centre


class _Blocks(constraints.Constraint):
    """One constraint per block of columns."""

    def __init__(self, parts: tuple[constraints.Constraint, ...], sizes: tuple[int, ...]) -> None:
        self.parts, self.sizes = parts, sizes

    def __call__(self, x: jax.typing.ArrayLike) -> jax.Array:
        columns = split_columns(jnp.asarray(x), self.sizes)
        checks = [part(block) for part, block in zip(self.parts, columns, strict=True)]
        return jnp.concatenate(checks, axis=-1)

    def __repr__(self) -> str:
        return " | ".join(map(str, self.parts))

    def feasible_like(self, prototype: jax.typing.ArrayLike) -> jax.Array:
        columns = split_columns(jnp.asarray(prototype), self.sizes)
        feasible = [part.feasible_like(x) for part, x in zip(self.parts, columns, strict=True)]
        return jnp.concatenate(feasible, axis=-1)

    def eq(self, other: object, static: bool = False) -> bool:  # noqa: FBT001, FBT002
        return isinstance(other, _Blocks) and (self.parts, self.sizes) == (other.parts, other.sizes)

    def tree_flatten(self) -> tuple:
        return (), ((), {"parts": self.parts, "sizes": self.sizes})


column_blocks = _Blocks


class Blocks(dist.Distribution):
    """Independent entries. Each block of the last batch axis has its own distribution.

    Args:
        parts: distributions without event dimensions, equal in shape but for the last axis.
    """

    pytree_data_fields = ("parts",)

    def __init__(
        self, parts: tuple[dist.Distribution, ...], *, validate_args: bool | None = None
    ) -> None:
        self.parts = tuple(parts)
        sizes = [part.batch_shape[-1] for part in self.parts]
        shape = (*self.parts[0].batch_shape[:-1], sum(sizes))
        super().__init__(shape, validate_args=validate_args)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of columns in each block."""
        return tuple(part.batch_shape[-1] for part in self.parts)

    @constraints.dependent_property(event_dim=0)
    def support(self) -> constraints.Constraint:
        """The support of each block."""
        return column_blocks(tuple(part.support for part in self.parts), self.sizes)

    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log density of each entry."""
        columns = split_columns(jnp.asarray(value), self.sizes)
        log_probs = [part.log_prob(x) for part, x in zip(self.parts, columns, strict=True)]
        return jnp.concatenate(log_probs, axis=-1)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw each block, as floats."""
        keys = jax.random.split(key, len(self.parts))
        draws = [part.sample(k, sample_shape) for part, k in zip(self.parts, keys, strict=True)]
        return jnp.concatenate([x.astype(float) for x in draws], axis=-1)

    @property
    def mean(self) -> jax.Array:
        """The mean of each entry."""
        return jnp.concatenate([part.mean for part in self.parts], axis=-1)

    @property
    def centre(self) -> jax.Array:
        """The centre of each entry: its mean, or its mode if a mean has no meaning."""
        return jnp.concatenate([find_centre(part) for part in self.parts], axis=-1)

    @property
    def variance(self) -> jax.Array:
        """The variance of each entry."""
        return jnp.concatenate([part.variance for part in self.parts], axis=-1)


def split_columns(x: jax.Array, sizes: tuple[int, ...]) -> list[jax.Array]:
    """Split the last axis into blocks of these sizes."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return jnp.split(x, ends, axis=-1)
