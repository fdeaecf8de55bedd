"""Typeset formulas as MathML when the site is built: a page needs no script and no font."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

MATHML = "http://www.w3.org/1998/Math/MathML"
logger = logging.getLogger(__name__)


def to_mathml(latex: str, display: str, node: nodes.Node) -> str:
    """Return a formula as a <math> element. What is no LaTeX is a warning, thus an error with -W."""
    try:
        # The converter knows the lines of align* alone, and sets || as two bars with a gap.
        known = latex.strip().replace("{aligned}", "{align*}").replace("||", r"\|")
        return space_words(convert(known, display=display))
    except Exception as error:  # the converter raises errors of many kinds
        logger.warning("formula %r: %r", latex, error, location=node)
        return f"<code>{latex}</code>"


def space_words(mathml: str) -> str:
    """Set the names of functions and distributions apart, as TeX does: log p, not logp.

    The converter writes a name in letters of its own, and a browser puts no space between identifiers.
    """
    ElementTree.register_namespace("", MATHML)
    root = ElementTree.fromstring(mathml)
    for row in list(root.iter(f"{{{MATHML}}}mrow")):
        for child in list(row):
            letters = [each.text or "" for each in child if each.get("mathvariant") == "normal"]
            if child.tag.endswith("mrow") and len(letters) == len(child) > 1:
                child.clear()
                child.tag, child.text = f"{{{MATHML}}}mi", "".join(letters)
            elif child.tag.endswith("mi") and child.text == ";":
                child.tag = f"{{{MATHML}}}mo"
                child.set("separator", "true")
        children = list(row)
        for i, child in reversed(list(enumerate(children))):
            if not _is_word(child):
                continue
            if i + 1 < len(children) and not children[i + 1].tag.endswith("mo"):
                row.insert(i + 1, _thin_space())
            if i and not children[i - 1].tag.endswith("mo") and not _is_word(children[i - 1]):
                row.insert(i, _thin_space())
    return ElementTree.tostring(root, encoding="unicode")


def _is_word(element: ElementTree.Element) -> bool:
    """Whether an element is a name of several letters."""
    return element.tag.endswith("mi") and len(element.text or "") > 1 and (element.text or "").isascii()


def _thin_space() -> ElementTree.Element:
    return ElementTree.Element(f"{{{MATHML}}}mspace", {"width": "0.17em"})


def visit_math(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an inline formula."""
    translator.body.append(to_mathml(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_math_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, which scrolls inside its own box where it is too wide."""
    translator.body.append(f'<div class="math">{to_mathml(node.astext(), "block", node)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the renderer to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
