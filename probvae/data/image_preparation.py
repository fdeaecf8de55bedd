"""Preparation of images: any size in, small squares in one memory-mappable `.npy` file out."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from probvae.checks import PATH, check_kind, check_positive_integer
from probvae.data.encoded_images import ImageRules, read_squares
from probvae.data.read_errors import DataError
from probvae.short_repr import short_repr
from probvae.typing import Shape


@short_repr
class Prepared(NamedTuple):
    """The file ``path`` that `prepare_images` wrote, its ``shape``, and the ``skipped`` images."""

    path: Path
    shape: tuple[int, ...]
    skipped: tuple[str, ...]


def prepare_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size: int = 64,
    mixed_sizes: bool = False,
    skip_corrupt: bool = False,
    overwrite: bool = False,
) -> Prepared:
    """Resize images to squares of one size and write them as one uint8 array, 0..255.

    Pillow resizes the central square of each image (area-weighted, antialiased). One decoded image is
    in memory at a time, so the array may be larger than the memory. The file appears only when it is
    complete. ``load("celebahq")`` maps it and copies no training row. ``fit`` streams the rows if they
    exceed a quarter of the free memory. Otherwise it puts them on the device as uint8.

    Args:
        source: a folder of images (sorted by name), a parquet file of encoded images or a folder of
            them (needs pyarrow), or a `.npy` file of uint8 ``(n, height, width[, 3])``.
        out: the `.npy` file to write, ``(n, size, size)`` for grey images or ``(n, size, size, 3)``.
            ``load("celebahq")`` reads ``$PROBVAE_DATA/celebahq/celebahq64.npy``.
        size: side of the squares in pixels. No image is enlarged.
        mixed_sizes: accept images of several sizes. Otherwise a second size is an error.
        skip_corrupt: skip files that cannot be decoded. Otherwise the first one is an error.
        overwrite: replace an existing file.

    Returns:
        the path, the shape and the names of the skipped files.

    Raises:
        FileNotFoundError: the source does not exist.
        FileExistsError: the file exists and ``overwrite`` is False.
        ImportError: Pillow, or pyarrow for parquet, is not installed.
        ValueError: a corrupt image (named), images of mixed sizes, grey and colour images together, an
            image smaller than ``size``, or a source without images.
    """
    check_kind("source", source, PATH)
    check_kind("out", out, PATH)
    check_positive_integer("prepare_images(size=...)", size)
    source, out = Path(source), Path(out)
    if not source.exists():
        raise FileNotFoundError(f"expected a file or folder at {source.absolute()}; got nothing.")
    if out.suffix != ".npy":
        raise DataError(f"expected out to end in .npy; got {out}. Use {out.with_suffix('.npy')}.")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists. Use another name, or overwrite=True.")
    skipped: list[str] = []
    rules = ImageRules(size, mixed_sizes=mixed_sizes, skipped=skipped if skip_corrupt else None)
    with _open_atomically(out) as stream:
        shape = _write_array(stream, read_squares(source, rules), what=str(source))
    return Prepared(out, shape, tuple(skipped))


@contextmanager
def _open_atomically(out: Path) -> Iterator[BufferedIOBase]:
    """Open a temporary file and rename it at the end. An error leaves no file."""
    # renaming is atomic on one file system: a reader finds no file, or a complete one
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _write_array(stream: BufferedIOBase, images: Iterable[np.ndarray], *, what: str) -> Shape:
    """Write one image after another, without their number in advance."""
    # The header says how many rows follow, which is known only at the end. It is written twice: first
    # with 0 rows, at last with the count. NumPy pads its headers, so that both have one length.
    count, shape = 0, ()
    for image in images:
        if not count:
            shape = image.shape
            start = _write_header(stream, (0, *shape))
        stream.write(image.tobytes())
        count += 1
    if not count:
        raise DataError(f"{what}: expected images; got none that can be read.")
    stream.seek(0)
    if _write_header(stream, (count, *shape)) != start:
        raise RuntimeError("expected NumPy to pad the header of a .npy file; it grew with the count.")
    return (count, *shape)


def _write_header(stream: BufferedIOBase, shape: Shape) -> int:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.tell()
