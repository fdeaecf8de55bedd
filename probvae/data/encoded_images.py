"""A reader of images, one at a time as uint8 squares, from a folder, a parquet file or an array."""

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from probvae.data.archives import map_npy
from probvae.data.image_folder import (
    PillowImage,
    check_mode,
    decode_image,
    import_pillow,
    list_images,
)
from probvae.data.read_errors import DataError, explain_read_errors
from probvae.faq import cite

MODES = ("L", "RGB")
BATCH = 64  # images of a parquet file in memory at a time

EncodedImage: TypeAlias = Path | bytes | np.ndarray  # a file, its bytes, or pixels


class ImageRules(NamedTuple):
    """The side of the squares, whether sizes may differ, and a list for the names of corrupt files."""

    size: int
    mixed_sizes: bool
    skipped: list[str] | None


def read_squares(source: Path, rules: ImageRules) -> Iterator[np.ndarray]:
    """Yield the images of a source, all ``(size, size)`` or all ``(size, size, 3)``."""
    first = None
    for name, image in _decode_images(source, rules):
        first = first or (image.size, image.mode)
        _check_like_first(name, image, first, rules)
        yield _crop_square(image, rules.size)


def _decode_images(source: Path, rules: ImageRules) -> Iterator[tuple[str, PillowImage]]:
    """Yield names and images of modes L and RGB. A corrupt image is skipped or raises `DataError`."""
    for name, encoded in _iterate_encoded(source):
        try:
            image = _decode(name, encoded)
        except DataError as error:
            if rules.skipped is None:
                error.add_note("(Or skip such files: skip_corrupt=True, --skip-corrupt.)")
                raise
            rules.skipped.append(name)
            continue
        check_mode(image, MODES, what=name)
        yield name, image


def _iterate_encoded(source: Path) -> Iterator[tuple[str, EncodedImage]]:
    tables = sorted(source.glob("*.parquet")) if source.is_dir() else []
    tables = [source] if source.suffix == ".parquet" and not source.is_dir() else tables
    if tables:
        for table in tables:
            yield from _read_parquet(table)
    elif source.is_dir():
        for path in list_images(source):
            yield str(path), path
    elif source.suffix == ".npy":
        yield from _read_pixels(source)
    else:
        expected = "a folder of images, a .parquet or a .npy file"
        raise DataError(f"{source}: expected {expected}. Unpack an archive first.")


def _read_pixels(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    array = map_npy(path)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[3:] not in ((), (3,)):
        expected = "images as uint8 (n, height, width) or (n, height, width, 3)"
        got = f"{array.dtype} {array.shape}. Use (255 * x).round().astype('uint8')."
        raise DataError(f"{path}: expected {expected}; got {got}")
    for row, image in enumerate(array):
        yield f"{path}[{row}]", np.array(image)


def _read_parquet(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the encoded images of a parquet file, from a column of bytes or of structs with bytes."""
    with explain_read_errors(path, expected="a parquet file"):
        table = _import_parquet().ParquetFile(path)
        names = table.schema_arrow.names
    if "image" not in names and len(names) != 1:
        got = f"columns {names}. Rename the column."
        raise DataError(f"{path}: expected a column 'image' of encoded images; got {got}")
    column, row = "image" if "image" in names else names[0], 0
    batches = table.iter_batches(batch_size=BATCH, columns=[column])
    while True:
        with explain_read_errors(path, expected="rows of a parquet file"):
            batch = next(batches, None)
        if batch is None:
            return
        for cell in batch.column(0).to_pylist():
            place = f"{path}[{row}]"
            encoded = cell.get("bytes") if isinstance(cell, dict) else cell
            if not isinstance(encoded, bytes):
                fix = "Use a table that holds the images themselves, not paths or arrays."
                got = f"{type(encoded).__name__}. {fix}"
                raise DataError(f"{place}: expected the bytes of a PNG or JPEG image; got {got}")
            yield place, encoded
            row += 1


def _decode(name: str, encoded: EncodedImage) -> PillowImage:
    if isinstance(encoded, np.ndarray):
        return import_pillow().fromarray(encoded)
    source = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    image = decode_image(source, what=name)
    return image.convert("L") if image.mode == "1" else image


def _check_like_first(
    name: str, image: PillowImage, first: tuple[tuple[int, int], str], rules: ImageRules
) -> None:
    first_size, mode = first
    size = f"{image.width}x{image.height}"
    if image.mode != mode:
        words = {"L": "grey", "RGB": "colour"}
        got = f"{words[image.mode]}. Use image.convert({mode!r}), or remove the file."
        raise DataError(f"{name}: expected {words[mode]}, like the first image; got {got}")
    if image.size != first_size and not rules.mixed_sizes:
        expected = f"{first_size[0]}x{first_size[1]} pixels, like the first image"
        got = f"{size}. Use mixed_sizes=True, which keeps the centre of each image."
        raise DataError(f"{name}: expected {expected}; got {got}")
    if min(image.size) < rules.size:
        expected = f"at least {rules.size}x{rules.size} pixels"
        raise DataError(
            f"{name}: expected {expected}; got {size}. Use a smaller size or larger images."
        )


def _crop_square(image: PillowImage, size: int) -> np.ndarray:
    """Return the central square, resized to ``(size, size)``."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.array(image.crop(box).resize((size, size), import_pillow().Resampling.BOX))


def _import_parquet() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        fix = f"Run: pip install 'probvae[parquet]'. {cite('missing-extra')}"
        raise ImportError(f"a parquet file of images needs pyarrow, which is missing. {fix}") from None
