"""Images one at a time, as uint8 squares: from a folder, from parquet, or from an array."""

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from probvae.data.archives import map_npy
from probvae.data.image_folder import check_mode, decode_image, image_paths, pillow
from probvae.data.read_errors import DataError, reading

MODES = ("L", "RGB")
BATCH = 64  # images of a parquet file in memory at a time


class Rules(NamedTuple):
    """The side of the squares, whether sizes may be mixed, and where damaged files are noted."""

    size: int
    mixed_sizes: bool
    skipped: list[str] | None


def squares(source: Path, rules: Rules) -> Iterator[np.ndarray]:
    """Yield the images of a source, ``(size, size)`` or ``(size, size, 3)``; they are all alike."""
    first = None
    for name, image in _images(source, rules):
        first = first or (image.size, image.mode)
        _check_alike(name, image, first, rules)
        yield _square(image, rules.size)


def _images(source, rules):
    """Yield names and decoded images of modes L and RGB; what cannot be decoded is noted or raised."""
    for name, given in _iterate_images(source):
        try:
            image = _decode_pixels(name, given)
        except DataError as error:
            if rules.skipped is None:
                error.add_note("(Or leave such files out: skip_corrupt=True, --skip-corrupt.)")
                raise
            rules.skipped.append(name)
            continue
        check_mode(image, MODES, what=name)
        yield name, image


def _iterate_images(source: Path) -> Iterator[tuple[str, Any]]:
    """Yield names with what is there: a path, encoded bytes, or pixels."""
    tables = _tables(source)
    if tables:
        for table in tables:
            yield from _rows(table)
    elif source.is_dir():
        for path in image_paths(source):
            yield str(path), path
    elif source.suffix == ".npy":
        yield from _pixels(source)
    else:
        raise DataError(
            f"{source}: expected a folder of images, a .parquet or a .npy file; usual fix: unpack "
            "an archive first"
        )


def _tables(source):
    if source.is_dir():
        return sorted(source.glob("*.parquet"))
    return [source] if source.suffix == ".parquet" else []


def _pixels(path):
    array = map_npy(path)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[3:] not in ((), (3,)):
        raise DataError(
            f"{path}: expected images as uint8 (n, height, width) or (n, height, width, 3), got "
            f"{array.dtype} {array.shape}; usual fix: (255 * x).round().astype('uint8')"
        )
    for row, image in enumerate(array):
        yield f"{path}[{row}]", np.array(image)


def _rows(path):
    """Yield the encoded images of a parquet file: a column of bytes, or of structs with bytes."""
    with reading(path, expected="a parquet file"):
        table = _parquet().ParquetFile(path)
        names = table.schema_arrow.names
    if "image" not in names and len(names) != 1:
        raise DataError(
            f"{path}: expected a column 'image' of encoded images, got columns {names}; usual fix: "
            "rename the column"
        )
    column, row = "image" if "image" in names else names[0], 0
    batches = table.iter_batches(batch_size=BATCH, columns=[column])
    while (batch := _next(batches, path)) is not None:
        for cell in batch.column(0).to_pylist():
            yield f"{path}[{row}]", _read_encoded(cell, what=f"{path}[{row}]")
            row += 1


def _read_encoded(cell, *, what):
    found = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(found, bytes):
        raise DataError(
            f"{what}: expected the bytes of an encoded image (PNG, JPEG), got {type(found).__name__}; "
            "usual fix: a table that holds the images themselves, not paths or arrays"
        )
    return found


def _next(batches, path):
    with reading(path, expected="rows of a parquet file"):
        return next(batches, None)


def _decode_pixels(name, given):
    if isinstance(given, np.ndarray):
        return pillow().fromarray(given)
    image = decode_image(io.BytesIO(given) if isinstance(given, bytes) else given, what=name)
    return image.convert("L") if image.mode == "1" else image


def _check_alike(name, image, first, rules):
    size, mode = first
    if image.mode != mode:
        words = {"L": "grey", "RGB": "colour"}
        raise DataError(
            f"{name}: expected {words[mode]}, as the first image is, got {words[image.mode]}; usual "
            f"fix: image.convert({mode!r}), or leave it out"
        )
    if image.size != size and not rules.mixed_sizes:
        raise DataError(
            f"{name}: expected {size[0]}x{size[1]} pixels, as the first image has, got "
            f"{image.width}x{image.height}; usual fix: mixed_sizes=True takes each one's middle"
        )
    if min(image.size) < rules.size:
        raise DataError(
            f"{name}: expected at least {rules.size}x{rules.size} pixels, got "
            f"{image.width}x{image.height}; usual fix: a smaller size, or larger images"
        )


def _square(image, size):
    """Return the central square, resized where it has another size."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.array(image.crop(box).resize((size, size), pillow().Resampling.BOX))


def _parquet():
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ImportError(
            "a parquet file of images is read with pyarrow, which is not installed; "
            "usual fix: pip install 'probvae[parquet]'"
        ) from None
