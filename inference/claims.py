"""Tables of claims: the expected value, the measured value, and whether the claim holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.comparison import error

HEAD = "| claim | expected | measured | holds |\n| --- | --- | --- | --- |"


def row(claim: str, expected: str, measured: str, *, holds: bool) -> str:
    """Return one line of the table."""
    return f"| {claim} | {expected} | {measured} | {'yes' if holds else 'NO'} |"


def publish(lines: Sequence[str], figure, path: Path) -> None:
    """Print a table of claims and write its figure. Create the folder if necessary."""
    print("\n".join([HEAD, *lines]))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"\nfigure: {path}")


def format_values(values: Sequence[float], digits: int = 2) -> str:
    """Format the mean over trainings and, for several, its standard error."""
    each = np.asarray(values, float)
    mean = f"{each.mean():.{digits}f}"
    return f"{mean} +- {error(each):.{digits}f}" if len(each) > 1 else mean


def near(claim: str, values: Sequence[float], expected: float | Sequence[float], within: float) -> str:
    """Return a line that holds if the value of every training lies within the tolerance.

    Shown are means and, of several trainings, the standard error over them.
    """
    measured_values, expected_values = np.asarray(values, float), np.asarray(expected, float)
    spread = f" +- {error(measured_values):.4f}" if len(measured_values) > 1 else ""
    return row(
        claim,
        f"{expected_values.mean():.4f} to {within:g}",
        f"{measured_values.mean():.4f}{spread}",
        holds=bool((np.abs(measured_values - expected_values) <= within).all()),
    )


def less(claim: str, values: np.ndarray, base: np.ndarray, *, expected: bool = True) -> str:
    """Return a line that compares values with others, by two standard errors over trainings.

    It holds if the values are less, or if they are not and ``expected`` is False.
    """
    gain, both = values.mean() - base.mean(), np.hypot(error(values), error(base))
    words = "less by over 2 s.e." if expected else "not less by over 2 s.e."
    return row(claim, words, f"{gain:+.3f} +- {both:.3f}", holds=bool(gain < -2 * both) == expected)


def comparison(
    results: dict[str, list[tuple[float, ...]]], heads: Sequence[str], *, baseline: str, what: str
) -> str:
    """Return means and standard errors over trainings, and the differences from the baseline."""
    lines = [f"| {what} | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    base = np.array(results[baseline], float)
    for name, values in results.items():
        rows = np.array(values, float)
        cells = [_cell(rows[:, i], base[:, i]) for i in range(len(heads))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    close = f"(+) and (-): differs from {baseline} by over two standard errors, over trainings."
    return "\n".join([*lines, "", close])


def _cell(values: np.ndarray, base: np.ndarray) -> str:
    if np.isnan(values).any():
        return "none"
    gain, both = values.mean() - base.mean(), np.hypot(error(values), error(base))
    sign = "" if not abs(gain) > 2 * both else " (+)" if gain > 0 else " (-)"
    digits = 3 if abs(values.mean()) < 10 else 2
    return f"{values.mean():.{digits}f} +- {error(values):.{digits}f}{sign}"
