"""What the site makes of docstrings: formulas, links to papers, and signatures as the source has them."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("latex2mathml")
sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "_ext"))

import docstrings  # noqa: E402
import mathml  # noqa: E402
from latex2mathml.converter import convert  # noqa: E402

import probvae  # noqa: E402


def signature(value):
    return docstrings.process_signature(None, "", "", value, None, "()", None)


def test_a_formula_becomes_a_role_and_code_stays_as_it_is():
    assert docstrings.to_rst("scale $s$ at ``prior$a`` and ``$b$``") == (
        "scale :math:`s` at ``prior$a`` and ``$b$``"
    )
    assert docstrings.to_rst("$$a = b$$") == ":display:`a = b`"
    assert docstrings.to_rst("p(x|z)") == r"p(x\|z)"
    example = "Examples:\n    >>> a | b"
    assert docstrings.to_rst(example) == example


def test_a_paper_becomes_a_link():
    linked = docstrings.to_rst("Kingma 2014, arXiv:1312.6114.")
    assert linked == "Kingma 2014, `arXiv:1312.6114 <https://arxiv.org/abs/1312.6114>`__."


def test_names_of_functions_are_set_apart():
    spaced = mathml.space_words(convert(r"w \log p(x; \sigma)"))
    space = '<mspace width="0.17em" />'
    assert f"<mi>w</mi>{space}<mi>log</mi>{space}<mi>p</mi>" in spaced
    assert '<mo separator="true">;</mo><mi>σ</mi>' in spaced
    assert "<mi>Normal</mi><mo" in mathml.space_words(convert(r"\mathrm{Normal}(0)"))


def test_a_signature_has_short_types_and_the_defaults_of_the_source():
    assert signature(probvae.priors.GaussianMixture)[0].startswith("(components: int = ")
    vae, _ = signature(probvae.VAE)
    assert "prior: AbstractPrior = priors.StandardNormal()" in vae
    assert "event_shape: tuple[int, ...]" in vae
    fit, returns = signature(probvae.fit)
    assert "rng_key: RngKey" in fit
    assert returns == "Fitted"
    assert max(map(len, fit.split(", "))) < 90


def test_fields_and_private_members_have_no_entry_of_their_own():
    def skips(name, value):
        return docstrings.skip_member(None, "class", name, value, False, None)

    assert skips("values", {}) is True
    assert skips("_run", probvae.Fitted.elbo) is True
    assert skips("elbo", probvae.Fitted.elbo) is None
