"""The page of frequent questions, which errors and warnings cite.

A cited anchor is a heading of that page. ``tests/test_faq.py`` checks that it is there.
"""

PAGE = "docs/faq.md"


def cite(anchor: str) -> str:
    """Return the sentence that ends a message: where the page explains it, with more examples."""
    return f"See {PAGE}#{anchor}."
