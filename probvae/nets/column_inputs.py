"""`ColumnInputs`: a net of a table's row, with one-hot codes, embeddings and gaps."""

import math
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked, PositiveInt, Requirement
from probvae.typing import Recipe, Shape


@dataclass(frozen=True, repr=False)
class ColumnInputs(Checked):
    """A net of the columns of a row: numbers as they are, levels as one-hot codes or embeddings.

    It is the encoder of ``VAE.for_table``. It reads the values and the mask of observed entries, so the
    VAE needs ``encode_mask=True``. A missing number is 0, which is the mean of a standardized column. A
    missing level has no code: all its inputs are 0.

    The code of a level is piecewise linear in x, max(0, 1 - |x - k|). It is one-hot at the levels, and
    has a gradient in between, which learned pseudo-inputs (``VampPrior``) need.

    Args:
        net: the recipe that reads the inputs.
        levels: for each column, its number of levels, or 0 for a number.
        gaps: for each column, whether the net also reads its mask: columns with gaps in training. The
            weights of a mask that is always 1 would not be trained.
        largest_one_hot: columns with more levels are embedded in sqrt(levels) learned numbers.

    Raises:
        ValueError: for an input without a mask, or with another number of columns. Raised when you
            build the VAE.
    """

    net: Recipe
    levels: Annotated[
        tuple[int, ...], Requirement("a tuple with the number of levels per column, such as (0, 3)")
    ]
    gaps: Annotated[
        tuple[bool, ...], Requirement("a tuple with True or False per column, such as (True, False)")
    ] = ()
    largest_one_hot: PositiveInt = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "gaps", self.gaps or (False,) * len(self.levels))
        if len(self.gaps) != len(self.levels) or any(k < 0 or k == 1 for k in self.levels):
            raise ValueError(
                "ColumnInputs expects levels with 0 or at least 2 for each column, and as many gaps; "
                f"got levels={self.levels} and gaps={self.gaps}."
            )

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        size, columns = math.prod(in_shape), len(self.levels)
        if size < 2 * columns:
            raise ValueError(
                f"ColumnInputs expects {columns} columns and their mask; got {size} inputs. Build the "
                f"VAE with encode_mask=True and event_shape=({columns},)."
            )
        return _ColumnInputsModule(self, size, out_shape, rngs)

    def __repr__(self) -> str:
        numbers = sum(k == 0 for k in self.levels)
        words = [f"{numbers} numbers"] if numbers else []
        words += [f"{len(self.levels) - numbers} with levels"] if numbers < len(self.levels) else []
        words += [f"{sum(self.gaps)} with gaps"] if any(self.gaps) else []
        return f"ColumnInputs({self.net}, columns: {', '.join(words)})"


class _ColumnInputsModule(nnx.Module):
    def __init__(self, recipe: ColumnInputs, size: int, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.levels, self.gaps = recipe.levels, recipe.gaps
        widths = [self._width(k, recipe.largest_one_hot) for k in self.levels]
        self.embeddings = nnx.List(
            nnx.Linear(k, width, use_bias=False, rngs=rngs) if 0 < k != width else None
            for k, width in zip(self.levels, widths, strict=True)
        )
        rest = size - 2 * len(self.levels)  # of a context
        self.net = recipe.net((sum(widths) + sum(self.gaps) + rest,), out_shape, rngs=rngs)

    @staticmethod
    def _width(k: int, largest_one_hot: int) -> int:
        return max(k, 1) if k <= largest_one_hot else math.ceil(math.sqrt(k))

    def __call__(self, inputs: jax.Array) -> jax.Array:
        columns = len(self.levels)
        flat = inputs.reshape(len(inputs), -1)
        x, mask, context = flat[:, :columns], flat[:, columns : 2 * columns], flat[:, 2 * columns :]
        parts = []
        for i, (k, embedding) in enumerate(zip(self.levels, self.embeddings, strict=True)):
            x_i, mask_i = x[:, i, None], mask[:, i, None]  # (batch, 1)
            codes = jnp.maximum(0.0, 1.0 - jnp.abs(x_i - jnp.arange(k))) if k else x_i
            codes = jnp.where(mask_i > 0, codes, 0.0)
            parts.append(codes if embedding is None else embedding(codes))
        parts += [mask[:, i, None] for i, has_gaps in enumerate(self.gaps) if has_gaps]
        return self.net(jnp.concatenate([*parts, context], axis=-1))
