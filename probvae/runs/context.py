"""What a run tells a VAE beside x: the data's own context or labels, and what the objective adds."""

from dataclasses import replace

import numpy as np

from probvae.data import Data
from probvae.objectives import AbstractObjective
from probvae.typing import Shape
from probvae.variant import Variant


def own_shape(variant: Variant) -> Shape:
    """Return the shape of the training data's context: the VAE's, less what the objective adds."""
    shape, objective = variant.vae.context_shape, variant.objective
    return objective.data_context_shape(shape) if isinstance(objective, AbstractObjective) else shape


def told(variant: Variant, data: Data) -> Data:
    """Return the data with their labels, one-hot, as the context of a VAE of as many classes.

    Data that bring a context, or labels that are not 0, 1, ... K - 1 for a context of shape ``(K,)``,
    stay as they are. A context that only the objective has an entry in takes none of the data's.
    """
    shape = own_shape(variant)
    if variant.vae.context_shape and not shape:
        return replace(data, context={})
    if data.context or set(data.labels) != set(data.splits) or len(shape) != 1:
        return data
    every, classes = np.concatenate(list(data.labels.values())), np.arange(*shape)
    if every.ndim != 1 or set(every.tolist()) != set(classes.tolist()):
        return data
    one_hot = np.eye(len(classes), dtype=np.float32)
    return replace(data, context={split: one_hot[rows] for split, rows in data.labels.items()})


def asked(variant: Variant, data: Data) -> Data:
    """Return data that were ``told``, with the context that the fitted VAE is asked with.

    It is longer where the objective draws a part of it in training (``MultiRate``: log beta).
    """
    if own_shape(variant) == variant.vae.context_shape:
        return data
    whole = {
        split: variant.objective.asked_context(data.context.get(split), len(x))
        for split, x in data.splits.items()
    }
    return replace(data, context=whole)


def asked_at(variant: Variant) -> str:
    """Return in words what ``asked`` adds; nothing where it adds nothing."""
    same = own_shape(variant) == variant.vae.context_shape
    return "" if same else variant.objective.asked_at
