"""Preparation of a run: one config of all settings, checked against each other and the data."""

from copy import copy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from probvae import compatibility
from probvae import data as sources
from probvae.checks import check_key, check_kind, check_positive_integer
from probvae.column_checks import warn_of_column_scales
from probvae.data_checks import check_data
from probvae.data_description import DataComparison, DataDescription, DataSummary
from probvae.evidence import Batch
from probvae.faq import cite
from probvae.objectives import AbstractObjective
from probvae.objectives.compatibility import check_objective, check_schedules, check_terms
from probvae.tracing import trace_structure
from probvae.training.averaging import MovingAverage, add_average
from probvae.training.batch_norm_check import check_batch_statistics
from probvae.training.callbacks import Callback
from probvae.training.checkpointing.checkpoints import Checkpoints
from probvae.training.compile_cache import intern_optimizer
from probvae.training.early_stopping import EarlyStopping, check_stopping, resolve_keep_best
from probvae.training.initial_values import check_params, freeze_roles, initial_values
from probvae.training.loop import Run
from probvae.training.parallel.devices import DataParallel, OneDevice
from probvae.training.recovery import AbstractRecovery
from probvae.typing import DataLike, Objective, Observation, Params, RngKey
from probvae.vae import VAE, check_vae

ADAM = optax.adam(1e-3)  # one object: a fit with the same parts reuses the compiled program
KINDS = {  # of settings, with the words of an error
    "optimizer": (optax.GradientTransformation, "an optax optimizer such as optax.adam(1e-3)"),
    "early_stopping": (EarlyStopping | None, "EarlyStopping(patience=50)"),
    "checkpoints": (Checkpoints | None, 'Checkpoints("runs/first/checkpoints")'),
    "recovery": (AbstractRecovery | None, "SkipBatch() or HalveRate()"),
    "average": (MovingAverage | None, "MovingAverage(0.999)"),
    "devices": (
        DataParallel | OneDevice,
        "DataParallel() for all devices, or DataParallel(jax.devices()[:4]) for some",
    ),
}


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The settings of ``fit``, with its defaults. ``fit`` documents each of them."""

    vae: VAE
    rng_key: RngKey
    observation: Observation
    objective: Objective
    optimizer: optax.GradientTransformation
    epochs: int
    batch_size: int
    init_params: Params | None = None
    freeze: tuple[str, ...] = ()
    early_stopping: EarlyStopping | None = None
    keep_best: bool | None = None
    checkpoints: Checkpoints | None = None
    recovery: AbstractRecovery | None = None
    average: MovingAverage | None = None
    callbacks: tuple[Callback, ...] = ()
    devices: DataParallel | OneDevice = OneDevice()
    progress: bool = True

    def __post_init__(self) -> None:
        check_vae("fit", self.vae)
        check_key(self.rng_key)
        for name, (kind, words) in KINDS.items():
            if not isinstance(value := getattr(self, name), kind):
                raise TypeError(f"{name} expects {words}; got {value!r}.")
        if not isinstance(self.callbacks, tuple | list) or not all(map(callable, self.callbacks)):
            words = 'a tuple of functions of an epoch, such as (callbacks.JSONLines("metrics.jsonl"),)'
            raise TypeError(f"callbacks expects {words}; got {self.callbacks!r}.")
        check_positive_integer("epochs", self.epochs)
        check_positive_integer("batch_size", self.batch_size)
        check_kind("keep_best", self.keep_best, bool | None)
        check_kind("progress", self.progress, bool)
        compatibility.check_roles("freeze", self.freeze)
        if isinstance(self.devices, DataParallel):
            self.devices.check_batch_size(self.batch_size)

    @property
    def reading(self) -> dict[str, Any]:
        """How data are read."""
        return {"keep_streamed": True, "progress": self.progress}


class PreparedRun(NamedTuple):
    """A run that is ready to train.

    Attributes:
        config: all settings of the run.
        run: the static argument of the compiled programs, with the parts that training uses.
        train: training data.
        validation: validation data, if any.
        init_values: initial values of parameters and running state, by site.
        description: of the training data.
    """

    config: FitConfig
    run: Run
    train: Batch
    validation: Batch | None
    init_values: Params
    description: DataDescription

    @property
    def num_steps(self) -> int:
        """The number of steps in all epochs."""
        return self.config.epochs * (len(self.train.x) // self.config.batch_size)

    @property
    def keep_best(self) -> bool:
        """Whether to return the best epoch instead of the last."""
        config, run = self.config, self.run
        choice: dict[str, Any] = {"early": config.early_stopping, "keep_best": config.keep_best}
        return resolve_keep_best(run.vae, run.objective, self.num_steps, **choice)

    @property
    def identity(self) -> dict[str, Any]:
        """By name, all that must be the same in the call that resumes this run from a checkpoint."""
        return {
            **self.run._asdict(),
            "train": self.train,
            "validation": self.validation,
            "rng_key": self.config.rng_key,
            "init_params": self.init_values,
            "precision": str(jnp.zeros(()).dtype),
        }


def prepare_run(config: FitConfig, train: DataLike, validation: DataLike) -> PreparedRun:
    """Check data and settings against each other, before anything is compiled."""
    vae, objective = config.vae, intern_optimizer(config.objective)
    optimizer = intern_optimizer(config.optimizer)
    if roles := compatibility.check_roles("freeze", config.freeze):
        vae, optimizer = replace(vae, frozen=roles), freeze_roles(optimizer, roles)
    if config.recovery is not None:
        optimizer = config.recovery.wrap_optimizer(optimizer)
    optimizer = add_average(config.average, optimizer)
    structure = trace_structure(vae)
    guide_name = type(vae.posterior).__name__
    check_objective(objective, structure.model, structure.guide, structure.state, guide_name)
    train, description = _check_train(config, train)
    check_batch_statistics(vae, config.batch_size)
    check_terms(objective, vae, config.batch_size)
    check_schedules(objective, config.epochs * (len(train.x) // config.batch_size))
    if validation is not None:
        validation = _check_validation(config, description, validation)
    choice: dict[str, Any] = {"early": config.early_stopping, "keep_best": config.keep_best}
    check_stopping(vae, **choice, has_validation=validation is not None)
    init_params = check_params(vae, {} if config.init_params is None else config.init_params)
    init_values = {**initial_values(vae, train, config.observation), **init_params}
    observation: Any = config.observation
    if vae.likelihood.observation is not None:
        observation = sources.Compose((observation, vae.likelihood.observation))
    run = Run(vae, objective, optimizer, observation, config.batch_size)
    return PreparedRun(config, run, train, validation, init_values, description)


def _check_train(config: FitConfig, train: DataLike) -> tuple[Batch, DataDescription]:
    """Return checked training data with their description."""
    vae, objective = config.vae, config.objective
    if isinstance(objective, AbstractObjective):  # it may add to the context, so data have less of it
        vae = copy(vae)
        object.__setattr__(vae, "context_shape", objective.data_context_shape(vae.context_shape))
    summary = DataSummary(vae.event_shape, config.observation)
    options: dict[str, Any] = {"observation": config.observation, "record": summary, **config.reading}
    train = check_data(vae, train, "train", **options)
    description = summary.description()
    if len(vae.event_shape) == 1:
        warn_of_column_scales(vae.likelihood, description.x)
    n = len(train.x)
    if config.batch_size > n:
        size = config.batch_size
        raise ValueError(
            f"batch_size={size} is larger than the data, which have {n} rows. Use at most {n}. "
            f"{cite('too-few-rows')}"
        )
    if train.mask is not None and not train.mask.any():
        raise ValueError(
            "train mask is false everywhere. It expects True where x is observed. If yours is "
            f"inverted, use Batch(x, mask=~mask). {cite('mask-inverted')}"
        )
    return train, description


def _check_validation(config: FitConfig, description: DataDescription, validation: DataLike) -> Batch:
    """Return checked validation data, with the likelihood's noise, drawn once with a fixed key."""
    vae = config.vae
    comparison = DataComparison(description, "validation", names_cells=True)
    validation = check_data(vae, validation, "validation", record=comparison, **config.reading)
    if not isinstance(validation.x, sources.StreamedData):
        return validation._replace(x=vae.observe(jax.random.key(0), validation.x))
    if vae.likelihood.observation is not None:
        raise sources.DataError(
            f"validation is streamed, but {type(vae.likelihood).__name__} adds noise to it once. Pass "
            "validation data in memory, such as np.asarray(validation[:10_000])."
        )
    return validation
