"""Imputation of HI-VAE's Adult table, with its masks: ``VAE.for_table`` beside simple imputers.

The data have 12 columns. A mask file lists the hidden cells, one (row, column) a line, from 1. Errors
are those of Nazabal et al. 2020 (arXiv:1807.03653): numbers by the root mean squared error over the
column's range, levels by the share of wrong ones, ordered levels by their mean distance over the number
of levels. Each type has the mean over its columns.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from probvae import fit_table
from probvae.data import Categorical, Ordinal, Table, YesNo
from probvae.data.column_types import AbstractColumn, AbstractLevels

Impute = Callable[[Table, int], np.ndarray]


def read_table(folder: Path) -> tuple[pd.DataFrame, dict[str, AbstractColumn | str]]:
    """Return the complete cells as a frame, with gaps where the file has them, and column types."""
    frame = pd.read_csv(folder / "hivae_data.csv", header=None)
    frame.columns = [f"column {i + 1}" for i in range(frame.shape[1])]
    types: dict[str, AbstractColumn | str] = {}
    kinds = pd.read_csv(folder / "hivae_data_types.csv")
    for name, kind in zip(frame, kinds["type"], strict=True):
        if kind in ("cat", "ordinal"):
            cells = frame[name].dropna()
            levels = tuple(sorted(cells.unique().tolist()))
            types[name] = (YesNo if len(levels) == 2 else Categorical)(levels)
            if kind == "ordinal":
                types[name] = Ordinal(levels)
        # capital gain and loss have zeros, so they are no "pos" of ours: the reader chooses.
    return frame, types


def read_mask(folder: Path, percent: int, shape: tuple[int, int]) -> np.ndarray:
    """Return True where a cell is hidden."""
    cells = pd.read_csv(folder / f"hivae_Missing{percent}_1.csv.gz", header=None).to_numpy()
    hidden = np.zeros(shape, bool)
    hidden[cells[:, 0] - 1, cells[:, 1] - 1] = True
    return hidden


def measure_errors(imputed: np.ndarray, table: Table, hidden: np.ndarray) -> dict[str, float]:
    """Return the mean error of each type's columns."""
    errors: dict[str, list[float]] = {"numbers": [], "levels": [], "ordered levels": []}
    for i, column in enumerate(table.schema.modelled):
        rows = hidden[:, i] & table.mask[:, i]
        x, y = table.x[rows, i], imputed[rows, i]
        observed = table.x[table.mask[:, i], i]
        if isinstance(column, Ordinal):
            errors["ordered levels"].append(np.abs(x - y).mean() / len(column.levels))
        elif isinstance(column, AbstractLevels):
            errors["levels"].append((x != y).mean())
        else:
            errors["numbers"].append(np.sqrt(((x - y) ** 2).mean()) / np.ptp(observed))
    return {kind: float(np.mean(each)) for kind, each in errors.items()}


def impute_by_columns(table: Table, seed: int) -> np.ndarray:
    """Return means of numbers, and the most frequent level."""
    x = table.x.copy()
    for i, column in enumerate(table.schema.modelled):
        observed = x[table.mask[:, i], i]
        is_level = isinstance(column, AbstractLevels)
        fill = np.bincount(observed.astype(int)).argmax() if is_level else observed.mean()
        x[~table.mask[:, i], i] = fill
    return x


def _encode(table: Table) -> tuple[np.ndarray, list[tuple[int, slice]]]:
    """Return standardized numbers and one-hot codes, NaN where missing, and each column's slice."""
    blocks, places, start = [], [], 0
    for i, column in enumerate(table.schema.modelled):
        x, mask = table.x[:, i], table.mask[:, i]
        if isinstance(column, AbstractLevels) and not isinstance(column, Ordinal):
            block = np.where(mask[:, None], x[:, None] == np.arange(len(column.levels)), np.nan)
        else:
            block = ((x - x[mask].mean()) / x[mask].std())[:, None]
            block[~mask] = np.nan
        blocks.append(block)
        places.append((i, slice(start, start + block.shape[1])))
        start += block.shape[1]
    return np.concatenate(blocks, axis=1), places


def _decode(table: Table, full: np.ndarray, places: list[tuple[int, slice]]) -> np.ndarray:
    x = table.x.copy()
    for i, place in places:
        column, mask = table.schema.modelled[i], table.mask[:, i]
        observed = x[mask, i]
        if isinstance(column, AbstractLevels) and not isinstance(column, Ordinal):
            y = full[:, place].argmax(1)
        else:
            y = full[:, place.start] * observed.std() + observed.mean()
            y = y.round().clip(0, len(column.levels) - 1) if isinstance(column, Ordinal) else y
        x[~mask, i] = y[~mask]
    return x


def impute_by_regressions(table: Table, seed: int) -> np.ndarray:
    """Return scikit-learn's ``IterativeImputer`` of standardized numbers and one-hot codes."""
    codes, places = _encode(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        full = IterativeImputer(random_state=seed, max_iter=10).fit_transform(codes)
    return _decode(table, full, places)


def impute_by_neighbours(table: Table, seed: int, rows: int = 5000) -> np.ndarray:
    """Return scikit-learn's ``KNNImputer`` (10 neighbours among some rows: time grows as n squared)."""
    codes, places = _encode(table)
    donors = np.random.default_rng(seed).permutation(len(codes))[:rows]
    full = KNNImputer(n_neighbors=10).fit(codes[donors]).transform(codes)
    return _decode(table, full, places)


def impute_by_vae(table: Table, seed: int) -> np.ndarray:
    """Return conditional means of numbers and ranks (rounded), and the most probable levels."""
    fitted = fit_table(table, rng_key=jax.random.key(seed), progress=False)
    x = np.array(fitted.impute(table, rng_key=jax.random.key(seed + 100)).mean)
    for i, column in enumerate(table.schema.modelled):
        if isinstance(column, AbstractLevels):  # the most probable one, or the mean rank
            x[:, i] = x[:, i].round().clip(0, len(column.levels) - 1)
    return np.where(table.mask, table.x, x)


METHODS: dict[str, Impute] = {
    "mean or mode": impute_by_columns,
    "IterativeImputer": impute_by_regressions,
    "KNNImputer": impute_by_neighbours,
    "VAE.for_table": impute_by_vae,
}


def compare(folder: Path, percent: int, method: str, seed: int) -> dict[str, float]:
    """Return the errors of one method under one mask."""
    frame, types = read_table(folder)
    complete = Table(frame, types=types)
    hidden = read_mask(folder, percent, frame.shape)
    table = Table(frame.mask(hidden), types=complete.schema)
    return measure_errors(METHODS[method](table, seed), complete, hidden)
