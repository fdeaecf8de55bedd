"""Tables whose columns are of different kinds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from probvae.distributions import Blocks
from probvae.distributions.column_blocks import column_blocks, split_columns
from probvae.interfaces import AbstractLikelihood, Block, InitialValues, Scope
from probvae.likelihoods.scales import OptimalScale
from probvae.typing import Shape


@dataclass(frozen=True, init=False)
class Joint(AbstractLikelihood):
    """p(x|z) = prod_b p_b(x_b | z): one likelihood for each named block of columns of x.

    The blocks follow each other along the last axis of x. Their parameters are named by block, as
    ``"likelihood$income$likelihood$log_scale"``. A block's score is in its own units: densities of
    real columns and masses of counts add up to a density whose value depends on the units.

    Example: ``Joint(income=(2, Gaussian()), owner=(1, Bernoulli()), children=(1, Poisson()))``, or
    ``Joint({"income": ..., ...})``.

    Args:
        blocks: by name, (number of columns, likelihood).

    Reference: Nazabal et al. 2020, arXiv:1807.03653 (HI-VAE).
    """

    blocks: tuple[tuple[str, int, AbstractLikelihood], ...]

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> None:
        if blocks is not None and not isinstance(blocks, Mapping):
            raise TypeError(
                "Joint expects its blocks by name, as income=(2, Gaussian()) or in a dictionary; got "
                f"{blocks!r}."
            )
        given = {**(blocks or {}), **named}
        for name, block in given.items():
            _check_block(name, block)
        if not given:
            raise ValueError("Joint expects at least one block, as income=(2, Gaussian()); got none.")
        object.__setattr__(self, "blocks", tuple((name, *block) for name, block in given.items()))
        parts = [part for _, _, part in self.blocks]
        object.__setattr__(self, "support", column_blocks(tuple(p.support for p in parts), self.sizes))
        ranges = {part.data_range for part in parts}
        whole = ranges.pop() if len(ranges) == 1 else (-math.inf, math.inf)
        object.__setattr__(self, "data_range", whole)

    @property
    def sizes(self) -> Shape:
        """The number of columns in each block."""
        return tuple(size for _, size, _ in self.blocks)

    @property
    def named_blocks(self) -> dict[str, Block]:
        """The blocks by name. One that is a ``Joint`` itself gives its own, as ``"outer.inner"``."""
        found, start = {}, 0
        for name, size, part in self.blocks:
            whole = Block(slice(start, start + size), part)
            for inner, block in part.named_blocks.items() or [("", whole)]:
                columns = block.columns if block is whole else _shift_columns(block.columns, start)
                found[f"{name}.{inner}" if inner else name] = Block(columns, block.likelihood)
            start += size
        return found

    @property
    def fill(self) -> Any:  # type: ignore[override]
        """What stands in for a missing entry, by column."""
        return jnp.concatenate([jnp.full(size, part.fill) for _, size, part in self.blocks])

    def output_shape(self, event_shape: Shape) -> Shape:
        if event_shape[-1] != sum(self.sizes):
            raise ValueError(
                f"{self} has {sum(self.sizes)} columns, and the last axis of event_shape={event_shape} "
                f"has {event_shape[-1]}. Give each column to a block."
            )
        return (sum(math.prod(shape) for shape in self._output_shapes(event_shape)),)

    def _output_shapes(self, event_shape: Shape) -> list[Shape]:
        leading = event_shape[:-1]
        return [part.output_shape((*leading, size)) for _, size, part in self.blocks]

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        shapes = self._output_shapes(scope.event_shape)
        cuts = split_columns(outputs, tuple(math.prod(shape) for shape in shapes))
        parts = []
        for i, (name, _, part) in enumerate(self.blocks):
            raw = cuts[i].reshape(len(outputs), *shapes[i])
            with handlers.scope(prefix=f"likelihood${name}", divider="$", hide_types=["plate"]):
                p = part.distribution(raw, self._scope(scope, i))
            parts.append(p)
        return Blocks(tuple(parts))

    @property
    def encoder_view(self) -> "_BlockViews | None":
        views = tuple(part.encoder_view for _, _, part in self.blocks)
        names = tuple(name for name, _, _ in self.blocks)
        return _BlockViews(names, self.sizes, views) if any(views) else None

    @property
    def initial_values(self) -> InitialValues | None:
        return (
            self._values_of_blocks if any(part.initial_values for _, _, part in self.blocks) else None
        )

    def _values_of_blocks(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        ends = np.cumsum(self.sizes)[:-1]
        columns = (np.split(a, ends, axis=-1) for a in (x, mask))
        for (name, _, part), x_b, mask_b in zip(self.blocks, *columns, strict=True):
            of_block = part.initial_values(x_b, mask_b, context) if part.initial_values else {}
            values |= {f"likelihood${name}${site}": value for site, value in of_block.items()}
        return values

    def _scope(self, scope: Scope, i: int) -> Scope:
        def block(a: jax.Array | None) -> jax.Array | None:
            return None if a is None else split_columns(a, self.sizes)[i]

        event_shape = (*scope.event_shape[:-1], self.sizes[i])
        data_range = self.blocks[i][2].data_range
        return scope._replace(
            event_shape=event_shape, data_range=data_range, x=block(scope.x), mask=block(scope.mask)
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} ({size}): {part}" for name, size, part in self.blocks)


def _shift_columns(columns: slice, by: int) -> slice:
    return slice(columns.start + by, columns.stop + by)


@dataclass(frozen=True)
class _BlockViews:
    """What the encoder sees of each block of columns."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    views: tuple[Callable[[jax.Array], jax.Array] | None, ...]

    def __call__(self, x: jax.Array) -> jax.Array:
        columns = zip(split_columns(x, self.sizes), self.views, strict=True)
        return jnp.concatenate([x_b if view is None else view(x_b) for x_b, view in columns], axis=-1)

    def __str__(self) -> str:
        named = zip(self.names, self.views, strict=True)
        return ", ".join(f"{view} in {name}" for name, view in named if view is not None)


def _check_block(name: str, block: Any) -> None:
    well = isinstance(block, tuple) and len(block) == 2 and isinstance(block[0], int)
    if not (well and block[0] > 0 and isinstance(block[1], AbstractLikelihood)):
        raise TypeError(
            f"Joint expects blocks as {name}=(number of columns, likelihood), such as "
            f"{name}=(2, Gaussian()); got {block!r}."
        )
    part = block[1]
    if not (part.factorises and part.is_density and part.observation is None):
        raise ValueError(
            f"Joint's block {name!r} is a {type(part).__name__}; expected one that factorises, "
            "is a density and adds no noise."
        )
    if isinstance(getattr(part, "scale", None), OptimalScale):
        raise ValueError(
            f"Joint's block {name!r} has OptimalScale, whose training-set value is kept for a whole "
            "likelihood only. Take LearnedScale()."
        )
