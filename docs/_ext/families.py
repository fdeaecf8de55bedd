"""The directive ``family``: all public names of a module, one after another."""

from __future__ import annotations

import importlib
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Family(SphinxDirective):
    """List the public names of a module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        return [nodes.paragraph("", ", ".join(getattr(module, "__all__", [])))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive to Sphinx."""
    app.add_directive("family", Family)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
