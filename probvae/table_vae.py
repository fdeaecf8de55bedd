"""``VAE.for_table``: a likelihood for each column of a table, and nets that read them."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import jax.numpy as jnp

from probvae.checks import check_positive_integer, format_value
from probvae.data import Table, column_types
from probvae.data.column_types import AbstractColumn, AbstractLevels
from probvae.interfaces import AbstractLikelihood
from probvae.likelihoods import (
    Bernoulli,
    Categorical,
    ColumnScale,
    Gaussian,
    Joint,
    LogNormal,
    NegativeBinomial,
    Ordinal,
    Rounded,
    Standardized,
)
from probvae.nets import MLP, ColumnInputs, LinearSkip
from probvae.priors import GaussianMixture

NUM_COMPONENTS = 10  # of the prior
# The affine part alone is factor analysis. Tables are small, and nets without dropout overfit them.
NET = LinearSkip(MLP((64,), activation=jnp.tanh, dropout=0.2))


def table_parts(
    table: Table,
    *,
    latent_dim: int | None = None,
    likelihoods: Mapping[str, AbstractLikelihood] | None = None,
    **parts: Any,
) -> dict[str, Any]:
    """Return the arguments of ``VAE`` for a table, by name. See ``VAE.for_table``."""
    if not isinstance(table, Table):
        raise TypeError(
            f"VAE.for_table expects a data.Table; got {format_value(table)}. Read it first: "
            "table = data.Table(frame), and use the same table in fit(vae, table, ...)."
        )
    columns = table.schema.modelled
    if latent_dim is not None:
        check_positive_integer("latent_dim", latent_dim)
    chosen = _choose_likelihoods(columns, likelihoods or {})
    defaults = {
        "event_shape": (len(columns),),
        "latent_dim": latent_dim or choose_latent_dim(len(columns)),
        # A normal prior puts mass between clusters, and its draws mix levels there: rows (1, a) and
        # (2, b) would give (1, b) too. A mixture has a component for each cluster.
        "prior": GaussianMixture(NUM_COMPONENTS),
        "likelihood": join_columns(columns, chosen),
        "encoder": ColumnInputs(
            NET,
            levels=tuple(len(getattr(column, "levels", ())) for column in columns),
        ),
        "decoder": NET,
        "encode_mask": True,
    }
    return defaults | parts


def choose_latent_dim(num_columns: int) -> int:
    """Return the default number of latent units for a table."""
    return max(1, min(num_columns - 1, 32))


def column_likelihood(column: AbstractColumn) -> AbstractLikelihood:
    """Return the default likelihood of a column's type.

    Real numbers and dates are Gaussian, positive numbers lognormal, both standardized and with a scale
    of their own. Whole ones are ``Rounded``, so that they have a probability. Counts are negative
    binomial. Levels are Bernoulli, categorical or cumulative logit.
    """
    match column:
        case column_types.Positive():
            return _round_whole(column, Standardized(LogNormal(ColumnScale())))
        case column_types.Count():
            return Standardized(NegativeBinomial())
        case column_types.YesNo():
            return Bernoulli()
        case column_types.Ordinal():
            return Ordinal(len(column.levels))
        case column_types.Categorical():
            return Categorical(len(column.levels))
    return _round_whole(column, Standardized(Gaussian(ColumnScale())))


def _round_whole(column: AbstractColumn, likelihood: AbstractLikelihood) -> AbstractLikelihood:
    """Return a likelihood of whole numbers or whole days for a column of these."""
    is_whole = getattr(column, "whole", False) or getattr(column, "unit", "") == "D"
    return Rounded(likelihood) if is_whole else likelihood


def join_columns(
    columns: tuple[AbstractColumn, ...], likelihoods: list[AbstractLikelihood]
) -> AbstractLikelihood:
    """Return the ``Joint`` of columns. Neighbours with equal likelihoods are one block."""
    # Levels stay one block each, so that `probabilities` has each column by its name.
    keys = [
        (likelihood, column.name if isinstance(column, AbstractLevels) else None)
        for column, likelihood in zip(columns, likelihoods, strict=True)
    ]
    blocks: dict[str, tuple[int, AbstractLikelihood]] = {}
    for (likelihood, _), run in groupby(zip(keys, columns, strict=True), key=lambda pair: pair[0]):
        names = [column.name for _, column in run]
        blocks[_name_block(names)] = (len(names), likelihood)
    return Joint(blocks)


def _name_block(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _choose_likelihoods(
    columns: tuple[AbstractColumn, ...], overrides: Mapping[str, AbstractLikelihood]
) -> list[AbstractLikelihood]:
    names = [column.name for column in columns]
    if not isinstance(overrides, Mapping):
        raise TypeError(
            "likelihoods expects a likelihood by column, such as "
            f'{{"income": likelihoods.StudentT()}}; got {format_value(overrides)}.'
        )
    for name, likelihood in overrides.items():
        if name not in names:
            raise ValueError(
                f"likelihoods expects names of modelled columns, {', '.join(names)}; got {name!r}."
            )
        if not isinstance(likelihood, AbstractLikelihood):
            raise TypeError(
                f"likelihoods[{name!r}] expects a likelihood such as Gaussian(); got "
                f"{format_value(likelihood)}."
            )
    return [overrides.get(column.name) or column_likelihood(column) for column in columns]
