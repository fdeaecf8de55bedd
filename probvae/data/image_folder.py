"""A folder of images, read with Pillow (optional)."""

import importlib
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from probvae.data.read_errors import DataError, check_size, reading

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = ("1", "LA", "RGBA", "RGB", "L")


def read_images(folder: Path) -> np.ndarray:
    """Read a folder's images, sorted by file name: uint8 (n, height, width[, channels]), 0..255.

    Other files, hidden ones and subfolders are passed over; palettes become RGB, one bit becomes
    bool. ValueError naming the first file that is damaged, or of another size or mode.
    """
    paths = image_paths(folder)
    first = _read_image(paths[0])
    check_size(first.nbytes * len(paths), what=str(folder))
    images = np.empty((len(paths), *first.shape), first.dtype)
    for row, path in enumerate(paths):
        image = _read_image(path)
        if (image.shape, image.dtype) != (first.shape, first.dtype):
            raise DataError(
                f"{path}: expected {_words(first)}, as in {paths[0].name}, got {_words(image)}; "
                "usual fix: bring all images to one size and mode"
            )
        images[row] = image
    return images


def without_opaque_alpha(images: np.ndarray) -> np.ndarray:
    """Return images without their last channel, if that is an alpha channel of 255 everywhere.

    An opaque alpha channel says nothing. Kept, it would be one more channel of colour to a model.
    """
    has_alpha = images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (2, 4)
    if not has_alpha or not all((image[..., -1] == 255).all() for image in images):
        return images
    colours = images[..., :-1]
    return np.ascontiguousarray(colours[..., 0] if colours.shape[-1] == 1 else colours)


def image_paths(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name; ValueError where there are none."""
    paths = [path for path in sorted(folder.iterdir()) if _is_image(path)]
    if not paths:
        raise DataError(
            f"{folder}: expected images ({', '.join(SUFFIXES)}), got none; "
            "usual fix: point to the folder that holds the files, not to one above it"
        )
    return paths


def decode_image(source: Path | BytesIO, *, what: str) -> Any:
    """Return a Pillow image with its pixels read, palettes as RGB; ValueError where it is damaged."""
    with reading(what, expected="an image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with pillow().open(source) as image:
                check_size(image.width * image.height * len(image.getbands()), what=what)
                image.load()
                return image.convert("RGB") if image.mode == "P" else image.copy()
        except pillow().DecompressionBombError as error:
            raise DataError(
                f"cannot read {what}: it declares more pixels than Pillow decodes ({error}); usual "
                "fix: smaller images, or PIL.Image.MAX_IMAGE_PIXELS raised where they are trusted"
            ) from None


def check_mode(image: Any, modes: tuple[str, ...], *, what: str) -> None:
    """Raise ValueError, beginning with `what`, for an image of another Pillow mode."""
    if image.mode not in modes:
        raise DataError(
            f"{what}: expected an image of 8 bits a channel ({', '.join(modes)}), got mode "
            f"{image.mode!r}; usual fix: convert it with Pillow, image.convert('{modes[-1]}')"
        )


def _is_image(path):
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _read_image(path):
    image = decode_image(path, what=str(path))
    check_mode(image, MODES, what=str(path))
    return np.array(image)


def _words(image):
    height, width, *channels = image.shape
    return f"{width}x{height} pixels, {channels[0] if channels else 1} channel(s), {image.dtype}"


def pillow() -> Any:
    """Return the module `PIL.Image`; ImportError with the remedy where it is not installed."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError:
        raise ImportError(
            "images are read with Pillow, which is not installed; "
            "usual fix: pip install 'probvae[images]'"
        ) from None
