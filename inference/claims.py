"""What the claims share: a table of what was expected, what was measured, and whether it holds."""

from collections.abc import Sequence

import numpy as np

from inference.comparison import error

HEAD = "| claim | expected | measured | holds |\n| --- | --- | --- | --- |"


def row(claim: str, expected: str, measured: str, *, holds: bool) -> str:
    """Return one line of the table."""
    return f"| {claim} | {expected} | {measured} | {'yes' if holds else 'NO'} |"


def near(claim: str, values: Sequence[float], expected: float | Sequence[float], within: float) -> str:
    """Return a line that holds if the value of every training lies within the tolerance.

    Shown are means and, of several trainings, the standard error over them.
    """
    found, told = np.asarray(values, float), np.asarray(expected, float)
    spread = f" +- {error(found):.4f}" if len(found) > 1 else ""
    return row(
        claim,
        f"{told.mean():.4f} to {within:g}",
        f"{found.mean():.4f}{spread}",
        holds=bool((np.abs(found - told) <= within).all()),
    )
