"""The HTML pieces that notebook outputs and reports share."""

import re

import pytest

from probvae import html


@pytest.mark.parametrize("kind", html.BADGE_COLOURS)
def test_a_badge_has_a_word_a_symbol_and_a_colour(kind):
    badge = html.badge(kind)
    assert html.BADGE_WORDS[kind] in badge
    assert html.BADGE_SYMBOLS[kind] in badge
    assert f"probvae-badge-{kind} {{ background: {html.BADGE_COLOURS[kind]}" in html.BADGE_STYLE
    assert f"probvae-badge-{kind}" in badge


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("kind", html.BADGE_COLOURS)
def test_the_text_of_a_badge_has_a_contrast_of_4_5_to_one(kind):
    text = re.search(r"color: #(\w)(\w)(\w);", html.BADGE_STYLE).groups()
    dark = luminance("#" + "".join(2 * digit for digit in text))
    assert (luminance(html.BADGE_COLOURS[kind]) + 0.05) / (dark + 0.05) > 4.5


def test_every_string_is_escaped_once():
    bad = "<script>alert('&')</script>"
    pieces = [
        html.badge("fault", bad),
        html.table({bad: bad}),
        html.columns([bad], [[bad]]),
        html.details(bad, bad),
        html.block(bad),
    ]
    for piece in pieces:
        assert "<script>" not in piece
        assert "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;" in piece


def test_a_block_holds_its_style():
    block = html.block(html.badge("ok"))
    assert type(block) is str
    assert html.STYLE in block
