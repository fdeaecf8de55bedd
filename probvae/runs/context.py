"""The conditioning input of a run: the labels of its data, and what an objective adds to it."""

from dataclasses import replace

import numpy as np

from probvae.data import Data
from probvae.objectives import AbstractObjective
from probvae.typing import Shape
from probvae.variant import Variant


def data_context_shape(variant: Variant) -> Shape:
    """Return the shape of the context in the training data.

    It is the VAE's context shape without the entries that the objective draws (``MultiRate``).
    """
    shape, objective = variant.vae.context_shape, variant.objective
    return objective.data_context_shape(shape) if isinstance(objective, AbstractObjective) else shape


def add_label_context(variant: Variant, data: Data) -> Data:
    """Return the data with one-hot labels as context, for a VAE with a context of that many classes.

    Data keep their own context. Labels that are not 0, 1, ... K - 1 for a context of shape ``(K,)`` are
    not used. If the objective draws the whole context, the data lose theirs.
    """
    shape = data_context_shape(variant)
    if variant.vae.context_shape and not shape:
        return replace(data, context={})
    if data.context or set(data.labels) != set(data.splits) or len(shape) != 1:
        return data
    labels, classes = np.concatenate(list(data.labels.values())), np.arange(*shape)
    if labels.ndim != 1 or set(labels.tolist()) != set(classes.tolist()):
        return data
    one_hot = np.eye(len(classes), dtype=np.float32)
    return replace(data, context={split: one_hot[rows] for split, rows in data.labels.items()})


def check_context(variant: Variant, data: Data) -> None:
    """Raise ``ValueError`` if a VAE needs a context that the data do not have."""
    if data_context_shape(variant) and not data.context:
        raise ValueError(
            f"The VAE expects a context of shape {variant.vae.context_shape}; the data {data.name!r} "
            "have none, nor labels of as many classes. Use other data, or another model."
        )


def add_query_context(variant: Variant, data: Data) -> Data:
    """Return the data with the context at which you evaluate the fitted VAE.

    The training context lacks the entries that the objective draws (``MultiRate``: log beta). Here they
    have the value that ``describe_query_context`` names.
    """
    if data_context_shape(variant) == variant.vae.context_shape:
        return data
    context = {
        split: variant.objective.query_context(data.context.get(split), len(x))
        for split, x in data.splits.items()
    }
    return replace(data, context=context)


def describe_query_context(variant: Variant) -> str:
    """Return the value that ``add_query_context`` adds, in words. "" if it adds nothing."""
    same = data_context_shape(variant) == variant.vae.context_shape
    return "" if same else variant.objective.query_setting
