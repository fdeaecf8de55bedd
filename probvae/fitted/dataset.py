"""Columns of numbers as an ``xarray.Dataset``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from probvae.faq import cite


def build_dataset(
    caller: str, columns: Mapping[str, np.ndarray], coords: Mapping[str, Sequence]
) -> Any:
    """Return columns, each with one axis per entry of ``coords``, as an ``xarray.Dataset``.

    Args:
        caller: the class whose ``table`` this is, for the error.
        columns: arrays of one shape, by name.
        coords: the labels of each axis, by the name of the axis, in the order of the axes.

    Raises:
        ImportError: without xarray.
    """
    try:
        import xarray
    except ImportError as error:
        raise ImportError(
            f'{caller}.table needs xarray: pip install "probvae[arviz]". Or use {caller}.columns(). '
            f"{cite('missing-extra')}"
        ) from error
    variables = {name: (tuple(coords), values) for name, values in columns.items()}
    return xarray.Dataset(variables, coords=dict(coords))
