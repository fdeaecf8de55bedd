"""A likelihood of tables whose columns are of different kinds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from probvae.checks import format_value
from probvae.distributions import Blocks
from probvae.distributions.column_blocks import column_blocks, split_columns
from probvae.interfaces import AbstractLikelihood, Block, InitialValues, Scope, hide_missing
from probvae.likelihoods.scales import OptimalScale
from probvae.typing import Shape


@dataclass(frozen=True, init=False)
class Joint(AbstractLikelihood):
    r"""One likelihood for each named block of columns of x.

    $p(x|z) = \prod_b p_b(x_b | z)$.

    Blocks follow each other along the last axis of x. Their parameters are named by block, as
    ``"likelihood$income$likelihood$log_scale"``. Densities of real columns and masses of counts
    multiply to a density whose value depends on the units of the columns.

    Example: ``Joint(income=(2, Gaussian()), owner=(1, Bernoulli()), children=(1, Poisson()))``, or
    ``Joint({"income": ..., ...})``.

    Args:
        blocks: (number of columns, likelihood) by name.

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
                "Joint expects its blocks by name, such as income=(2, Gaussian()); got "
                f"{format_value(blocks)}."
            )
        block_of = {**(blocks or {}), **named}
        for name, block in block_of.items():
            _check_block(name, block)
        if not block_of:
            raise ValueError(
                "Joint expects at least one block, such as income=(2, Gaussian()); got none."
            )
        object.__setattr__(self, "blocks", tuple((name, *block) for name, block in block_of.items()))
        parts = [part for _, _, part in self.blocks]
        object.__setattr__(self, "support", column_blocks(tuple(p.support for p in parts), self.sizes))
        ranges = {part.data_range for part in parts}
        data_range = ranges.pop() if len(ranges) == 1 else (-math.inf, math.inf)
        object.__setattr__(self, "data_range", data_range)

    @property
    def sizes(self) -> Shape:
        """The number of columns in each block."""
        return tuple(size for _, size, _ in self.blocks)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.blocks)

    @property
    def named_blocks(self) -> dict[str, Block]:
        """The blocks by name. A block that is a ``Joint`` returns its own, as ``"outer.inner"``."""
        blocks, start = {}, 0
        for name, size, part in self.blocks:
            inner_blocks = part.named_blocks
            if not inner_blocks:
                blocks[name] = Block(slice(start, start + size), part)
            for inner, (columns, likelihood) in inner_blocks.items():
                columns = slice(columns.start + start, columns.stop + start)
                blocks[f"{name}.{inner}"] = Block(columns, likelihood)
            start += size
        return blocks

    @property
    def fill(self) -> jax.Array:  # type: ignore[override]
        """The placeholder of a missing entry, by column."""
        return jnp.concatenate([jnp.full(size, part.fill) for _, size, part in self.blocks])

    def output_shape(self, event_shape: Shape) -> Shape:
        if event_shape[-1] != sum(self.sizes):
            raise ValueError(
                f"Joint({self}) expects {sum(self.sizes)} columns; got event_shape={event_shape}. "
                "Assign each column of the last axis to a block."
            )
        return (sum(math.prod(shape) for shape in self._output_shapes(event_shape)),)

    def _output_shapes(self, event_shape: Shape) -> list[Shape]:
        leading = event_shape[:-1]
        return [part.output_shape((*leading, size)) for _, size, part in self.blocks]

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        shapes = self._output_shapes(scope.event_shape)
        # The decoder returns one vector per datum. Each block receives its piece, in its own shape, and
        # a scope that shows only its columns. The prefix separates the parameters of two blocks of one
        # family. Plates are not renamed: all blocks share the plate of the data.
        pieces = split_columns(outputs, tuple(math.prod(shape) for shape in shapes))
        parts = []
        for i, (name, _, part) in enumerate(self.blocks):
            raw = pieces[i].reshape(len(outputs), *shapes[i])
            with handlers.scope(prefix=f"likelihood${name}", divider="$", hide_types=["plate"]):
                p = part.distribution(raw, self._block_scope(scope, i))
            parts.append(p)
        return Blocks(tuple(parts))

    @property
    def models_mask(self) -> bool:
        return any(part.models_mask for _, _, part in self.blocks)

    def observe_mask(self, p: dist.Distribution, scope: Scope) -> dist.Distribution:
        if not self.models_mask:
            return super().observe_mask(p, scope)
        parts = []
        for i, (name, _, part) in enumerate(self.blocks):
            with handlers.scope(prefix=f"likelihood${name}", divider="$", hide_types=["plate"]):
                parts.append(part.observe_mask(p.parts[i], self._block_scope(scope, i)))
        return Blocks(tuple(parts))

    @property
    def encoder_view(self) -> "_BlockViews | None":
        views = tuple(part.encoder_view for _, _, part in self.blocks)
        return _BlockViews(self._names, self.sizes, views) if any(views) else None

    @property
    def initial_values(self) -> InitialValues | None:
        has_values = any(part.initial_values for _, _, part in self.blocks)
        return self._merge_initial_values if has_values else None

    def _merge_initial_values(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        ends = np.cumsum(self.sizes)[:-1]
        columns = (np.split(a, ends, axis=-1) for a in (x, mask))
        for (name, _, part), x_b, mask_b in zip(self.blocks, *columns, strict=True):
            own = part.initial_values(x_b, mask_b, context) if part.initial_values else {}
            values |= {f"likelihood${name}${site}": value for site, value in own.items()}
        return values

    def _block_scope(self, scope: Scope, i: int) -> Scope:
        def own_columns(a: jax.Array | None) -> jax.Array | None:
            return None if a is None else split_columns(a, self.sizes)[i]

        event_shape = (*scope.event_shape[:-1], self.sizes[i])
        data_range = self.blocks[i][2].data_range
        return scope._replace(
            event_shape=event_shape,
            data_range=data_range,
            x=own_columns(scope.x),
            mask=own_columns(scope.mask),
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} ({size}): {part}" for name, size, part in self.blocks)


@dataclass(frozen=True)
class _BlockViews:
    """The encoder's view of each block of columns."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    views: tuple[Callable[[jax.Array], jax.Array] | None, ...]

    def __call__(self, x: jax.Array) -> jax.Array:
        blocks = zip(self.names, split_columns(x, self.sizes), self.views, strict=True)
        parts = []
        for name, x_b, view in blocks:
            # The parameters of a view have the names that the block gives them in `distribution`.
            with handlers.scope(prefix=f"likelihood${name}", divider="$", hide_types=["plate"]):
                parts.append(x_b if view is None else view(x_b))
        return jnp.concatenate(parts, axis=-1)

    def hide(self, view: jax.Array, mask: jax.Array) -> jax.Array:
        columns = (split_columns(a, self.sizes) for a in (view, mask))
        blocks = zip(self.views, *columns, strict=True)
        return jnp.concatenate([hide_missing(part, v, m) for part, v, m in blocks], axis=-1)

    def __str__(self) -> str:
        named = zip(self.names, self.views, strict=True)
        return ", ".join(f"{view} in {name}" for name, view in named if view is not None)


def _check_block(name: str, block: Any) -> None:
    is_pair = isinstance(block, tuple) and len(block) == 2 and isinstance(block[0], int)
    if not (is_pair and block[0] > 0 and isinstance(block[1], AbstractLikelihood)):
        raise TypeError(
            f"Joint({name}=...) expects (number of columns, likelihood), such as (2, Gaussian()); got "
            f"{format_value(block)}."
        )
    part = block[1]
    has_optimal_scale = isinstance(getattr(part, "scale", None), OptimalScale)
    if has_optimal_scale or not (part.factorises and part.is_density and part.observation is None):
        raise ValueError(
            f"Joint({name}=...) expects a density that factorises, without noise and without "
            f"OptimalScale; got {part!r}. For a Gaussian, use scale=LearnedScale(). For counts, use "
            "Poisson() or NegativeBinomial()."
        )
