"""The typeset equations of a model say what its printed equations say."""

import re
from xml.etree import ElementTree

import pytest
from registry import GUIDES, LIKELIHOODS, PRIORS

from probvae import VAE, guides, likelihoods, nets, priors
from probvae.equations import GREEK, LARGE, SYMBOLS, equation, typeset

BACK = {mark: name for names in (GREEK, LARGE, SYMBOLS) for name, mark in names.items()}


def plain(html):
    """The words and marks of typeset text, without spaces, indices and powers as written."""
    tree = ElementTree.fromstring(f"<p>{html}</p>")
    text = "".join(tree.itertext())
    return re.sub(r"[\s^_]", "", "".join(BACK.get(mark, mark) for mark in text))


def content(text):
    return re.sub(r"[\s^_]", "", text)


PARTS = {**PRIORS, **GUIDES, **LIKELIHOODS}
STATEMENTS = [
    "z ~ Normal(0, I)",
    "q(z | x) = Normal(m(x), diag(s(x)^2))",
    "x | z ~ Normal(f(z), sigma^2), sigma learned",
    "z ~ sum_k w_k Normal(m_k, diag(s_k^2)), k = 1..5, learned",
    "prod_i Bernoulli(logits = f(z)) of x_i, f(z) replaced by g_i(x_<i, f(z)), g = MaskedConv(3)",
    "income_2019 (3): Poisson(mu), log mu = m + f(z)",
    "a)b(c ((",
    "",
]


@pytest.mark.parametrize("text", STATEMENTS)
def test_nothing_is_lost_or_added(text):
    assert plain(typeset(text)) == content(text)


@pytest.mark.parametrize("name", PARTS)
def test_the_statement_of_every_part_is_typeset_whole(name):
    statement = str(PARTS[name]())
    assert plain(typeset(statement)) == content(statement)


def test_formulas_are_mathml_and_words_are_text():
    html = typeset("x ~ Normal(f(z), sigma^2), sigma learned")
    assert "<msup><mi>σ</mi><mn>2</mn></msup>" in html
    assert html.endswith("<math><mi>σ</mi></math> learned")


def test_an_equation_has_its_relation_on_the_right():
    left, right = equation("q(z | x) = Normal(m(x), diag(s(x)^2))")
    assert plain(left) == "q(z|x)"
    assert plain(right).startswith("=Normal(m(x)")


def test_a_column_name_never_becomes_markup():
    bad = "<script>alert(1)</script>"
    joint = likelihoods.Joint({bad: (1, likelihoods.Gaussian()), "b": (1, likelihoods.Bernoulli())})
    html = VAE(event_shape=(2,), latent_dim=1, likelihood=joint)._repr_html_()
    assert "<script" not in html
    ElementTree.fromstring(html)


def test_a_hierarchy_names_its_own_codes():
    levels = {"prior": priors.TwoLevel(), "posterior": guides.TwoLevelTopDown()}
    assert VAE(event_shape=(4,), latent_dim=2, **levels).equations[0].startswith("z2 ~ ")


def test_every_line_that_prints_is_in_the_html():
    vae = VAE(event_shape=(8, 8), latent_dim=2, encoder=nets.MLP((16,)))
    html = plain(vae._repr_html_())
    assert content("".join(vae.equations)) in html
    nets_text = f"encoder {vae.encoder} decoder {vae.decoder}"
    assert html.endswith(content(f"code z 2 dimensions data x shape 8x8 {nets_text}"))
