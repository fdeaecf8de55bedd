"""Figures as parts of a page: small, self-contained, escaped, in the colours of the page."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from probvae.plots import palette
from probvae.plots.canvas import new_figure, side_by_side, tidy
from probvae.runs.drawing import draw_panels


def figure_of(label="a"):
    figure = new_figure(height=2.0)
    figure.suptitle("the title")
    left, right = figure.subplots(1, 2)
    left.plot([1, 2], color=palette.BLUE, label=label)
    tidy(right, title=label)
    right.scatter([1, 2], [1, 2], color=palette.VERMILLION)
    return figure


def test_each_axes_is_a_panel_and_the_title_is_text():
    drawing = draw_panels(figure_of(), "name")
    assert drawing.title == "the title"
    assert len(drawing.panels) == 2
    assert "the title" not in "".join(panel.code for panel in drawing.panels)
    assert 200 < drawing.width < 300


def test_axes_with_a_color_bar_stay_together():
    figure = side_by_side({"x": np.random.default_rng(0).uniform(size=(3, 4, 4))}, title="t", item="i")
    (panel,) = draw_panels(figure, "images").panels
    assert "data:image/png;base64," in panel.code  # the pixels themselves
    assert len(panel.code) < 20_000


def test_a_legend_of_all_panels_comes_first():
    figure = figure_of()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left")
    legend, *panels = draw_panels(figure, "name").panels
    assert legend.is_legend
    assert "<text" in legend.code
    assert [panel.is_legend for panel in panels] == [False, False]


def test_colours_are_those_of_the_page():
    code = "".join(panel.code for panel in draw_panels(figure_of(), "name").panels)
    assert not re.search(r"#[0-9a-f]{6}", code)
    used = set(re.findall(r"var\((--figure-[0-9a-f]{6})\)", code))
    assert used == {f"--figure-{colour[1:]}" for colour in (palette.BLUE, palette.VERMILLION)}
    for variables in (palette.LIGHT_VARIABLES, palette.DARK_VARIABLES):
        assert all(f"{name}: #" in variables for name in used)


def test_text_is_text_in_the_font_of_the_page():
    code = draw_panels(figure_of("label"), "name").panels[1].code
    assert re.search(r"<text[^>]*>label</text>", code)
    assert "font-family" not in code
    assert "font-size" in code


def test_a_label_cannot_leave_its_figure():
    bad = "<script>alert(1)</script><!-- diagnosis -->"
    code = draw_panels(figure_of(bad), "name").panels[1].code
    assert "<script" not in code
    assert "<!--" not in code
    assert "&lt;script&gt;" in code


def test_ids_of_two_figures_differ_and_references_work():
    codes = [p.code for name in ("a", "b") for p in draw_panels(figure_of(), name).panels]
    ids = [re.findall(r' id="([^"]+)"', code) for code in codes]
    assert len({each for of_one in ids for each in of_one}) == sum(map(len, ids))
    for code, of_one in zip(codes, ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', code)[0]) - {""} <= set(of_one)
        assert "http" not in code


def test_panels_are_well_formed():
    class Reader(HTMLParser):
        open = ()

        def handle_starttag(self, tag, attrs):
            self.open = (*self.open, tag)

        def handle_endtag(self, tag):
            assert self.open[-1] == tag
            self.open = self.open[:-1]

    for panel in draw_panels(figure_of(), "name").panels:
        reader = Reader()
        reader.feed(panel.code)
        assert reader.open == ()


def test_a_large_figure_is_a_picture_of_pixels(monkeypatch):
    monkeypatch.setattr("probvae.runs.drawing.MAX_SVG", 100)
    panel = draw_panels(figure_of(), "name").panels[0]
    assert panel.code.startswith('<img alt="" src="data:image/webp;base64,')


@pytest.mark.parametrize("ground", ["#ffffff", "#16181d"])
def test_colours_have_contrast_on_their_ground(ground):
    """At least 2.2 to 1 for marks, and 3 to 1 for the first two colours, which carry most lines."""

    def luminance(colour):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    colours = list(palette.ON_DARK) if ground == "#ffffff" else list(palette.ON_DARK.values())
    for place, colour in enumerate(colours):
        low, high = sorted([luminance(colour), luminance(ground)])
        assert (high + 0.05) / (low + 0.05) > (3.0 if place < 3 else 2.2), colour
    assert len(set(colours)) == len(colours)
