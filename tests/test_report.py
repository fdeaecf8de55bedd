"""The report: one page that says everything, escapes everything, and asks the network for nothing."""

import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from probvae.criticism import Finding, Kind, Verdict
from probvae.runs.drawing import Drawing, Panel
from probvae.runs.report import Picture, insert_diagnosis, render_report

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
SVG = Markup('<svg viewBox="0 0 9 9"><path d="M 0 0"/></svg>')
DRAWING = Drawing("the <title>", [Panel(SVG, 250.0), Panel(SVG, 250.0)])
PICTURES = [
    Picture("curves", "Read it < so.", DRAWING),
    Picture("my_own", "And so.", DRAWING),
    Picture("unit_use", "One unit."),
]
COMMAND = "probvae diagnose 'a <run>'"
FAULT = Finding(Kind.FAULT, "a <name>", "evidence.", 1.0, 0.5, "source", "remedy.")
VERDICT = Verdict([FAULT, FAULT._replace(kind=Kind.NOTE, name="unused units")])
# The start of a page of an earlier version.
EARLIER = """<!DOCTYPE html>
<html lang="en">
<head>
<title>vae on digits - ProbVAE</title>
<style>
.fault { color: red; }
</style>
</head>
<body>
<h1>vae on digits</h1>
<p class="quiet">A VAE.</p>
<h2>Figures</h2>
<figure><img alt="Training" src="data:image/png;base64,iVBORw0KGgo="></figure>
</body>
</html>
"""


def rendered(metrics=None, pictures=PICTURES, **data):
    config = CONFIG | {"data": CONFIG["data"] | data}
    return render_report(config, metrics or METRICS, pictures, command=COMMAND)


class Reader(HTMLParser):
    """Text, tags and attributes of a page; raises where a tag is closed that is not open."""

    def __init__(self, text):
        super().__init__()
        self.words, self.open, self.attributes = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def text():
    return rendered()


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
    for page in (text, insert_diagnosis(text, VERDICT, PICTURES)):
        links = [a for a in Reader(page).attributes if a[1] in ("src", "href", "action", "srcset")]
        assert all(value.startswith("#") for _, _, value in links)
        assert not re.search(r"https?://|//cdn|@import|url\(", page)


def test_every_figure_has_a_title_a_caption_and_words_for_those_who_do_not_see(text):
    assert '<h3 id="curves">Training</h3>' in text
    assert '<h3 id="my_own">my own</h3>' in text
    assert "<figcaption>the &lt;title&gt;</figcaption>" in text
    labels = [a[2] for a in Reader(text).attributes if a[0] == "div" and a[1] == "aria-label"]
    assert labels == ["Training. the <title>", "my own. the <title>"]
    assert text.count(SVG) == 4


def test_a_picture_without_a_drawing_is_a_sentence(text):
    assert text.count("<figure>") == 2
    assert "One unit." in text


def test_a_panel_that_is_much_wider_than_the_others_has_a_row_of_its_own():
    panels = [Panel(SVG, width) for width in (500.0, 130.0, 131.0, 132.0)]
    page = rendered(pictures=[Picture("samples", "Read.", Drawing("title", panels))])
    classes = [a[2] for a in Reader(page).attributes if a[1] == "class" and "panel" in a[2]]
    assert classes == ["panels", "panel wide", "panel", "panel", "panel"]
    assert 'style="--width: 132"' in page
    assert 'class="panel wide" style="--width: 500"' in page


def test_a_figure_can_be_enlarged_by_keyboard(text):
    buttons = [a for a in Reader(text).attributes if a[0] == "button" and a[1] == "aria-label"]
    assert [value for _, _, value in buttons] == ["Enlarge: Training", "Enlarge: my own"]
    assert "showModal" in text  # a dialog closes with the key Esc


def test_a_report_says_at_the_top_how_to_get_a_verdict(text):
    words = " ".join(Reader(text).words)
    assert "not diagnosed yet" in words
    assert COMMAND in words
    assert text.index("not diagnosed yet") < text.index('class="numbers"')


def test_a_run_that_cannot_be_diagnosed_says_why():
    few = rendered(sizes={"train": 90, "valid": 9, "test": 10})
    assert "at least 50 held-out data. This run has 19." in few
    assert "probvae diagnose" not in few.split('class="numbers"')[0]
    none = METRICS | {"test_elbo": None, "test_log_prob": None, "no_log_prob": "no <density>."}
    assert "no &lt;density&gt;." in rendered(none).split('class="numbers"')[0]


def test_the_verdict_is_at_the_top_and_links_to_its_findings(text):
    page = insert_diagnosis(text, VERDICT, PICTURES)
    top = page.split('class="numbers"')[0].split("<h1>")[1]
    assert "not diagnosed yet" not in page
    assert top.count('<a href="#finding-') == 2
    assert "a &lt;name&gt;" in top
    assert "\u2715" in top  # a symbol, not only a colour
    assert "no fault" not in top
    rows = [a[2] for a in Reader(page).attributes if a[0] == "tr" and a[1] == "id"]
    assert rows == ["finding-1", "finding-2"]


def test_a_verdict_without_a_fault_says_so(text):
    top = insert_diagnosis(text, Verdict(VERDICT[1:]), []).split('class="numbers"')[0]
    assert "\u2713 no fault" in top


def test_a_second_verdict_replaces_the_first(text):
    first = insert_diagnosis(text, VERDICT, PICTURES)
    second = insert_diagnosis(first, Verdict([FAULT._replace(name="another")]), [])
    assert second.count("another") == 2
    assert "a &lt;name&gt;" not in second
    assert second.count("<style>") == second.count("<script>") == 1
    assert insert_diagnosis(second, VERDICT, PICTURES) == first


def test_the_report_of_an_earlier_version_takes_a_verdict():
    page = insert_diagnosis(EARLIER, VERDICT, PICTURES)
    Reader(page)
    assert page.index("<h1>") < page.index("#finding-1") < page.index('class="quiet">A VAE.')
    assert page.index('id="diagnosis"') < page.index("<h2>Figures</h2>")
    assert "color: red" not in page
    assert ".probvae-badge" in page
    assert "showModal" in page
    assert insert_diagnosis(page, VERDICT, PICTURES) == page


def test_report_reads_on_a_phone(text):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "@media (max-width: 36rem)" in text


def test_report_reads_on_a_light_and_on_a_dark_page(text):
    assert "color-scheme: light dark" in text
    assert "@media (prefers-color-scheme: dark)" in text


def test_rows_that_were_drawn_are_stated():
    some = METRICS | {"test_log_prob": NUMBER | {"num_data": 100}}
    assert "100 of 300, drawn at random; 5,000" in rendered(some)


def test_numbers_that_are_missing_or_not_finite_are_said():
    odd = METRICS | {"test_log_prob": NUMBER | {"mean": None, "standard_error": float("nan")}}
    assert "not finite \u00b1 not finite nats" in rendered(odd)
    none = rendered(METRICS | {"test_log_prob": None}, [])
    assert "test log p(x)" not in none
    assert "No figures were drawn" in none
