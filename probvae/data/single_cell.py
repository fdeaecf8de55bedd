"""A reader of single-cell counts: a dense matrix, with the log library size as context."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from probvae.data.archives import read_npz
from probvae.data.read_errors import DataError, check_size, explain_read_errors
from probvae.data.source_arrays import Source, check_rows

ARRAYS = ("data", "indices", "indptr", "shape", "variable_genes", "permutation")


def read_pbmc3k(path: Path, *, held_out: int = 270) -> Source:
    """Read UMI counts, (cells, variable genes) uint16, in the file's random order, without valid.

    The context is log(row sum over the variable genes), (cells, 1) float32.

    Raises:
        ValueError: the file is corrupt, or a cell is empty.
    """
    arrays = read_npz(path, names=ARRAYS)
    with explain_read_errors(path, expected="a matrix of counts in CSR form, with variable genes"):
        counts = _to_dense(arrays, what=str(path))[arrays["permutation"]]
        check_rows(counts, more_than=held_out, what=str(path))
        splits = {"train": counts[:-held_out], "test": counts[-held_out:]}
        context = {s: _log_library_size(a, what=f"{path}[{s}]") for s, a in splits.items()}
        return Source(
            "pbmc3k",
            arrays=splits,
            kind="counts",
            context=context,
            origin="UMI counts, 2,700 blood cells, 2,000 variable genes (10x Genomics, CC BY 4.0)",
            rule="the file's permutation, first 2,430 train, last 270 test",
        )


def _to_dense(arrays: Mapping[str, np.ndarray], *, what: str) -> np.ndarray:
    """Return the variable columns of the CSR matrix, (cells, variable genes)."""
    # The dense matrix of all genes would be 16 times as large. `column` maps a gene's number in the
    # file to its column here, and -1 marks the genes that are not variable.
    cells, genes = (int(size) for size in arrays["shape"])
    variable = arrays["variable_genes"].astype(np.int64)
    check_size(8 * genes + 2 * cells * len(variable), what=f"{what}, its matrix of counts,")
    column = np.full(genes, -1)
    column[variable] = np.arange(len(variable))
    columns = column[arrays["indices"]]
    rows = _row_numbers(arrays["indptr"].astype(np.int64), cells, len(columns), what=what)
    counts = np.zeros((cells, len(variable)), np.uint16)
    counts[rows[columns >= 0], columns[columns >= 0]] = arrays["data"][columns >= 0]
    return counts


def _row_numbers(starts: np.ndarray, cells: int, size: int, *, what: str) -> np.ndarray:
    """Return the row of each stored value, from the start of each row."""
    lengths = np.diff(starts)
    if len(lengths) != cells or lengths.min() < 0 or lengths.sum() != size:
        fix = "The file is corrupt. Download it again."
        got = f"{len(lengths)} rows of {lengths.sum()}. {fix}"
        raise DataError(f"{what}: expected indptr with the {cells} rows of {size} values; got {got}")
    return np.repeat(np.arange(cells), lengths)


def _log_library_size(counts: np.ndarray, *, what: str) -> np.ndarray:
    size = counts.sum(axis=1, keepdims=True, dtype=np.int64)
    if not size.all():
        got = f"none in row {int(size.argmin())}. Drop empty cells."
        raise DataError(f"{what}: expected counts in every cell; got {got}")
    return np.log(size).astype(np.float32)
