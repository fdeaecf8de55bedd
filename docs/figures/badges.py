"""Draw the README's badges from pyproject.toml: ``python docs/figures/badges.py``."""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="22" role="img"
 aria-label="{label}: {value}">
<title>{label}: {value}</title>
<rect width="{width}" height="22" rx="4" fill="#005a8c"/>
<path d="M4 0h{split}v22H4a4 4 0 0 1-4-4V4a4 4 0 0 1 4-4z" fill="#3d444d"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{left}" y="15">{label}</text>
<text x="{right}" y="15">{value}</text>
</g>
</svg>
"""


def draw_badge(label: str, value: str) -> str:
    """Return a badge as SVG: a label on grey, its value on blue."""
    grey, blue = (round(7.2 * len(text)) + 14 for text in (label, value))
    return TEMPLATE.format(
        label=label,
        value=value,
        width=grey + blue,
        split=grey - 4,
        left=grey / 2,
        right=grey + blue / 2,
    )


def badges() -> dict[str, str]:
    """Return each badge by its file name."""
    pattern = r"Programming Language :: Python :: (3\.\d+)"
    versions = re.findall(pattern, "\n".join(PROJECT["classifiers"]))
    return {
        "badge-python.svg": draw_badge("Python", " | ".join(versions)),
        "badge-license.svg": draw_badge("license", PROJECT["license"]),
    }


if __name__ == "__main__":
    for name, svg in badges().items():
        (HERE / name).write_text(svg)
