"""The settings of a run, as a user gives them. `probvae --help` imports this module, and not JAX."""

from pathlib import Path
from typing import Any, NamedTuple

EPOCHS, BATCH_SIZE = 100, 128  # unless the model file recommends others
BINARIZE = ("auto", "none", "static", "dynamic")
KEEP = ("best", "last")
TABLE_OPTIONS = ("sep", "header", "skip_rows", "decimal", "encoding", "types")


class Settings(NamedTuple):
    """The settings of a run. None leaves a choice to the model file, or to the default.

    Attributes:
        model: path of the model file.
        arguments: keyword arguments of its function.
        data: name or path of the data.
        data_dir: folder of the known data sets.
        table: how to read a file of columns, for a model file that takes a table: arguments of
            ``data.Table`` by name, such as ``{"sep": ";", "types": {"age": "real"}}``.
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
    table: dict[str, Any] = {}
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
