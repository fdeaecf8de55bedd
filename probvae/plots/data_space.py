"""Figures in the space of the data: reconstructions, samples, interpolations, pseudo-inputs.

Images ``(h, w)`` and ``(h, w, 1 or 3)`` are drawn as images. Time series ``(T, d)``, with at least
three times as many steps as variables, are drawn as lines. Data of any other shape have a panel for
each entry of a datum. After training on a ``data.Table``, panels show levels and dates by name.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from probvae.data import Schema
from probvae.fitted import Fitted, latent_paths
from probvae.fitted.table_results import is_table
from probvae.plots import columns, series
from probvae.plots.canvas import Figure, Limits, is_image, side_by_side
from probvae.plots.table_columns import (
    compare_table_columns,
    compare_table_paths,
    compare_table_rows,
)
from probvae.typing import ArrayLike, DataLike, RngKey

PSEUDO_INPUTS = "prior$pseudo_inputs"
NUM_TILES, NUM_ROWS = 40, 500  # samples in a figure of images, and in another one
Names = Sequence[str] | None


def reconstructions(
    fitted: Fitted,
    x: DataLike,
    *,
    context: ArrayLike | None = None,
    rng_key: RngKey | None = None,
    limits: Limits | None = None,
    column_names: Names = None,
) -> Figure:
    """Draw data beside the means of p(x|z), at the mean of q(z|x) or, with a key, at a draw.

    Images are side by side, and time series on top of each other. Other data have a panel for each
    column, with the mean over the data. If there are more than 12, they are those with the lowest R^2.

    Args:
        fitted: the fitted VAE.
        x: data ``(n, *event_shape)``. A dozen images or series are enough, and a few hundred rows of a
            table.
        context: ``(n, *context_shape)``.
        rng_key: a typed key to draw z. Guides that are programs need it.
        limits: the lowest and highest value of the color scale of images.
        column_names: a name for each entry of a datum, or for each variable of a time series. By
            default those of the blocks of a ``Joint``, or their numbers.
    """
    x = read_numbers(fitted, x)
    means = fitted.reconstruct(x, rng_key=rng_key, context=context)
    code = "the mean of q(z|x)" if rng_key is None else "a draw of q(z|x)"
    groups, title = {"x": x, "E[x|z]": means}, f"Data x, and the mean of p(x|z) at {code}"
    if _is_series(fitted):
        return series.compare_series(_arrays(groups), column_names, title=title)
    if schema := _find_schema(fitted, column_names):
        return compare_table_rows(_as_rows(x), _as_rows(means), schema.modelled)
    if not is_image(fitted.vae.event_shape):
        rows = _as_rows(x)
        return columns.compare_rows(rows, _as_rows(means), _names(fitted, column_names), title=title)
    return side_by_side(
        groups,
        title=title,
        item="one datum",
        limits=limits or _range(fitted, x),
    )


def samples(
    fitted: Fitted,
    num_samples: int | None = None,
    *,
    rng_key: RngKey,
    x: DataLike | None = None,
    context: ArrayLike | None = None,
    max_items: int = NUM_TILES,
    limits: Limits | None = None,
    column_names: Names = None,
) -> Figure:
    """Draw samples of the model, x ~ p(x|z).

    Images are side by side, each with the mean of its p(x|z). Time series are lines, with the central
    90 % of all samples at each step. Other data have a panel for each column, with the distribution of
    the samples. If there are more than 12, they are those where samples and data differ most.

    Args:
        fitted: the fitted VAE.
        num_samples: the number of samples: by default 40 for images and 500 for other data. With a
            context, one sample per row of it.
        rng_key: a typed key.
        x: data ``(n, *event_shape)`` to compare the samples with. Images do not use them.
        context: ``(rows, *context_shape)``.
        max_items: the largest number of images in the figure.
        limits: the lowest and highest value of the color scale of images.
        column_names: as in ``reconstructions``.
    """
    x = None if x is None else read_numbers(fitted, x)
    shows_images = is_image(fitted.vae.event_shape) and not _is_series(fitted)
    if num_samples is None:
        num_samples = NUM_TILES if shows_images else NUM_ROWS
    draws = fitted.sample(num_samples if context is None else 1, rng_key=rng_key, context=context)
    samples, mean = (np.asarray(a if context is None else a[0]) for a in (draws.x, draws.mean))
    if not shows_images:
        title = "Samples of the model: z ~ p(z), then x ~ p(x|z)"
        if x is not None:
            title += ", and the data"
        if _is_series(fitted):
            data = None if x is None else np.asarray(x, float)
            return series.summarize_series(samples, data, column_names, title=title)
        data = None if x is None else _as_rows(x)
        if schema := _find_schema(fitted, column_names):
            return compare_table_columns(_as_rows(samples), data, schema.modelled)
        names = _names(fitted, column_names)
        return columns.compare_columns(_as_rows(samples), data, names, title=title)
    return side_by_side(
        {"x ~ p(x|z)": samples[:max_items], "E[x|z]": mean[:max_items]},
        title="Samples: z ~ p(z), then x ~ p(x|z), and the mean of that p(x|z)",
        item="one sample",
        limits=limits or _range(fitted, mean[:max_items]),
    )


def interpolation(
    fitted: Fitted,
    start: DataLike,
    end: DataLike,
    *,
    num_points: int = 10,
    path: Callable = latent_paths.straight,
    limits: Limits | None = None,
    column_names: Names = None,
) -> Figure:
    """Draw a path between two rows: averages of their values, and E[x|z] along their codes.

    Args:
        fitted: the fitted VAE.
        start: a row of shape ``event_shape``.
        end: another row.
        num_points: the number of points on the path, with both ends.
        path: ``latent_paths.straight``, ``latent_paths.spherical`` or another ``(a, b, t) -> z``.
        limits: the lowest and highest value of the color scale of images.
        column_names: as in ``reconstructions``.
    """
    a, b = jnp.asarray(start, float), jnp.asarray(end, float)
    pixels = jax.vmap(lambda t: (1 - t) * a + t * b)(jnp.linspace(0.0, 1.0, num_points))
    codes = fitted.interpolate(a, b, num_points=num_points, path=path)
    title = "From one datum to another: averages of the data, and E[x|z] along the codes"
    groups = {"data space": pixels, "latent space": codes}
    if _is_series(fitted):
        return series.compare_paths(_arrays(groups), column_names, title=title)
    if schema := _find_schema(fitted, column_names):
        ends = np.stack([np.asarray(start, float), np.asarray(end, float)])
        return compare_table_paths(_as_rows(codes), ends, schema.modelled)
    if not is_image(fitted.vae.event_shape):
        rows = {name: _as_rows(values) for name, values in groups.items()}
        return columns.compare_paths(rows, _names(fitted, column_names), title=title)
    return side_by_side(
        groups,
        title=title,
        item="one point, t from 0 to 1",
        limits=limits or _range(fitted, pixels),
        columns=num_points,
    )


def pseudo_inputs(
    fitted: Fitted,
    *,
    max_items: int = 50,
    limits: Limits | None = None,
    column_names: Names = None,
) -> Figure:
    """Draw the first ``max_items`` learned pseudo-inputs of a VampPrior.

    Args:
        fitted: the fitted VAE.
        max_items: the largest number of pseudo-inputs in the figure.
        limits: the lowest and highest value of the color scale of images.
        column_names: as in ``reconstructions``.

    Raises:
        ValueError: if the prior has no pseudo-inputs.
    """
    if PSEUDO_INPUTS not in fitted.params:
        raise ValueError(
            "pseudo_inputs expects a fitted VAE with pseudo-inputs, such as one with priors.VampPrior; "
            f"got the prior {type(fitted.vae.prior).__name__}."
        )
    u = np.asarray(fitted.params[PSEUDO_INPUTS])
    count = f"{min(max_items, len(u))} of {len(u)}"
    title = f"Pseudo-inputs u, {count}: p(z) is the mixture of their q(z|u)"
    if _is_series(fitted):
        return series.draw_series(u[:max_items], column_names, title=title)
    if not is_image(fitted.vae.event_shape):
        names = _names(fitted, column_names)
        return columns.draw_points(_as_rows(u[:max_items]), names, title=title)
    return side_by_side(
        {"u": u[:max_items]},
        title=title,
        item="one pseudo-input",
        limits=limits or _range(fitted, u),
    )


def read_numbers(fitted: Fitted, x: DataLike) -> ArrayLike:
    """Return a table as an array of numbers, masked where a cell is missing. Other data stay."""
    if not is_table(x, fitted.data):
        return x
    data = fitted.check_data(x)
    return data.x if data.mask is None else np.ma.array(data.x, mask=~np.asarray(data.mask))


def _find_schema(fitted: Fitted, names: Names) -> Schema | None:
    """Return the columns of the training table. None for an array, or with names of your own."""
    return None if fitted.data is None or names is not None else fitted.data.schema


def _is_series(fitted: Fitted) -> bool:
    return series.is_series(fitted.vae.event_shape)


def _arrays(groups: dict[str, ArrayLike]) -> dict[str, np.ndarray]:
    return {name: np.asarray(values, float) for name, values in groups.items()}


def _as_rows(x: DataLike) -> np.ndarray:
    """Return data as ``(n, entries)``. A masked array has nan where an entry is missing."""
    rows: np.ndarray = np.ma.filled(np.ma.asarray(x, float), np.nan)
    return rows.reshape(len(rows), -1)


def _names(fitted: Fitted, names: Names) -> list[str]:
    """Return the names of all entries: the given ones, those of a table or of a ``Joint``'s blocks."""
    event_shape = fitted.vae.event_shape
    schema = None if fitted.data is None else fitted.data.schema
    if names is None and schema is not None:
        names = schema.names
    blocks = fitted.vae.likelihood.named_blocks
    if names is None and blocks and len(event_shape) == 1:
        of_entry = np.array(columns.name_columns(event_shape), object)
        for name, block in blocks.items():
            count = len(of_entry[block.columns])
            of_entry[block.columns] = [name] if count == 1 else [f"{name}[{i}]" for i in range(count)]
        names = list(of_entry)
    return columns.name_columns(event_shape, names)


def _range(fitted: Fitted, x: DataLike) -> Limits:
    """Return the likelihood's data range if it is finite, or else the range of ``x``."""
    low, high = fitted.vae.likelihood.data_range
    if np.isfinite(low) and np.isfinite(high):
        return float(low), float(high)
    return float(np.min(x)), float(np.max(x))
