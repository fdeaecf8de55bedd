"""A reader of folders of images, with Pillow (optional)."""

import importlib
import warnings
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from probvae.data.read_errors import DataError, check_size, explain_read_errors
from probvae.faq import cite

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = ("1", "LA", "RGBA", "RGB", "L")

PillowImage: TypeAlias = Any  # PIL.Image.Image: Pillow is optional, so its class has no import here


def read_images(folder: Path) -> np.ndarray:
    """Read a folder's images, sorted by file name: uint8 (n, height, width[, channels]), 0..255.

    Other files, hidden files and subfolders are skipped. Palettes become RGB, and one bit becomes bool.

    Raises:
        ValueError: an image is corrupt, or of another size or mode. The message names the file.
    """
    paths = list_images(folder)
    # The first image fixes size, mode and memory. The array is filled in place: a list of all images
    # and np.stack would need the memory twice.
    first = _read_image(paths[0])
    check_size(first.nbytes * len(paths), what=str(folder))
    images = np.empty((len(paths), *first.shape), first.dtype)
    for row, path in enumerate(paths):
        image = _read_image(path)
        if (image.shape, image.dtype) != (first.shape, first.dtype):
            expected = f"{_describe(first)}, as in {paths[0].name}"
            got = f"{_describe(image)}. Convert all images to one size and mode."
            raise DataError(f"{path}: expected {expected}; got {got}")
        images[row] = image
    return images


def drop_opaque_alpha(images: np.ndarray) -> np.ndarray:
    """Return images without their last channel, if that is an alpha channel of 255 everywhere.

    An opaque alpha channel holds no information. A model would fit it as one more colour channel.
    """
    has_alpha = images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (2, 4)
    if not has_alpha or not all((image[..., -1] == 255).all() for image in images):
        return images
    colours = images[..., :-1]
    return np.ascontiguousarray(colours[..., 0] if colours.shape[-1] == 1 else colours)


def list_images(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name. An empty list raises `ValueError`."""
    paths = [path for path in sorted(folder.iterdir()) if _is_image(path)]
    if not paths:
        fix = "Give the folder that holds the files, not a folder above it."
        raise DataError(f"{folder}: expected images ({', '.join(SUFFIXES)}); got none. {fix}")
    return paths


def decode_image(source: Path | BytesIO, *, what: str) -> PillowImage:
    """Return a decoded Pillow image, palettes as RGB. A corrupt image raises `ValueError`."""
    pillow = import_pillow()
    with explain_read_errors(what, expected="an image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with pillow.open(source) as image:
                check_size(image.width * image.height * len(image.getbands()), what=what)
                image.load()
                return image.convert("RGB") if image.mode == "P" else image.copy()
        except pillow.DecompressionBombError as error:
            fix = "Use smaller images, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust them."
            got = f"more pixels than Pillow decodes ({error})"
            raise DataError(f"cannot read {what}: it declares {got}. {fix}") from None


def check_mode(image: PillowImage, modes: tuple[str, ...], *, what: str) -> None:
    """Raise `ValueError` for an image of another Pillow mode. The message begins with `what`."""
    if image.mode not in modes:
        expected = f"an image of 8 bits per channel ({', '.join(modes)})"
        got = f"mode {image.mode!r}. Convert it with Pillow: image.convert('{modes[-1]}')."
        raise DataError(f"{what}: expected {expected}; got {got}")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _read_image(path: Path) -> np.ndarray:
    image = decode_image(path, what=str(path))
    check_mode(image, MODES, what=str(path))
    return np.array(image)


def _describe(image: np.ndarray) -> str:
    height, width, *channels = image.shape
    return f"{width}x{height} pixels, {channels[0] if channels else 1} channel(s), {image.dtype}"


def import_pillow() -> ModuleType:
    """Return the module `PIL.Image`. A missing Pillow raises `ImportError` with the remedy."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError:
        fix = f"Run: pip install 'probvae[images]'. {cite('missing-extra')}"
        raise ImportError(f"images need Pillow, which is not installed. {fix}") from None
