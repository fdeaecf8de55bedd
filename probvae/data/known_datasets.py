"""The known data sets: a table of readers, each from the data directory to a `Source`."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from probvae.data import dsprites
from probvae.data.archives import map_npy, read_npz
from probvae.data.dataset import SPLITS
from probvae.data.idx import read_idx
from probvae.data.read_errors import DataError, explain_read_errors
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

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class KnownSource:
    """A known data set: a summary, its files in the data directory, and their reader."""

    summary: str
    _: KW_ONLY
    files: tuple[str, ...]
    read: Callable[[Path], Source]


def read_digits(root: Path) -> Source:
    """Read scikit-learn's 8x8 digits, grey levels 0..16. Their default is one binarisation."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.Generator(np.random.PCG64(1797)).permutation(len(digits.target))
    rows = dict(zip(SPLITS, np.split(order, [1197, 1497]), strict=True))
    return Source(
        "digits",
        arrays={split: digits.images[index].astype(np.uint8) for split, index in rows.items()},
        kind="grey",
        levels=16.0,
        labels={split: digits.target[index].astype(np.uint8) for split, index in rows.items()},
        origin="handwritten digits, 8x8, of scikit-learn (Alpaydin, Kaynak 1998)",
        rule="split 1,197 / 300 / 300 by Generator(PCG64(1797)).permutation",
        default="static",
    )


def read_mnist(root: Path, *, held_out: int = 10_000) -> Source:
    """Read MNIST, 28x28, 0..255. The last 10,000 training rows are valid."""
    train, train_labels, test, test_labels = (read_idx(root / file) for file in MNIST_FILES)
    images = _split_last_rows(train, held_out, what=str(root / MNIST_FILES[0]))
    return _make_grey_source(
        "mnist",
        {**images, "test": test},
        labels={
            **_split_last_rows(train_labels, held_out, what=str(root / MNIST_FILES[1])),
            "test": test_labels,
        },
        origin="handwritten digits, 28x28 (LeCun et al. 1998)",
        rule="first 50,000 training rows train, last 10,000 valid, t10k test",
    )


def read_binarized_mnist(root: Path) -> Source:
    """Read the static binarisation of MNIST, 28x28, bit-packed, in its published splits."""
    packed = read_npz(root / STATIC_FILE, names=SPLITS)
    return Source(
        "binarized-mnist",
        arrays={
            split: _unpack_bits(array, what=f"{root / STATIC_FILE}[{split}]")
            for split, array in packed.items()
        },
        kind="binary",
        origin="static binarised MNIST, 28x28 (Salakhutdinov, Murray 2008; Larochelle)",
        rule="the published splits (test rows are sorted by digit)",
    )


def read_omniglot(root: Path, *, held_out: int = 1_345) -> Source:
    """Read Omniglot, 28x28, 0..255. The last 1,345 training rows are valid."""
    path = root / OMNIGLOT_FILE
    arrays = read_npz(path, names=["train", "test", "train_character", "test_character"])
    return _make_grey_source(
        "omniglot",
        {**_split_last_rows(arrays["train"], held_out, what=str(path)), "test": arrays["test"]},
        labels={
            **_split_last_rows(arrays["train_character"], held_out, what=str(path)),
            "test": arrays["test_character"],
        },
        origin="handwritten characters, 28x28 (Lake et al. 2015; not the pixels of chardata.mat)",
        rule="last 1,345 training rows valid, the file's test",
    )


def read_freyfaces(root: Path, *, held_out: int = 200) -> Source:
    """Read Frey's face, 28x20, 0..255, in the file's random order. The last 400 are held out."""
    path = root / FREYFACES_FILE
    arrays = read_npz(path, names=["images", "permutation"])
    with explain_read_errors(path, expected="a permutation of the images"):
        images = arrays["images"][arrays["permutation"]]
        check_rows(images, more_than=2 * held_out, what=str(path))
        cuts = [len(images) - 2 * held_out, len(images) - held_out]
        return _make_grey_source(
            "freyfaces",
            dict(zip(SPLITS, np.split(images, cuts), strict=True)),
            origin="frames of one face, 28x20 (Frey, Roweis)",
            rule="the file's permutation, first 1,565 train, then 200 valid and 200 test",
        )


def read_lfw64(root: Path) -> Source:
    """Read Labeled Faces in the Wild, 64x64x3, 0..255: one picture per person, without labels."""
    return _make_grey_source(
        "lfw64",
        read_npz(root / LFW_FILE, names=SPLITS),
        origin="faces in colour, 64x64 (Huang et al. 2007, deep-funneled 2012)",
        rule="the file's splits, no person in two",
    )


def map_celebahq(root: Path) -> Source:
    """Map CelebA-HQ, 64x64x3, 0..255, as `prepare_images` wrote it. The last 5 % are held out."""
    path = root / CELEBA_FILE
    images = map_npy(path)
    if images.shape[1:] != (64, 64, 3):
        fix = "Run prepare_images(<folder of CelebA-HQ>, path, overwrite=True)."
        raise DataError(f"{path}: expected images (n, 64, 64, 3); got {images.shape}. {fix}")
    check_rows(images, more_than=19, what=str(path))
    cut = 95 * len(images) // 100
    return _make_grey_source(
        "celebahq",
        {"train": images[:cut], "valid": images[cut:], "test": images[cut:]},
        origin="faces in colour, 64x64 (Karras et al. 2018, CelebA-HQ)",
        rule="first 95 % train, last 5 % valid, and test repeats valid",
    )


def render_dsprites(root: Path, *, sizes: tuple[int, ...] = (20_000, 2_000, 2_000)) -> Source:
    """Render a subset of dSprites, 64x64. The context holds the factors, the label the shape."""
    index = np.random.Generator(np.random.PCG64(0)).choice(
        dsprites.NUM_IMAGES, sum(sizes), replace=False
    )
    rows = dict(zip(SPLITS, np.split(index, np.cumsum(sizes)[:-1]), strict=True))
    levels = {split: dsprites.factors(numbers) for split, numbers in rows.items()}
    return Source(
        "dsprites",
        arrays={split: dsprites.render(level) for split, level in levels.items()},
        kind="binary",
        labels={split: level[:, 0].astype(np.uint8) for split, level in levels.items()},
        context={s: dsprites.values(level).astype(np.float32) for s, level in levels.items()},
        origin="shapes by five factors, 64x64, rendered after Matthey et al. 2017 (not their file)",
        rule=f"{sum(sizes):,} of {dsprites.NUM_IMAGES:,} images by Generator(PCG64(0)).choice",
    )


def _make_grey_source(
    name: str, arrays: Arrays, *, labels: Arrays | None = None, origin: str, rule: str
) -> Source:
    arrays = {split: check_array(array, what=f"{name}[{split}]") for split, array in arrays.items()}
    for split, array in arrays.items():
        if array.dtype != np.uint8:
            raise DataError(f"{name}[{split}]: expected uint8 grey levels; got {array.dtype}.")
    return Source(name, arrays=arrays, kind="grey", labels=labels or {}, origin=origin, rule=rule)


def _split_last_rows(array: np.ndarray, held_out: int, *, what: str) -> dict[str, np.ndarray]:
    check_rows(array, more_than=held_out, what=what)
    return {"train": array[:-held_out], "valid": array[-held_out:]}


def _unpack_bits(packed: np.ndarray, *, what: str) -> np.ndarray:
    if packed.dtype != np.uint8 or packed.shape[1:] != (98,):
        got = f"{packed.dtype} {packed.shape}. Use np.packbits(images.reshape(n, 784), axis=1)."
        raise DataError(f"{what}: expected bit-packed rows, uint8 (n, 98); got {got}")
    return np.unpackbits(packed, axis=1, count=784).reshape(-1, 28, 28)


KNOWN: dict[str, KnownSource] = {
    "digits": KnownSource("handwritten digits, 8x8, grey levels 0..16", files=(), read=read_digits),
    "mnist": KnownSource("handwritten digits, 28x28, grey", files=MNIST_FILES, read=read_mnist),
    "binarized-mnist": KnownSource(
        "static binarised MNIST, 28x28", files=(STATIC_FILE,), read=read_binarized_mnist
    ),
    "omniglot": KnownSource(
        "handwritten characters, 28x28, grey", files=(OMNIGLOT_FILE,), read=read_omniglot
    ),
    "freyfaces": KnownSource(
        "frames of a face, 28x20, grey", files=(FREYFACES_FILE,), read=read_freyfaces
    ),
    "lfw64": KnownSource("faces in colour, 64x64x3", files=(LFW_FILE,), read=read_lfw64),
    "celebahq": KnownSource(
        "faces in colour, 64x64x3, as prepare_images writes them",
        files=(CELEBA_FILE,),
        read=map_celebahq,
    ),
    "dsprites": KnownSource(
        "shapes by five known factors, 64x64, rendered when loaded", files=(), read=render_dsprites
    ),
    "pbmc3k": KnownSource(
        "UMI counts of 2,700 blood cells, 2,000 genes",
        files=(PBMC_FILE,),
        read=lambda root: read_pbmc3k(root / PBMC_FILE),
    ),
}
