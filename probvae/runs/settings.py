"""The settings of a run, as a user gives them, and their checks."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from probvae.checks import (
    NonNegativeInt,
    PositiveFloat,
    Requirement,
    check_number,
    check_positive_integer,
)

BINARIZE = ("auto", "none", "static", "dynamic")
KEEP = ("best", "last")
# JAX makes the same key of seed and seed + 2^32, and refuses larger seeds without 64-bit integers.
Seed = Annotated[int, Requirement("an integer from 0 to 2^32 - 1", lambda seed: 0 <= seed < 2**32)]


class Settings(NamedTuple):
    """The settings of a run. None leaves a choice to the model file, or to the default.

    Attributes:
        model: path of the model file.
        arguments: keyword arguments of its function.
        data: name or path of the data.
        data_dir: folder of the known data sets.
        binarize: one of ``BINARIZE``. "auto" binarises grey data for a likelihood of {0, 1}.
        epochs: passes through the training data.
        batch_size: rows per step.
        learning_rate: of Adam, which replaces the model file's optimizer.
        patience: stop after so many epochs without a better validation ELBO.
        patience_start: epochs before the patience starts to count.
        keep: the epoch to return, "best" (by validation) or "last". None as in ``probvae.fit``.
        skip_batches: skip at most so many batches whose loss or update is not finite.
        halve_rate: halve the learning rate at most so many times when the loss is not finite.
        out: the run's folder, new or empty.
        seed: the source of every random number of the run.
        num_particles: draws of z per row in log p(x).
        max_test: the largest number of test rows in log p(x).
    """

    model: str | Path
    arguments: dict[str, Any] = {}
    data: str = "digits"
    data_dir: str | None = None
    binarize: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    patience_start: int = 0
    keep: str | None = None
    skip_batches: int | None = None
    halve_rate: int | None = None
    out: str | Path | None = None
    seed: int = 0
    num_particles: int = 5000
    max_test: int = 1000


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
    if settings.keep not in (None, *KEEP):
        raise ValueError(f'keep expects "best" or "last"; got {settings.keep!r}.')


def check_seed(seed: int) -> None:
    """Raise ``ValueError`` unless a seed has a key of its own."""
    check_number("seed", seed, Seed)
