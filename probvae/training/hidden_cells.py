"""Training of an encoder on rows with hidden cells, so that it can read rows with gaps."""

from typing import Any

import jax
import jax.numpy as jnp

from probvae.nets.column_inputs import ColumnInputs, find_column_inputs
from probvae.typing import ArrayLike, Objective, Params, Program, RngKey

GUIDE_ROLES = ("encoder", "guide")


class HiddenCells:
    """An objective that trains the guide on rows with hidden cells, too. NumPyro's SVI accepts it.

    The loss and the gradients of the model's parameters are those of the objective. The gradient of the
    guide's parameters has a second term: the objective's bound on rows whose cells are hidden. The
    model does not learn from it, because a guide is often far from p(z | few cells), which may have
    several modes, and the model would give up modes to come closer to the guide.

    Args:
        objective: of the run.
        columns: the encoder. It says how many rows lose cells.
    """

    def __init__(self, objective: Objective, columns: ColumnInputs) -> None:
        self.objective, self.columns = objective, columns

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objective, name)

    def loss_with_mutable_state(
        self,
        rng_key: RngKey,
        param_map: Params,
        model: Program,
        guide: Program,
        x: ArrayLike,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the objective's ``{"loss": ..., "mutable_state": ...}``, with more gradient."""
        run = self.objective.loss_with_mutable_state
        result = run(rng_key, param_map, model, guide, x, context, mask, **kwargs)
        hidden_key, draw_key = jax.random.split(jax.random.fold_in(rng_key, 1))
        num_rows = max(1, round(self.columns.hidden_rows * len(x)))
        observed = jnp.ones(x.shape, bool) if mask is None else jnp.asarray(mask, bool)
        hidden = hide_cells(hidden_key, observed[:num_rows])
        rows = (x[:num_rows], None if context is None else context[:num_rows], hidden)
        fixed = {name: _fix_unless_guide(name, value) for name, value in param_map.items()}
        extra = run(draw_key, fixed, model, guide, *rows, **kwargs)["loss"]
        # The difference is 0, so that the loss stays that of the rows as they are.
        return {**result, "loss": result["loss"] + extra - jax.lax.stop_gradient(extra)}


def with_hidden_cells(objective: Objective, recipe: Any) -> Any:
    """Return the objective, with hidden cells if the encoder is a ``ColumnInputs`` with such rows."""
    columns = find_column_inputs(recipe)
    if columns is None or columns.hidden_rows == 0.0:
        return objective
    return HiddenCells(objective, columns)


def hide_cells(rng_key: RngKey, mask: jax.Array) -> jax.Array:
    """Return a mask ``(rows, columns)`` with more cells hidden: a random share of each row."""
    share_key, cell_key = jax.random.split(rng_key)
    share = jax.random.uniform(share_key, (len(mask), 1))  # patterns of all sizes
    return mask & (jax.random.uniform(cell_key, mask.shape) >= share)


def _fix_unless_guide(name: str, value: Any) -> Any:
    return value if name.split("$")[0] in GUIDE_ROLES else jax.lax.stop_gradient(value)
