"""Single-cell counts: dense over the variable genes, with the log library size as context."""

from pathlib import Path

import numpy as np

from probvae.data.archives import read_npz
from probvae.data.read_errors import DataError, check_size, reading
from probvae.data.source_arrays import Source, check_rows

ARRAYS = ("data", "indices", "indptr", "shape", "variable_genes", "permutation")


def read_pbmc3k(path: Path, *, held_out: int = 270) -> Source:
    """Read UMI counts, (cells, variable genes) uint16, in the file's random order, without valid.

    The context is log(row sum over the variable genes), (cells, 1) float32. ValueError where the
    file is damaged, or a cell is empty.
    """
    found = read_npz(path, names=ARRAYS)
    with reading(path, expected="a matrix of counts in CSR form, with variable genes"):
        counts = _dense(found, what=str(path))[found["permutation"]]
        check_rows(counts, more_than=held_out, what=str(path))
        arrays = {"train": counts[:-held_out], "test": counts[-held_out:]}
        return Source(
            "pbmc3k",
            arrays=arrays,
            kind="counts",
            context={s: _log_library_size(a, what=f"{path}[{s}]") for s, a in arrays.items()},
            origin="UMI counts, 2,700 blood cells, 2,000 variable genes (10x Genomics, CC BY 4.0)",
            rule="the file's permutation, first 2,430 train, last 270 test",
        )


def _dense(found, *, what):
    """Return the variable columns of the CSR matrix, (cells, variable genes)."""
    cells, genes = (int(size) for size in found["shape"])
    chosen = found["variable_genes"].astype(np.int64)
    check_size(8 * genes + 2 * cells * len(chosen), what=f"{what}, its matrix of counts,")
    column = np.full(genes, -1)
    column[chosen] = np.arange(len(chosen))
    columns = column[found["indices"]]
    rows = _row_numbers(found["indptr"].astype(np.int64), cells, len(columns), what=what)
    counts = np.zeros((cells, len(chosen)), np.uint16)
    counts[rows[columns >= 0], columns[columns >= 0]] = found["data"][columns >= 0]
    return counts


def _row_numbers(starts, cells, size, *, what):
    lengths = np.diff(starts)
    if len(lengths) != cells or lengths.min() < 0 or lengths.sum() != size:
        raise DataError(
            f"{what}: expected indptr with the {cells} rows of {size} values, got {len(lengths)} "
            f"rows of {lengths.sum()}; usual fix: the file is damaged, fetch it again"
        )
    return np.repeat(np.arange(cells), lengths)


def _log_library_size(counts, *, what):
    size = counts.sum(axis=1, keepdims=True, dtype=np.int64)
    if not size.all():
        raise DataError(
            f"{what}: expected counts in every cell, got none in row {int(size.argmin())}; "
            "usual fix: drop empty cells"
        )
    return np.log(size).astype(np.float32)
