"""The known data sets: a table of small functions, each from a folder of files to a `Source`."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from probvae.data import dsprites
from probvae.data.archives import map_npy, read_npz
from probvae.data.dataset import SPLITS
from probvae.data.idx import read_idx
from probvae.data.read_errors import DataError, reading
from probvae.data.single_cell import read_pbmc3k
from probvae.data.source_arrays import Source, check_array, check_rows

MNIST_FILES = (
    "mnist/train-images-idx3-ubyte.gz",
    "mnist/train-labels-idx1-ubyte.gz",
    "mnist/t10k-images-idx3-ubyte.gz",
    "mnist/t10k-labels-idx1-ubyte.gz",
)
STATIC_FILE = "binarized-mnist/binarized_mnist.npz"
OMNIGLOT_FILE = "omniglot/omniglot_28.npz"
FREYFACES_FILE = "freyfaces/freyfaces.npz"
CELEBA_FILE = "celebahq/celebahq64.npy"
LFW_FILE = "lfw64/lfw64.npz"
PBMC_FILE = "pbmc3k/pbmc3k_counts.npz"


@dataclass(frozen=True)
class KnownSource:
    """A known data set: what it is, its files below the data directory, and how they are read."""

    summary: str
    _: KW_ONLY
    files: tuple[str, ...]
    read: Callable[[Path], Source]


def digits(root: Path) -> Source:
    """Read scikit-learn's 8x8 digits, grey levels 0..16; binarised once unless asked otherwise."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.Generator(np.random.PCG64(1797)).permutation(len(found.target))
    rows = dict(zip(SPLITS, np.split(order, [1197, 1497]), strict=True))
    return Source(
        "digits",
        arrays={split: found.images[index].astype(np.uint8) for split, index in rows.items()},
        kind="grey",
        levels=16.0,
        labels={split: found.target[index].astype(np.uint8) for split, index in rows.items()},
        origin="handwritten digits, 8x8, of scikit-learn (Alpaydin, Kaynak 1998)",
        rule="split 1,197 / 300 / 300 by Generator(PCG64(1797)).permutation",
        default="static",
    )


def mnist(root: Path, *, held_out: int = 10_000) -> Source:
    """Read MNIST, 28x28, 0..255: the last 10,000 training rows are valid."""
    train, train_labels, test, test_labels = (read_idx(root / file) for file in MNIST_FILES)
    images = _last_rows_valid(train, held_out, what=str(root / MNIST_FILES[0]))
    return _grey(
        "mnist",
        {**images, "test": test},
        labels={
            **_last_rows_valid(train_labels, held_out, what=str(root / MNIST_FILES[1])),
            "test": test_labels,
        },
        origin="handwritten digits, 28x28 (LeCun et al. 1998)",
        rule="first 50,000 training rows train, last 10,000 valid, t10k test",
    )


def binarized_mnist(root: Path) -> Source:
    """Read the static binarisation of MNIST, 28x28, bit-packed, in its published splits."""
    packed = read_npz(root / STATIC_FILE, names=SPLITS)
    return Source(
        "binarized-mnist",
        arrays={
            split: _unpack(array, what=f"{root / STATIC_FILE}[{split}]")
            for split, array in packed.items()
        },
        kind="binary",
        origin="static binarised MNIST, 28x28 (Salakhutdinov, Murray 2008; Larochelle)",
        rule="the published splits (test rows are sorted by digit)",
    )


def omniglot(root: Path, *, held_out: int = 1_345) -> Source:
    """Read Omniglot, 28x28, 0..255: the last 1,345 training rows are valid."""
    path = root / OMNIGLOT_FILE
    found = read_npz(path, names=["train", "test", "train_character", "test_character"])
    return _grey(
        "omniglot",
        {**_last_rows_valid(found["train"], held_out, what=str(path)), "test": found["test"]},
        labels={
            **_last_rows_valid(found["train_character"], held_out, what=str(path)),
            "test": found["test_character"],
        },
        origin="handwritten characters, 28x28 (Lake et al. 2015; not the pixels of chardata.mat)",
        rule="last 1,345 training rows valid, the file's test",
    )


def freyfaces(root: Path, *, held_out: int = 200) -> Source:
    """Read Frey's face, 28x20, 0..255, in the file's random order: the last 400 are held out."""
    path = root / FREYFACES_FILE
    found = read_npz(path, names=["images", "permutation"])
    with reading(path, expected="a permutation of the images"):
        images = found["images"][found["permutation"]]
        check_rows(images, more_than=2 * held_out, what=str(path))
        cuts = [len(images) - 2 * held_out, len(images) - held_out]
        return _grey(
            "freyfaces",
            dict(zip(SPLITS, np.split(images, cuts), strict=True)),
            origin="frames of one face, 28x20 (Frey, Roweis)",
            rule="the file's permutation, first 1,565 train, then 200 valid and 200 test",
        )


def lfw64(root: Path) -> Source:
    """Read Labeled Faces in the Wild, 64x64x3, 0..255, one picture a person, so without labels."""
    return _grey(
        "lfw64",
        read_npz(root / LFW_FILE, names=SPLITS),
        origin="faces in colour, 64x64 (Huang et al. 2007, deep-funneled 2012)",
        rule="the file's splits, no person in two",
    )


def celebahq(root: Path) -> Source:
    """Map CelebA-HQ, 64x64x3, 0..255, as `prepare_images` wrote it: the last 5 % are held out."""
    path = root / CELEBA_FILE
    images = map_npy(path)
    if images.shape[1:] != (64, 64, 3):
        raise DataError(
            f"{path}: expected images (n, 64, 64, 3), got {images.shape}; usual fix: "
            "prepare_images(<folder of CelebA-HQ>, path, overwrite=True)"
        )
    check_rows(images, more_than=19, what=str(path))
    cut = 95 * len(images) // 100
    return _grey(
        "celebahq",
        {"train": images[:cut], "valid": images[cut:], "test": images[cut:]},
        origin="faces in colour, 64x64 (Karras et al. 2018, CelebA-HQ)",
        rule="first 95 % train, last 5 % valid, and no test: the same 5 % stand there",
    )


def dsprites_subset(root: Path, *, sizes: tuple[int, ...] = (20_000, 2_000, 2_000)) -> Source:
    """Draw a subset of dSprites, 64x64: the context holds its factors' values, the label the shape."""
    chosen = np.random.Generator(np.random.PCG64(0)).choice(
        dsprites.NUM_IMAGES, sum(sizes), replace=False
    )
    rows = dict(zip(SPLITS, np.split(chosen, np.cumsum(sizes)[:-1]), strict=True))
    levels = {split: dsprites.factors(index) for split, index in rows.items()}
    return Source(
        "dsprites",
        arrays={split: dsprites.render(level) for split, level in levels.items()},
        kind="binary",
        labels={split: level[:, 0].astype(np.uint8) for split, level in levels.items()},
        context={s: dsprites.values(level).astype(np.float32) for s, level in levels.items()},
        origin="shapes by five factors, 64x64, drawn anew after Matthey et al. 2017 (not their file)",
        rule=f"{sum(sizes):,} of {dsprites.NUM_IMAGES:,} images by Generator(PCG64(0)).choice",
    )


def _grey(name, arrays, *, labels=None, origin, rule):
    arrays = {split: check_array(array, what=f"{name}[{split}]") for split, array in arrays.items()}
    for split, array in arrays.items():
        if array.dtype != np.uint8:
            raise DataError(f"{name}[{split}]: expected grey levels as uint8, got {array.dtype}")
    return Source(name, arrays=arrays, kind="grey", labels=labels or {}, origin=origin, rule=rule)


def _last_rows_valid(array, held_out, *, what):
    check_rows(array, more_than=held_out, what=what)
    return {"train": array[:-held_out], "valid": array[-held_out:]}


def _unpack(packed, *, what):
    if packed.dtype != np.uint8 or packed.shape[1:] != (98,):
        raise DataError(
            f"{what}: expected bit-packed rows, uint8 (n, 98), got {packed.dtype} {packed.shape}; "
            "usual fix: np.packbits(images.reshape(n, 784), axis=1)"
        )
    return np.unpackbits(packed, axis=1, count=784).reshape(-1, 28, 28)


KNOWN: dict[str, KnownSource] = {
    "digits": KnownSource("handwritten digits, 8x8, 0..16, binarised once", files=(), read=digits),
    "mnist": KnownSource("handwritten digits, 28x28, grey", files=MNIST_FILES, read=mnist),
    "binarized-mnist": KnownSource(
        "static binarised MNIST, 28x28", files=(STATIC_FILE,), read=binarized_mnist
    ),
    "omniglot": KnownSource(
        "handwritten characters, 28x28, grey", files=(OMNIGLOT_FILE,), read=omniglot
    ),
    "freyfaces": KnownSource("frames of a face, 28x20, grey", files=(FREYFACES_FILE,), read=freyfaces),
    "lfw64": KnownSource("faces in colour, 64x64x3", files=(LFW_FILE,), read=lfw64),
    "celebahq": KnownSource(
        "faces in colour, 64x64x3, as prepare_images writes them", files=(CELEBA_FILE,), read=celebahq
    ),
    "dsprites": KnownSource(
        "shapes by five known factors, 64x64, drawn when loaded", files=(), read=dsprites_subset
    ),
    "pbmc3k": KnownSource(
        "UMI counts of 2,700 blood cells, 2,000 genes",
        files=(PBMC_FILE,),
        read=lambda root: read_pbmc3k(root / PBMC_FILE),
    ),
}
