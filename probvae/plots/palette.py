"""The colours, markers and line styles of all figures, which colour-blind readers can tell apart.

Reference: Okabe and Ito 2008, "Color universal design".
"""

from typing import Any, TypeAlias

Style: TypeAlias = dict[str, Any]  # keyword arguments of matplotlib

BLUE, VERMILLION, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, SKY, ORANGE = "#cc79a7", "#56b4e9", "#e69f00"
GREY = "#8a8f98"  # lines and bands
QUIET = "#5a6270"  # text that is less important

# Colours of different lines or classes, the ones with the best contrast first. Each also has a line
# style and a marker of its own, so that nothing is told by colour alone.
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, GREY)
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

# The same colours on a dark page, where they need to be lighter. The variables of a style sheet below
# have one value or the other.
ON_DARK = {
    BLUE: "#5cb3ee",
    VERMILLION: "#f0803c",
    GREEN: "#2fc49a",
    PURPLE: "#dd9cc0",
    SKY: "#a5daf9",
    ORANGE: "#f0b440",
    GREY: "#9aa1ad",
    QUIET: "#a3abb8",
}

LIGHT_VARIABLES = "".join(f"--figure-{colour[1:]}: {colour}; " for colour in ON_DARK)
DARK_VARIABLES = "".join(f"--figure-{colour[1:]}: {dark}; " for colour, dark in ON_DARK.items())


def line_style(index: int) -> Style:
    """Return the colour and the style of a line, for ``axes.plot``."""
    # With 7 colours and 4 styles, the first 28 lines differ. The first seven differ in colour, and
    # neighbours differ in style.
    return {"color": CYCLE[index % len(CYCLE)], "ls": LINE_STYLES[index % len(LINE_STYLES)]}


def marker_style(index: int) -> Style:
    """Return the colour and the marker of a class, for ``axes.scatter``. The first 49 differ."""
    turn = index // len(CYCLE)
    return {
        "color": CYCLE[index % len(CYCLE)],
        "marker": MARKERS[(index + turn) % len(MARKERS)],
    }
