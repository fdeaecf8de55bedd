"""Files of the user's own: a reader by suffix, and the rule of splitting."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from probvae.data.archives import map_npy, npz_names, read_npy, read_npz
from probvae.data.dataset import SPLITS
from probvae.data.idx import read_idx
from probvae.data.image_folder import read_images, without_opaque_alpha
from probvae.data.read_errors import DataError
from probvae.data.source_arrays import Source, check_array, kind_of
from probvae.data.tables import read_csv

RULE = "rows shuffled by Generator(PCG64(0)), then 80 % train, 10 % valid, 10 % test"
OPAQUE = "the alpha channel, opaque everywhere, is left out"

READERS: dict[str, Callable[[Path], np.ndarray]] = {
    ".npy": read_npy,
    ".csv": read_csv,
    ".idx": read_idx,
    ".idx.gz": read_idx,
    "-ubyte": read_idx,
    "-ubyte.gz": read_idx,
}
ACCEPTED = (*READERS, ".npz")


def has_reader(path: Path) -> bool:
    """Tell whether the name of `path` ends as one of the accepted files does."""
    return path.name.lower().endswith(ACCEPTED)


def read_file(path: Path) -> Source:
    """Read one of the `ACCEPTED` files or a folder; ValueError where it is neither."""
    if (path / "train.npy").is_file():
        return _map_splits(path)
    if path.is_dir():
        return _split(path, read_images(path))
    if path.name.lower().endswith(".npz"):
        return _read_archive(path)
    for suffix, read in READERS.items():
        if path.name.lower().endswith(suffix):
            return _split(path, read(path))
    raise DataError(
        f"{path}: expected a folder of images or a file that ends in {', '.join(ACCEPTED)}; "
        "usual fix: np.save('data.npy', array), one datum a row"
    )


def split_rows(n: int, *, what: str) -> dict[str, np.ndarray]:
    """Return row numbers by split, by `RULE`, at least one each; ValueError for n < 3."""
    if n < 3:
        raise DataError(f"{what}: expected at least 3 rows, for train, valid and test, got {n}")
    held_out = max(1, n // 10)
    rows = np.random.Generator(np.random.PCG64(0)).permutation(n)
    return dict(zip(SPLITS, np.split(rows, [n - 2 * held_out, n - held_out]), strict=True))


def _split(path, array, *, labels=None):
    array = check_array(array, what=str(path))
    colours = without_opaque_alpha(array)
    rule = RULE if colours is array else f"{OPAQUE}; {RULE}"
    array = colours
    rows = split_rows(len(array), what=str(path))
    if labels is not None and len(labels) != len(array):
        raise DataError(f"{path}: expected {len(array)} labels, one a row, got {len(labels)}")
    labels = {} if labels is None else {split: labels[index] for split, index in rows.items()}
    return _source(path, {split: array[index] for split, index in rows.items()}, labels, rule)


def _read_archive(path):
    names = npz_names(path)
    arrays = [name for name in names if not name.endswith("labels")]
    if len(arrays) == 1:
        return _read_single(path, arrays[0], [name for name in names if name not in arrays])
    if "train" not in names or "test" not in names:
        raise DataError(
            f"{path}: expected one array, or arrays train and test (and valid, train_labels, ...), "
            f"got {names}; usual fix: np.savez('data.npz', train=..., valid=..., test=...)"
        )
    return _read_splits(path, [split for split in SPLITS if split in names], names)


def _read_single(path, name, labels):
    found = read_npz(path, names=[name, *labels[:1]])
    return _split(path, found[name], labels=found[labels[0]] if labels else None)


def _read_splits(path, splits, names):
    labelled = [split for split in splits if f"{split}_labels" in names]
    found = read_npz(path, names=[*splits, *(f"{split}_labels" for split in labelled)])
    arrays = {split: check_array(found[split], what=f"{path}[{split}]") for split in splits}
    labels = {split: found[f"{split}_labels"] for split in labelled}
    colours = {split: without_opaque_alpha(array) for split, array in arrays.items()}
    if all(colours[split] is not arrays[split] for split in splits):
        return _source(path, colours, labels, f"{OPAQUE}; the splits of the file")
    return _source(path, arrays, labels, "the splits of the file")


def _map_splits(folder):
    """Map the `.npy` files of a folder: its training rows are read as they are wanted, by `fit`."""
    paths = {split: folder / f"{split}.npy" for split in SPLITS}
    there = {split: path for split, path in paths.items() if path.is_file()}
    if "test" not in there:
        raise DataError(
            f"{folder}: expected train.npy and test.npy (and valid.npy), got {sorted(there)}; usual "
            "fix: np.save(folder / 'test.npy', rows that no training sees)"
        )
    arrays = {split: check_array(map_npy(path), what=str(path)) for split, path in there.items()}
    named = {split: folder / f"{split}_labels.npy" for split in there}
    labels = {split: read_npy(path) for split, path in named.items() if path.is_file()}
    return _source(folder, arrays, labels, "the files of the folder")


def _source(path, arrays, labels, rule):
    kind = kind_of(arrays, what=str(path))
    return Source(
        path.name,
        arrays=arrays,
        kind=kind,
        labels=labels,
        origin=f"{kind} data of {path}",
        rule=rule,
    )
