"""The plan of a run: model, data and every option, resolved once from its settings."""

import shlex
from dataclasses import dataclass
from typing import Any

import optax
from numpyro.distributions import constraints

from probvae.column_checks import describe_unscaled_columns
from probvae.data import Data, Rescale, load
from probvae.data.table_data import is_table_file
from probvae.runs.context import (
    add_label_context,
    add_query_context,
    check_context,
    describe_query_context,
)
from probvae.runs.evaluation import select_batch
from probvae.runs.model_file import ModelFile, load_model_file
from probvae.runs.run_tables import describe_columns, load_run_table
from probvae.runs.settings import BATCH_SIZE, EPOCHS, Settings
from probvae.runs.settings_checks import check_settings
from probvae.training import AbstractRecovery, EarlyStopping, HalveRate, SkipBatch
from probvae.variant import Variant


@dataclass(frozen=True, eq=False)
class RunPlan:
    """Everything that a run does, decided before it starts.

    Attributes:
        settings: the settings that the plan was resolved from.
        file: the model file.
        variant: the VAE that its function returned, with the settings recommended for it.
        data: the data, with the context that the VAE needs, binarised if needed.
        binarize: how the data were binarised, "static" or "dynamic". None if they were not.
        epochs: passes through the training data.
        batch_size: rows per step.
        optimizer: an optax optimizer. None for the default of ``fit``.
        early_stopping: when to stop before the last epoch. None for never.
        keep_best: whether to return the best validation epoch. None leaves it to ``fit``.
        recovery: the reaction to a loss that is not finite. None ends the run.
    """

    settings: Settings
    file: ModelFile
    variant: Variant
    data: Data
    binarize: str | None
    epochs: int
    batch_size: int
    optimizer: optax.GradientTransformation | None
    early_stopping: EarlyStopping | None
    keep_best: bool | None
    recovery: AbstractRecovery | None

    @property
    def query_data(self) -> Data:
        """The data with the context at which the fitted VAE is evaluated."""
        return add_query_context(self.variant, self.data)

    def fit_options(self) -> dict[str, Any]:
        """Return the arguments that ``fit`` and ``sweep`` of ``probvae`` share."""
        vae, data = self.variant.vae, self.data
        return {
            "train": select_batch(vae, data, "train"),
            "validation": None if data.valid is None else select_batch(vae, self.query_data, "valid"),
            "observation": data.observation,
            "objective": self.variant.objective,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "init_params": self.variant.init_params,
            "early_stopping": self.early_stopping,
            "keep_best": self.keep_best,
        }

    def describe(self) -> list[str]:
        """Return the data, a note on data in odd units, and the model, as lines."""
        if self.data.schema is not None:
            return [self.describe_data(), str(self.data.tables["train"]), str(self.variant.vae)]
        note = describe_unscaled_columns(self.variant.vae.likelihood, self.data.train)
        return [self.describe_data(), *([note] if note else []), str(self.variant.vae)]

    def describe_data(self) -> str:
        """Return the data and their preparation, in one line."""
        data, likelihood = self.data, self.variant.vae.likelihood
        sizes = ", ".join(f"{len(array):,} {split}" for split, array in data.splits.items())
        line = f"data {data.name}: {data.description} ({sizes})"
        if data.schema is not None:
            return f"{line}; {describe_columns(data)}"
        low, high = data.range
        line += f"; values in [{low:.4g}, {high:.4g}]"
        if self.settings.binarize == "auto" and "dynamic" in str(data.description):
            line += f"; binarised because {type(likelihood).__name__} expects 0 and 1 only"
        if query := describe_query_context(self.variant):
            line += f"; the fitted VAE is evaluated at {query}"
        return line


def resolve(settings: Settings, file: ModelFile | None = None) -> RunPlan:
    """Return the plan of a run: check its settings, build its model, load its data.

    Args:
        settings: the settings.
        file: the model file, if it is loaded already.

    Raises:
        TypeError, ValueError, OSError: for a setting, model file or data that cannot be used.
    """
    check_settings(settings)
    early_stopping, recovery = make_early_stopping(settings), make_recovery(settings)
    file = load_model_file(settings.model) if file is None else file
    variant, data, binarize = _build(file, settings)
    rate = settings.learning_rate
    default_batch_size = min(variant.batch_size or BATCH_SIZE, len(data.train))
    return RunPlan(
        settings=settings,
        file=file,
        variant=variant,
        data=data,
        binarize=binarize,
        epochs=settings.epochs or variant.epochs or EPOCHS,
        batch_size=settings.batch_size or default_batch_size,
        optimizer=variant.optimizer if rate is None else optax.adam(rate),
        early_stopping=early_stopping,
        keep_best=None if settings.keep is None else settings.keep == "best",
        recovery=recovery,
    )


def make_early_stopping(settings: Settings) -> EarlyStopping | None:
    """Return the early stopping that the settings ask for."""
    if settings.patience is not None:
        return EarlyStopping(settings.patience, settings.patience_start)
    if settings.patience_start:
        raise ValueError("patience_start needs a patience: --patience 50 --patience-start 100.")
    return None


def make_recovery(settings: Settings) -> AbstractRecovery | None:
    """Return the reaction to a loss that is not finite. None ends the run there."""
    skip, halve = settings.skip_batches, settings.halve_rate
    if skip is not None and halve is not None:
        raise ValueError("skip_batches and halve_rate are alternatives. Set only one of them.")
    if skip is not None:
        return SkipBatch(skip)
    return None if halve is None else HalveRate(halve)


def _build(file: ModelFile, settings: Settings) -> tuple[Variant, Data, str | None]:
    if file.takes_table:
        data = load_run_table(settings.data, settings.table, binarize=settings.binarize)
        variant = file.build(data.tables["train"], **settings.arguments)
        return variant, data, None
    if settings.table:
        raise ValueError(
            f"{', '.join(settings.table)}: only for a model file that takes a table, such as "
            f"models/table.py; {file.path} takes an event_shape."
        )
    # The model needs the shape of the data, and the data may need the model's likelihood: grey data
    # are binarised only for a likelihood of {0, 1}. So "auto" may load the data a second time.
    binarize = {"auto": None, "none": None}.get(settings.binarize, settings.binarize)
    try:
        data = load(settings.data, binarize=binarize, data_dir=settings.data_dir)
    except ValueError as error:
        if is_table_file(settings.data):
            error.add_note(
                "Text, dates and empty cells need a model file that takes a table: probvae train "
                f"models/table.py --data {shlex.quote(settings.data)}."
            )
        raise
    variant = file.build(data.event_shape, **settings.arguments)
    needs_binary = variant.vae.likelihood.support is constraints.boolean
    if settings.binarize == "auto" and needs_binary and isinstance(data.observation, Rescale):
        binarize = "dynamic"
        data = load(settings.data, binarize=binarize, data_dir=settings.data_dir)
    data = add_label_context(variant, data)
    check_context(variant, data)
    return variant, data, binarize
