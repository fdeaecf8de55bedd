"""Images of any size, brought once to small squares in one `.npy` file that can be memory-mapped."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from probvae.checks import PATH, check_kind
from probvae.data.encoded_images import Rules, squares
from probvae.data.read_errors import DataError


class Prepared(NamedTuple):
    """What `prepare_images` wrote: the file `path`, its array's `shape`, the names of the `skipped`."""

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
    """Bring images to squares of one size and write them as one uint8 array, 0..255.

    The central square of each image is resized by Pillow (area-weighted, antialiased). One decoded
    image is in memory at a time, so that the array may be larger than it. The file appears whole or not
    at all. ``load("celebahq")`` maps it and copies no training row; ``fit`` reads them as it wants them
    where they are more than a quarter of the free memory, and else puts them on the device as uint8.

    Args:
        source: a folder of images (sorted by name), a parquet file of encoded images or a folder of
            them (needs pyarrow), or a `.npy` file of uint8 ``(n, height, width[, 3])``.
        out: the `.npy` file to write, ``(n, size, size)`` for grey images or ``(n, size, size, 3)``;
            ``$PROBVAE_DATA/celebahq/celebahq64.npy`` is what ``load("celebahq")`` reads.
        size: side of the squares in pixels; no image is enlarged.
        mixed_sizes: take images of several sizes; otherwise the second size is an error.
        skip_corrupt: leave out files that cannot be decoded; otherwise the first is an error.
        overwrite: replace the file where there is one.

    Returns:
        the path, the shape and the names of the files left out.

    Raises:
        FileNotFoundError: there is no source.
        FileExistsError: the file is there and ``overwrite`` is not asked for.
        ImportError: Pillow, or pyarrow for parquet, is not installed.
        ValueError: a damaged image (named), images of mixed sizes, grey ones among colour, an image
            smaller than ``size``, or a source without images.
    """
    check_kind("source", source, PATH)
    check_kind("out", out, PATH)
    source, out = Path(source), Path(out)
    _check(source, out, size, overwrite=overwrite)
    skipped: list[str] = []
    rules = Rules(size, mixed_sizes=mixed_sizes, skipped=skipped if skip_corrupt else None)
    with _whole(out) as stream:
        shape = _write(stream, squares(source, rules), what=str(source))
    return Prepared(out, shape, tuple(skipped))


def _check(source, out, size, *, overwrite):
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"prepare_images expected size, a positive number of pixels, got {size!r}")
    if not source.exists():
        raise FileNotFoundError(f"expected a file or folder at {source.absolute()}, got nothing there")
    if out.suffix != ".npy":
        raise DataError(f"expected out to end in .npy, got {out}; usual fix: {out.with_suffix('.npy')}")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; usual fix: another name, or overwrite=True")


@contextmanager
def _whole(out: Path) -> Iterator[BufferedIOBase]:
    """Write under another name and rename at the end, or leave nothing."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _write(stream: BufferedIOBase, images: Iterable[np.ndarray], *, what: str) -> tuple[int, ...]:
    """Write rows as they come, between a header that says none and the one that says how many."""
    count, shape = 0, ()
    for image in images:
        if not count:
            shape = image.shape
            start = _write_header(stream, (0, *shape))
        stream.write(image.tobytes())
        count += 1
    if not count:
        raise DataError(f"{what}: expected images, got none that can be read")
    stream.seek(0)
    if _write_header(stream, (count, *shape)) != start:
        raise RuntimeError("the header of a .npy file grew: expected NumPy to leave room for it")
    return (count, *shape)


def _write_header(stream, shape):
    """Write a header; NumPy leaves room in it for the first axis to grow."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.tell()
