"""The report: one page that says everything, escapes everything, and asks the network for nothing."""

import base64
import re
from html.parser import HTMLParser

import pytest

from probvae.runs.report import Picture, render_report

NUMBER = {
    "mean": -22.4449,
    "standard_error": 0.2051,
    "monte_carlo_error": 0.02,
    "num_particles": 5000,
    "num_data": 300,
    "seconds": 1.0,
}
METRICS = {
    "test_elbo": NUMBER | {"mean": -23.0, "num_particles": 10},
    "test_log_prob": NUMBER,
    "fit": {"epochs": 90, "seconds": 12.3},
}
CONFIG = {
    "command": "probvae train models/x.py --name '<script>'",
    "date": "2025-01-01T00:00:00+00:00",
    "model": {
        "file": "models/x.py",
        "function": "x",
        "summary": "A <b>bold</b> & dangerous summary.",
        "arguments": {"latent_dim": 16},
        "statement": "z ~ Normal(0, I)\nx | z ~ <likelihood>",
    },
    "data": {
        "name": "digits",
        "source": "digits",
        "description": "digits; split",
        "sizes": {"train": 1197, "test": 300},
        "event_shape": [8, 8],
        "range": [0.0, 1.0],
        "sha256": "0123456789abcdef",
    },
    "training": {
        "epochs": 100,
        "batch_size": 128,
        "objective": "ELBO()",
        "optimizer": "optax.adam(0.001)",
        "seed": 3,
    },
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
}
PNG = b"\x89PNG fake"
PICTURES = [Picture("curves", "Read it < so.", PNG), Picture("my_own", "And so.", PNG)]


class Reader(HTMLParser):
    """Text, tags and attributes of a page; raises where a tag is closed that is not open."""

    def __init__(self, text):
        super().__init__()
        self.words, self.open, self.attributes = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def text():
    return render_report(CONFIG, METRICS, PICTURES)


def test_report_says_the_numbers_the_model_and_how_it_was_made(text):
    words = " ".join(Reader(text).words)
    for said in (
        "test log p(x) \u2265",
        "-22.44 \u00b1 0.21 nats",
        "300 test data; 5,000 particles each; Monte Carlo error 0.02",
        "z ~ Normal(0, I)\nx | z ~ <likelihood>",
        "A <b>bold</b> & dangerous summary.",
        "digits; split. train 1,197, test 300; shape 8 x 8; values in [0, 1].",
        "Read it < so.",
        "90 of 100, 12.3 s",
        "probvae train models/x.py --name '<script>'",
        "python 3.11.7, jax 0.10.2",
    ):
        assert said in words, said


def test_report_is_self_contained(text):
    links = [a for a in Reader(text).attributes if a[1] in ("src", "href", "action", "srcset")]
    assert {tag for tag, _, _ in links} == {"img"}
    data = base64.b64encode(PNG).decode()
    assert [value for _, _, value in links] == [f"data:image/png;base64,{data}"] * 2
    assert not re.search(r"https?://|//cdn|@import|url\(|<script", text)


def test_every_figure_has_a_title_a_caption_and_words_for_those_who_do_not_see(text):
    assert "<h3>Training</h3>" in text
    assert "<h3>my own</h3>" in text
    assert [a[2] for a in Reader(text).attributes if a[1] == "alt"] == ["Training", "my own"]


def test_report_reads_on_a_phone(text):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "@media (max-width: 36rem)" in text


def test_report_reads_on_a_light_and_on_a_dark_page(text):
    assert "color-scheme: light dark" in text
    assert "@media (prefers-color-scheme: dark)" in text


def test_rows_that_were_drawn_are_stated():
    some = METRICS | {"test_log_prob": NUMBER | {"num_data": 100}}
    assert "100 of 300, drawn at random; 5,000" in render_report(CONFIG, some, [])


def test_numbers_that_are_missing_or_not_finite_are_said():
    odd = METRICS | {"test_log_prob": NUMBER | {"mean": None, "standard_error": float("nan")}}
    assert "not finite \u00b1 not finite nats" in render_report(CONFIG, odd, [])
    none = render_report(CONFIG, METRICS | {"test_log_prob": None}, [])
    assert "test log p(x)" not in none
    assert "No figures were drawn" in none
