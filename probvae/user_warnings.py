"""Warnings at the line of the user's code."""

import sys
import warnings

INSIDE = ("probvae", "jaxtyping", "beartype")  # the last two wrap functions to check types in tests


def warn_user(message: str) -> None:
    """Warn at the line of the user's code that called this package."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
