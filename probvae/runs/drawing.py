"""Figures as parts of a page: SVG in the page's font, in colours of its light or dark theme."""

import base64
import io
import re
from statistics import median
from typing import Any, NamedTuple

from markupsafe import Markup

from probvae.plots.palette import ON_DARK

COLORBAR = "<colorbar>"  # matplotlib's label of the axes of a color bar
MARGIN = 0.05  # inches around a panel
MAX_SVG = 300_000  # characters. A larger figure is a picture of pixels.
DPI = 144  # of such a picture: two pixels for each one of a page
# Black and white stand for the text and the ground of the page. The other colours are variables, for
# which a page has two values.
THEME = {
    "#000000": "currentColor",
    "#ffffff": "var(--page)",
    **{colour: f"var(--figure-{colour[1:]})" for colour in ON_DARK},
}
NOT_NEEDED = re.compile(
    r'<!--.*?-->|<metadata>.*?</metadata>|<style type="text/css">.*?</style>'
    r'| transform="rotate\(-0 [^"]*"',
    re.DOTALL,
)


class Panel(NamedTuple):
    """A part of a figure: its HTML, its width in points, and whether it is a legend of all parts."""

    code: Markup
    width: float
    is_legend: bool = False


class Drawing(NamedTuple):
    """A figure for a page: its title and its parts, which the page arranges by its own width."""

    title: str
    panels: list[Panel]

    @property
    def width(self) -> float:
        """The width of a column of panels, in points: the median of the panels."""
        return median(panel.width for panel in self.panels if not panel.is_legend)


def draw_panels(figure: Any, name: str) -> Drawing:
    """Return a matplotlib figure as one panel for each of its axes.

    A page that is as narrow as a phone shows the panels below each other. In one picture, their text
    would be too small there. This changes the figure, so save it before.

    Args:
        figure: the figure.
        name: a name that no other figure of the page has.
    """
    title = figure.get_suptitle()
    figure.suptitle("")
    figure.draw_without_rendering()  # computes the layout, which stays as it is from here on
    figure.set_layout_engine("none")
    groups = [[each] for each in figure.axes if each.get_visible()]
    if any(each.get_label() == COLORBAR for each in figure.axes):
        groups = [figure.axes]
    if figure.legends:
        groups.insert(0, figure.legends)
    boxes = [_join_boxes(figure, group) for group in groups]
    panels = []
    for index, (group, box) in enumerate(zip(groups, boxes, strict=True)):
        for artist in (*figure.axes, *figure.legends):
            artist.set_visible(artist in group)
        code = clean_svg(_render_svg(figure, box), f"{name}-{index}")
        if len(code) > MAX_SVG:
            code = _render_pixels(figure, box)
        panels.append(Panel(Markup(code), 72 * box.width, group is figure.legends))
    return Drawing(title, panels)


def _join_boxes(figure: Any, artists: list[Any]) -> Any:
    """Return the box around artists, in inches."""
    from matplotlib.transforms import Bbox

    boxes = [artist.get_tightbbox() for artist in artists]
    box = Bbox.union([each for each in boxes if each is not None])
    return box.transformed(figure.dpi_scale_trans.inverted()).padded(MARGIN)


def _render_svg(figure: Any, box: Any) -> str:
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "probvae"}):
        figure.savefig(file, format="svg", bbox_inches=box, transparent=True, dpi=DPI)
    return file.getvalue()


def _render_pixels(figure: Any, box: Any) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="webp", bbox_inches=box, dpi=DPI, pil_kwargs={"quality": 85})
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" src="data:image/webp;base64,{data}">'


def clean_svg(code: str, name: str) -> str:
    """Return matplotlib's SVG as an element of an HTML page.

    Args:
        code: the content of an SVG file.
        name: a name that makes the element's ids unique.
    """
    code = NOT_NEEDED.sub("", code[code.index("<svg") :])
    head, rest = code.split(">", 1)
    box = re.search(r' viewBox="[^"]*"', head)
    code = f"<svg{box.group() if box else ''}>{rest}".replace("xlink:href", "href")
    # Few elements are referred to. The other ids would only make the page longer.
    names = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', code)}
    code = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in names else "", code)
    code = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", code)
    code = re.sub(r'style="[^"]*"', lambda found: _theme(found.group()), code)
    return re.sub(r">\s+<", "><", code).strip()


def _theme(style: str) -> str:
    """Return a style in the page's font and colours."""
    style = re.sub(r"font-family: [^;\"]*(; )?", "", style)
    return re.sub(r"#[0-9a-f]{6}", lambda found: THEME.get(found.group(), found.group()), style)
