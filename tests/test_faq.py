"""The page of frequent questions: what it quotes is said, what cites it is on it, its advice helps."""

import ast
import re
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from probvae import (
    VAE,
    Batch,
    EarlyStopping,
    data,
    diagnose,
    faq,
    fit,
    guides,
    likelihoods,
    load,
    nets,
    priors,
    transfer_params,
)
from probvae.data_checks import check_context, check_data
from probvae.runs.model_file import load_model_file

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / faq.PAGE).read_text()
SOURCES = {path: path.read_text() for path in sorted((ROOT / "probvae").rglob("*.py"))}
WITHOUT_MESSAGE = {"every-number-of-rows-compiles"}


def to_anchor(heading):
    """The anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def read_entries():
    """The messages that the page quotes, by anchor, each on one line."""
    parts = re.split(r"^### (.*)$", PAGE, flags=re.MULTILINE)[1:]
    entries = zip(parts[::2], parts[1::2], strict=True)
    return {
        to_anchor(heading): [
            " ".join(quote.split()) for quote in re.findall(r"```text\n(.*?)```", text, re.DOTALL)
        ]
        for heading, text in entries
    }


ENTRIES = read_entries()


def read_citations():
    """The anchors that the package cites, by file."""
    pattern = re.compile(r"""\bcite\(["']([^"']*)["']\)""")
    return {path: pattern.findall(text) for path, text in SOURCES.items()}


def read_strings(text):
    """All texts of a file, with ``...`` for the values in them, and spaces as on the page."""
    strings = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
            strings.append(" ".join("".join(map(str, parts)).split()))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.append(" ".join(node.value.split()))
    return strings


def is_quoted_from(quote, strings):
    """Whether every fixed piece of a quote is in a text of the file."""
    pieces = [piece.strip(" .,;:[]`") for piece in quote.split("...")]
    return all(any(piece in string for string in strings) for piece in pieces if piece)


def test_each_cited_anchor_is_a_heading_and_each_heading_is_cited():
    cited = {anchor for anchors in read_citations().values() for anchor in anchors}
    assert cited == ENTRIES.keys() - WITHOUT_MESSAGE


def test_anchors_are_unique_and_those_of_github_and_the_site():
    headings = re.findall(r"^### (.*)$", PAGE, flags=re.MULTILINE)
    assert len({to_anchor(heading) for heading in headings}) == len(headings)
    assert faq.cite("nan-in-the-data") == "See docs/faq.md#nan-in-the-data."


def test_each_quoted_message_is_one_of_a_file_that_cites_it():
    strings = {path: read_strings(SOURCES[path]) for path, cited in read_citations().items() if cited}
    for anchor, quotes in ENTRIES.items():
        files = [path for path, anchors in read_citations().items() if anchor in anchors]
        for quote in quotes:
            assert any(is_quoted_from(quote, strings[path]) for path in files), quote


def test_a_message_that_is_gone_is_noticed():
    strings = ["x holds ... values that are NaN or infinite, the first in row ..."]
    assert is_quoted_from("... holds ... values that are NaN or infinite", strings)
    assert not is_quoted_from("... holds ... numbers that are NaN or infinite", strings)


def test_each_question_says_why_and_what_to_do():
    for text in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        assert "**Why.**" in text
        assert "**Do.**" in text
    assert len(PAGE.splitlines()) < 450


# The messages as they are raised, and the advice that ends them

X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
LINEAR = {"encoder": nets.Linear(), "decoder": nets.Linear()}
KEY = jax.random.key(0)


def build(likelihood=None, **changes):
    parts = {"event_shape": (3,), "latent_dim": 2, "likelihood": likelihood or likelihoods.Gaussian()}
    return VAE(**parts | LINEAR | changes)


def check(x, likelihood=None, name="x", **changes):
    return check_data(build(likelihood, **changes), x, name)


def train(x=X, vae=None, **options):
    settings = {"epochs": 1, "batch_size": 20, "rng_key": KEY, "progress": False}
    return fit(build() if vae is None else vae, x, **settings | options)


@pytest.fixture(scope="module")
def fitted():
    return train()


def with_nan():
    return np.where(np.eye(3, dtype=bool)[np.arange(60) % 3], np.nan, X)


IMAGES = np.zeros((4, 3, 8, 6), "float32")
BYTES = np.arange(180, dtype="uint8").reshape(60, 3)
SECONDS = X.astype("float64") + 1.7e9
CODES = np.where(X > 1, -9999.0, np.abs(X).round())
LABELS = {"context_shape": (4,)}
CLASSES = LABELS | {"prior": priors.ClassAndStyle(4), "posterior": guides.ClassAndStyle(4)}
FRAME = pd.DataFrame({"a": ["red", "blue"] * 30})

BITS = {"prior": priors.Bernoulli(), "posterior": guides.Bernoulli(), "latent_dim": 3}

# by anchor: what raises, and what the page says to do instead
CASES = [
    ("outside-the-support", lambda: check(X, likelihoods.Bernoulli()), lambda: check(X)),
    (
        "outside-the-support",
        lambda: check(CODES, likelihoods.Poisson()),
        lambda: check(Batch(CODES, mask=CODES != -9999), likelihoods.Poisson()),
    ),
    (
        "bytes-as-real-numbers",
        lambda: check(BYTES, name="train"),
        lambda: check(BYTES.astype("float32"), name="train"),
    ),
    ("nan-in-the-data", lambda: check(with_nan()), lambda: check_masked(np.isfinite(with_nan()))),
    (
        "nan-in-the-data",
        lambda: check(pd.DataFrame(with_nan())),
        lambda: check(pd.DataFrame(with_nan()).convert_dtypes()),
    ),
    ("nan-in-the-data", lambda: check(with_nan()), lambda: check(np.ma.masked_invalid(with_nan()))),
    (
        "fill-values",
        lambda: check(np.where(X > 2, 9.97e36, X)),
        lambda: check(Batch(np.where(X > 2, 9.97e36, X), mask=X <= 2)),
    ),
    (
        "mask-inverted",
        lambda: check_masked(np.isnan(with_nan())),
        lambda: check_masked(~np.isnan(with_nan())),
    ),
    (
        "mask-inverted",
        lambda: check(Batch(pd.DataFrame(with_nan()).convert_dtypes(), mask=np.isnan(with_nan()))),
        lambda: check(Batch(pd.DataFrame(with_nan()).convert_dtypes(), mask=~np.isnan(with_nan()))),
    ),
    ("mask-inverted", lambda: train(Batch(X, mask=np.zeros(X.shape, bool))), lambda: None),
    (
        "mask-not-possible",
        lambda: check(
            Batch(X, mask=X < 9), likelihoods.Autoregressive(nets.MADE((8,)), likelihoods.Gaussian())
        ),
        lambda: check(Batch(X, mask=X < 9)),
    ),
    ("wrong-shape", lambda: check(X[0]), lambda: check(X[0][None])),
    (
        "channels-first",
        lambda: check(IMAGES, event_shape=(8, 6, 3)),
        lambda: check(np.moveaxis(IMAGES, 1, -1), event_shape=(8, 6, 3)),
    ),
    (
        "text-columns",
        lambda: check(FRAME, event_shape=(1,)),
        lambda: check_data(VAE.for_table(data.Table(FRAME)), data.Table(FRAME)),
    ),
    (
        "text-columns",
        lambda: check(FRAME, event_shape=(1,)),
        lambda: check(
            pd.get_dummies(FRAME, columns=["a"], dummy_na=True),
            likelihoods.Bernoulli(),
            event_shape=(3,),
        ),
    ),
    ("not-one-array", lambda: check({"a": X}), lambda: check(np.column_stack([X]))),
    (
        "float32-merges-values",
        lambda: train(SECONDS),
        lambda: check((SECONDS - SECONDS.mean(axis=0)) / SECONDS.std(axis=0)),
    ),
    ("too-few-rows", lambda: train(batch_size=100), lambda: None),
    (
        "context-missing",
        lambda: check(X, **LABELS),
        lambda: check(Batch(X, np.ones((60, 4))), **LABELS),
    ),
    (
        "context-incomplete",
        lambda: check_context(build(**LABELS), np.full((2, 4), np.nan)),
        lambda: check_context(build(**LABELS), np.zeros((2, 4))),
    ),
    (
        "labels-not-one-hot",
        lambda: check_context(build(**CLASSES), np.full((2, 4), 0.5)),
        lambda: check_context(build(**CLASSES), np.eye(4)[[3, 2]] * [[1], [0]]),
    ),
    ("validation-missing", lambda: train(early_stopping=EarlyStopping(3)), lambda: None),
    ("incompatible-parts", lambda: build(prior=priors.Bernoulli()), lambda: build(**BITS)),
    ("typed-keys", lambda: train(rng_key=jax.random.PRNGKey(0)), lambda: None),
    ("typed-keys", lambda: train(rng_key=0), lambda: None),
    ("model-file-not-found", lambda: load_model_file("nowhere.py"), lambda: None),
]


def check_masked(mask):
    return check(Batch(with_nan(), mask=mask))


def assert_quoted(anchor, error):
    message = " ".join(str(error).split())
    assert faq.cite(anchor) in message
    patterns = [".*".join(map(re.escape, quote.split("..."))) for quote in ENTRIES[anchor]]
    assert any(re.search(pattern, message) for pattern in patterns), message


@pytest.mark.parametrize(("anchor", "fail", "remedy"), CASES, ids=[case[0] for case in CASES])
def test_the_message_is_quoted_and_the_advice_helps(anchor, fail, remedy):
    with pytest.raises((TypeError, ValueError, OSError)) as caught:
        fail()
    assert_quoted(anchor, caught.value)
    remedy()


def test_a_fit_quotes_the_page_too(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    for anchor, fail in {
        "init-params": lambda: train(vae=build(prior=priors.Flow()), init_params={"prior$odd": X}),
        "saved-from-another-vae": lambda: load(tmp_path / "fit", build(likelihoods.Laplace())),
        "too-few-rows": lambda: diagnose(fitted, X[:20], rng_key=KEY),
    }.items():
        with pytest.raises(ValueError) as caught:
            fail()
        assert_quoted(anchor, caught.value)
    (tmp_path / "fit").write_bytes((tmp_path / "fit").read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError) as caught:
        load(tmp_path / "fit", build())
    assert_quoted("corrupt-file", caught.value)
    assert transfer_params(fitted, build(likelihoods.Laplace())).keys() >= {"encoder$params"}


def test_warnings_quote_the_page_too(fitted):
    for anchor, warn in {
        "other-units": lambda: fitted.check_data(1000 * X),
        "columns-on-other-scales": lambda: check_columns(X * [1, 1, 1000]),
    }.items():
        with pytest.warns(UserWarning, match=faq.PAGE) as caught:
            warn()
        assert_quoted(anchor, caught[0].message)
    check_columns(X)


def check_columns(x):
    from probvae.column_checks import warn_of_column_scales
    from probvae.data_description import DataSummary

    summary = DataSummary((3,), data.Cast())
    summary.add(x, x, None)
    warn_of_column_scales(likelihoods.Gaussian(), summary.description().x)
