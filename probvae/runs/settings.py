"""What a run is asked to do, and what that comes to."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpyro.distributions import constraints

from probvae.checks import check_positive_integer
from probvae.data import Data, Rescale, load
from probvae.objectives import AbstractObjective
from probvae.runs.model_file import ModelFile
from probvae.training import AbstractRecovery, EarlyStopping, HalveRate, SkipBatch
from probvae.typing import Shape
from probvae.variant import Variant

BINARIZE = ("auto", "none", "static", "dynamic")
KEEP = ("best", "last")
EPOCHS, BATCH_SIZE = 100, 128


class Settings(NamedTuple):
    """A run's settings; None leaves a choice to the model file, or to its default.

    Attributes:
        model: path of the model file.
        arguments: keyword arguments of its function.
        data: name or path of the data.
        data_dir: where known data sets lie.
        binarize: one of ``BINARIZE``; "auto" is dynamic for grey data under a likelihood of {0, 1}.
        epochs: passes through the training data.
        batch_size: data per step.
        learning_rate: of Adam, in place of the model file's optimizer.
        patience: end after so many epochs without a better validation ELBO, and keep the best epoch.
        patience_start: epochs before they are counted.
        keep: which epoch's parameters, "best" (by validation) or "last"; None as in ``probvae.fit``.
        skip_batches: leave out at most so many batches whose loss or update is not finite.
        halve_rate: halve the learning rate where the loss is not finite, at most so many times.
        out: the run's folder, new or empty.
        seed: every random number of the run derives from it.
        num_particles: draws of z for each datum in log p(x).
        max_test: at most so many rows of the test data enter log p(x).
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
    """Raise for a number that would only fail after training."""
    for name in ("epochs", "batch_size", "num_particles", "max_test"):
        if getattr(settings, name) is not None:
            check_positive_integer(name, getattr(settings, name))
    check_seed(settings.seed)
    stopping(settings)
    recovery(settings)
    keep_best(settings)
    rate = settings.learning_rate
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"learning_rate expects a positive number, such as 1e-3; got {rate!r}.")


def stopping(settings: Settings) -> EarlyStopping | None:
    """Return when to end a run before its last epoch; None for never."""
    if settings.patience_start < 0:
        raise ValueError(f"patience_start expects 0 or more epochs; got {settings.patience_start}.")
    if settings.patience is not None:
        return EarlyStopping(settings.patience, settings.patience_start)
    if settings.patience_start:
        raise ValueError(
            "patience_start expects a patience with it: --patience 50 --patience-start 100."
        )
    return None


def keep_best(settings: Settings) -> bool | None:
    """Return whether the best validation epoch is kept; None leaves it to ``fit``."""
    if settings.keep not in (None, *KEEP):
        raise ValueError(f'keep expects "best" or "last"; got {settings.keep!r}.')
    return None if settings.keep is None else settings.keep == "best"


def recovery(settings: Settings) -> AbstractRecovery | None:
    """Return what to do where the loss is not finite; None to end the run there."""
    skip, halve = settings.skip_batches, settings.halve_rate
    for name in ("skip_batches", "halve_rate"):
        if getattr(settings, name) is not None:
            check_positive_integer(name, getattr(settings, name))
    if skip is not None and halve is not None:
        raise ValueError("skip_batches and halve_rate are two ways out of one thing: give one of them.")
    if skip is not None:
        return SkipBatch(skip)
    return None if halve is None else HalveRate(halve)


def check_seed(seed: int) -> None:
    """Raise unless a seed is one that all of JAX's settings tell apart."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed expects an integer from 0 to 2^32 - 1; got {seed!r}.")


def assemble(file: ModelFile, settings: Settings) -> tuple[Variant, Data, str | None]:
    """Return the variant, the data as its likelihood takes them, and how they are binarised."""
    chosen = {"auto": None, "none": None}.get(settings.binarize, settings.binarize)
    data = load(settings.data, binarize=chosen, data_dir=settings.data_dir)
    variant = file.build(data.event_shape, **settings.arguments)
    binary = variant.vae.likelihood.support is constraints.boolean
    if settings.binarize == "auto" and binary and isinstance(data.observation, Rescale):
        chosen = "dynamic"
        data = load(settings.data, binarize=chosen, data_dir=settings.data_dir)
    data = add_label_context(variant, data)
    _check_context(variant, data)
    return variant, data, chosen


def _check_context(variant: Variant, data: Data) -> None:
    if data_context_shape(variant) and not data.context:
        raise ValueError(
            f"this VAE has context_shape={variant.vae.context_shape}, and the data {data.name!r} "
            "bring no context (nor labels of as many classes). Take data that do, or another model."
        )


def protocol(data: Data, settings: Settings, variant: Variant) -> str:
    """Return what is done with the data, in one line."""
    sizes = ", ".join(f"{len(array):,} {split}" for split, array in data.splits.items())
    line = f"data {data.name}: {data.description} ({sizes})"
    low, high = data.range
    line += f"; values in [{low:.4g}, {high:.4g}]"
    if settings.binarize == "auto" and "dynamic" in str(data.description):
        line += f"; binarised because {type(variant.vae.likelihood).__name__} takes 0 and 1 only"
    if describe_query_context(variant):
        line += f"; the fitted VAE is asked at {describe_query_context(variant)}"
    return line


def sizes(settings: Settings, variant: Variant, data: Data) -> tuple[int, int]:
    """Return epochs and batch size; one that nobody asked for never exceeds the data."""
    usual = min(variant.batch_size or BATCH_SIZE, len(data.train))
    return settings.epochs or variant.epochs or EPOCHS, settings.batch_size or usual


def data_context_shape(variant: Variant) -> Shape:
    """Return the shape of the training data's context: the VAE's, less what the objective adds."""
    shape, objective = variant.vae.context_shape, variant.objective
    return objective.data_context_shape(shape) if isinstance(objective, AbstractObjective) else shape


def add_label_context(variant: Variant, data: Data) -> Data:
    """Return the data with their labels, one-hot, as the context of a VAE of as many classes.

    Data that bring a context, or labels that are not 0, 1, ... K - 1 for a context of shape ``(K,)``,
    stay as they are. A context that only the objective has an entry in takes none of the data's.
    """
    shape = data_context_shape(variant)
    if variant.vae.context_shape and not shape:
        return replace(data, context={})
    if data.context or set(data.labels) != set(data.splits) or len(shape) != 1:
        return data
    every, classes = np.concatenate(list(data.labels.values())), np.arange(*shape)
    if every.ndim != 1 or set(every.tolist()) != set(classes.tolist()):
        return data
    one_hot = np.eye(len(classes), dtype=np.float32)
    return replace(data, context={split: one_hot[rows] for split, rows in data.labels.items()})


def add_query_context(variant: Variant, data: Data) -> Data:
    """Return data that were ``told``, with the context that the fitted VAE is asked with.

    It is longer where the objective draws a part of it in training (``MultiRate``: log beta).
    """
    if data_context_shape(variant) == variant.vae.context_shape:
        return data
    whole = {
        split: variant.objective.asked_context(data.context.get(split), len(x))
        for split, x in data.splits.items()
    }
    return replace(data, context=whole)


def describe_query_context(variant: Variant) -> str:
    """Return in words what ``asked`` adds; nothing where it adds nothing."""
    same = data_context_shape(variant) == variant.vae.context_shape
    return "" if same else variant.objective.asked_at
