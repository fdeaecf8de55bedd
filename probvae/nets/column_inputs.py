"""`ColumnInputs`: a net of a table's row, with one-hot codes, embeddings and gaps."""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from probvae.checks import Checked, PositiveInt, Requirement, UnitInterval
from probvae.typing import Recipe, Shape


@dataclass(frozen=True, repr=False)
class ColumnInputs(Checked):
    """A net of the columns of a row: numbers as they are, levels as one-hot codes or embeddings.

    It is the encoder of ``VAE.for_table``. It reads the values and the mask of observed entries, so the
    VAE needs ``encode_mask=True``. A missing number is 0, which is the mean of a standardized column. A
    missing level has no code: all its inputs are 0.

    Rows with gaps have a net of their own, which also reads the mask. One net for all rows would be
    less precise on complete rows, and a VAE trained with it has a worse density.

    The code of a level is piecewise linear in x, max(0, 1 - |x - k|). It is one-hot at the levels, and
    has a gradient in between, which learned pseudo-inputs (``VampPrior``) need.

    Args:
        net: the recipe of both nets.
        levels: for each column, its number of levels, or 0 for a number.
        hidden_rows: the share of rows that train the encoder a second time in each step of ``fit``,
            with a random share of their cells hidden. So the net for gaps learns q(z | any part of a
            row), which ``impute`` needs. The model does not learn from these rows. 0 for none.
        largest_one_hot: columns with more levels are embedded in sqrt(levels) learned numbers.

    Raises:
        ValueError: for an input without a mask, or with another number of columns. Raised when you
            build the VAE.
    """

    net: Recipe
    levels: Annotated[
        tuple[int, ...], Requirement("a tuple with the number of levels per column, such as (0, 3)")
    ]
    hidden_rows: UnitInterval = 0.5
    largest_one_hot: PositiveInt = 32

    def __post_init__(self) -> None:
        if any(k < 0 or k == 1 for k in self.levels):
            raise ValueError(
                "ColumnInputs expects levels with 0 or at least 2 for each column; got "
                f"levels={self.levels}."
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
        return f"ColumnInputs({self.net}, columns: {', '.join(words)})"


def find_column_inputs(recipe: Recipe) -> ColumnInputs | None:
    """Return the ``ColumnInputs`` that a net is, or has in its wrapper. None for another net."""
    while not isinstance(recipe, ColumnInputs) and hasattr(recipe, "net"):
        recipe = recipe.net
    return recipe if isinstance(recipe, ColumnInputs) else None


class _ColumnInputsModule(nnx.Module):
    def __init__(self, recipe: ColumnInputs, size: int, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.layout = _layout(recipe)
        self.embeddings = nnx.List(
            nnx.Linear(k, width, use_bias=False, rngs=rngs) for _, k, width in self.layout.embedded
        )
        width = len(self.layout.columns) + sum(width for *_, width in self.layout.embedded)
        num_columns = self.layout.num_columns
        width += size - 2 * num_columns  # of a context
        self.net = recipe.net((width,), out_shape, rngs=rngs)
        self.gap_net = recipe.net((width + num_columns,), out_shape, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        layout = self.layout
        flat = inputs.reshape(len(inputs), -1)
        x, mask, context = jnp.split(flat, [layout.num_columns, 2 * layout.num_columns], axis=-1)
        # One operation for all columns: a loop over them would take far longer to compile.
        columns, levels = (np.array(each, int) for each in (layout.columns, layout.levels))
        seen = x[:, columns]  # (batch, inputs), a number once, a column with K levels K times
        codes = jnp.where(levels >= 0, jnp.maximum(0.0, 1.0 - jnp.abs(seen - levels)), seen)
        parts = [jnp.where(mask[:, columns] > 0, codes, 0.0)]
        for (column, k, _), embedding in zip(layout.embedded, self.embeddings, strict=True):
            codes = jnp.maximum(0.0, 1.0 - jnp.abs(x[:, column, None] - jnp.arange(k)))
            parts.append(embedding(jnp.where(mask[:, column, None] > 0, codes, 0.0)))
        seen = jnp.concatenate([*parts, context], axis=-1)
        whole, partial = self.net(seen), self.gap_net(jnp.concatenate([seen, mask], axis=-1))
        is_whole = (mask > 0).all(axis=-1).reshape(-1, *[1] * (whole.ndim - 1))
        return jnp.where(is_whole, whole, partial)


class _Layout(NamedTuple):
    """Where the inputs of the net come from.

    ``columns`` and ``levels`` have an entry for each input that is no embedding: its column, and the
    level that it is a code of, or -1 for a number. ``embedded`` has (column, levels, width).
    """

    num_columns: int
    columns: tuple[int, ...]
    levels: tuple[int, ...]
    embedded: tuple[tuple[int, int, int], ...]


def _layout(recipe: ColumnInputs) -> _Layout:
    columns: list[int] = []
    levels: list[int] = []
    embedded: list[tuple[int, int, int]] = []
    for i, k in enumerate(recipe.levels):
        if k > recipe.largest_one_hot:
            embedded.append((i, k, math.ceil(math.sqrt(k))))
            continue
        columns += [i] * max(k, 1)
        levels += list(range(k)) or [-1]
    return _Layout(len(recipe.levels), tuple(columns), tuple(levels), tuple(embedded))
