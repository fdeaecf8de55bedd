"""A reader of your own files: one function per suffix, and the rule that splits an array."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from probvae.data.archives import list_npz_names, map_npy, read_npy, read_npz
from probvae.data.dataset import SPLITS
from probvae.data.idx import read_idx
from probvae.data.image_folder import drop_opaque_alpha, read_images
from probvae.data.read_errors import DataError
from probvae.data.source_arrays import Source, check_array, infer_kind
from probvae.data.tables import read_csv

Arrays = Mapping[str, np.ndarray]

RULE = "rows shuffled by Generator(PCG64(0)), then 80 % train, 10 % valid, 10 % test"
OPAQUE = "the alpha channel, opaque everywhere, is dropped"

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
    """Return whether the name of `path` has one of the accepted suffixes."""
    return path.name.lower().endswith(ACCEPTED)


def read_file(path: Path) -> Source:
    """Read a file with an `ACCEPTED` suffix, or a folder. Anything else raises `ValueError`."""
    if (path / "train.npy").is_file():
        return _map_splits(path)
    if path.is_dir():
        return _split(path, read_images(path))
    if path.name.lower().endswith(".npz"):
        return _read_archive(path)
    for suffix, read in READERS.items():
        if path.name.lower().endswith(suffix):
            return _split(path, read(path))
    expected = f"a folder of images or a file that ends in {', '.join(ACCEPTED)}"
    fix = "Use np.save('data.npy', array), with one datum per row."
    raise DataError(f"{path}: expected {expected}. {fix}")


def split_rows(n: int, *, what: str) -> dict[str, np.ndarray]:
    """Return row numbers by split, as `RULE` says, at least one each. n < 3 raises `ValueError`."""
    if n < 3:
        raise DataError(f"{what}: expected at least 3 rows, for train, valid and test; got {n}.")
    held_out = max(1, n // 10)  # rows of valid, and as many of test
    rows = np.random.Generator(np.random.PCG64(0)).permutation(n)
    return dict(zip(SPLITS, np.split(rows, [n - 2 * held_out, n - held_out]), strict=True))


def _split(path: Path, array: np.ndarray, *, labels: np.ndarray | None = None) -> Source:
    array = check_array(array, what=str(path))
    colours = drop_opaque_alpha(array)
    rule = RULE if colours is array else f"{OPAQUE}; {RULE}"
    rows = split_rows(len(colours), what=str(path))
    if labels is not None and len(labels) != len(colours):
        raise DataError(f"{path}: expected {len(colours)} labels, one per row; got {len(labels)}.")
    split_labels = {} if labels is None else {split: labels[index] for split, index in rows.items()}
    arrays = {split: colours[index] for split, index in rows.items()}
    return _make_source(path, arrays, split_labels, rule)


def _read_archive(path: Path) -> Source:
    names = list_npz_names(path)
    arrays = [name for name in names if not name.endswith("labels")]
    if len(arrays) == 1:
        labels = [name for name in names if name not in arrays][:1]
        contents = read_npz(path, names=[*arrays, *labels])
        return _split(path, contents[arrays[0]], labels=contents[labels[0]] if labels else None)
    if "train" not in names or "test" not in names:
        expected = "one array, or arrays train and test (and valid, train_labels, ...)"
        fix = "Use np.savez('data.npz', train=..., valid=..., test=...)."
        raise DataError(f"{path}: expected {expected}; got {names}. {fix}")
    return _read_splits(path, [split for split in SPLITS if split in names], names)


def _read_splits(path: Path, splits: list[str], names: tuple[str, ...]) -> Source:
    labelled = [split for split in splits if f"{split}_labels" in names]
    contents = read_npz(path, names=[*splits, *(f"{split}_labels" for split in labelled)])
    arrays = {split: check_array(contents[split], what=f"{path}[{split}]") for split in splits}
    labels = {split: contents[f"{split}_labels"] for split in labelled}
    # the channel is dropped only if it is opaque in every split: they keep one event shape
    colours = {split: drop_opaque_alpha(array) for split, array in arrays.items()}
    if all(colours[split] is not arrays[split] for split in splits):
        return _make_source(path, colours, labels, f"{OPAQUE}; the splits of the file")
    return _make_source(path, arrays, labels, "the splits of the file")


def _map_splits(folder: Path) -> Source:
    """Map the `.npy` files of a folder. `fit` reads the training rows as it needs them."""
    paths = {split: folder / f"{split}.npy" for split in SPLITS}
    paths = {split: path for split, path in paths.items() if path.is_file()}
    if "test" not in paths:
        fix = "Use np.save(folder / 'test.npy', rows that no training uses)."
        expected = "train.npy and test.npy (and valid.npy)"
        raise DataError(f"{folder}: expected {expected}; got {sorted(paths)}. {fix}")
    arrays = {split: check_array(map_npy(path), what=str(path)) for split, path in paths.items()}
    label_paths = {split: folder / f"{split}_labels.npy" for split in paths}
    labels = {split: read_npy(path) for split, path in label_paths.items() if path.is_file()}
    return _make_source(folder, arrays, labels, "the files of the folder")


def _make_source(path: Path, arrays: Arrays, labels: Arrays, rule: str) -> Source:
    kind = infer_kind(arrays, what=str(path))
    origin = f"{kind} data of {path}"
    return Source(path.name, arrays=arrays, kind=kind, labels=labels, origin=origin, rule=rule)
