"""Typeset formulas as MathML when the site is built: a page needs no script and no font."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def to_mathml(latex: str, display: str, node: nodes.Node) -> str:
    """Return a formula as a <math> element. What is no LaTeX is a warning, thus an error with -W."""
    try:
        return convert(latex.strip(), display=display)
    except Exception as error:  # the converter raises errors of many kinds
        logger.warning("formula %r: %r", latex, error, location=node)
        return f"<code>{latex}</code>"


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
