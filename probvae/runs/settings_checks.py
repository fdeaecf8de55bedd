"""Checks of the settings of a run."""

from typing import Annotated, Any

from probvae.checks import (
    NonNegativeInt,
    PositiveFloat,
    Requirement,
    check_number,
    check_positive_integer,
)
from probvae.runs.settings import KEEP, TABLE_OPTIONS, Settings

# JAX makes the same key of seed and seed + 2^32, and refuses larger seeds without 64-bit integers.
Seed = Annotated[int, Requirement("an integer from 0 to 2^32 - 1", lambda seed: 0 <= seed < 2**32)]


def check_settings(settings: Settings) -> None:
    """Raise ``ValueError`` for a number that would otherwise fail during or after training."""
    check_seed(settings.seed)
    check_number("patience_start", settings.patience_start, NonNegativeInt)
    sizes = ("epochs", "batch_size", "num_particles", "max_test", "skip_batches", "halve_rate")
    for name in sizes:
        if (size := getattr(settings, name)) is not None:
            check_positive_integer(name, size)
    if settings.learning_rate is not None:
        check_number("learning_rate", settings.learning_rate, PositiveFloat)
    _check_table(settings.table)
    if settings.keep not in (None, *KEEP):
        raise ValueError(f'keep expects "best" or "last"; got {settings.keep!r}.')


def _check_table(options: dict[str, Any]) -> None:
    for name in options:
        if name not in TABLE_OPTIONS:
            raise ValueError(
                f"table expects options of a file, {', '.join(TABLE_OPTIONS)}; got {name!r}."
            )
    for column, kind in options.get("types", {}).items():
        if not isinstance(kind, str):  # the record of a run is JSON
            raise ValueError(
                f'table["types"] expects the name of a type for each column, such as "real"; got '
                f"{kind!r} for {column!r}."
            )


def check_seed(seed: int) -> None:
    """Raise ``ValueError`` unless a seed has a key of its own."""
    check_number("seed", seed, Seed)
