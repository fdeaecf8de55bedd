"""The how-to pages: each is short, begins with code, and is on their list. ``test_pages`` runs them."""

import re
from pathlib import Path

import pytest

from probvae import likelihoods

FOLDER = Path(__file__).parent.parent / "docs" / "how-to"
LONG = {"arviz.md", "compare-variants.md", "write-your-own-part.md"}
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name not in LONG | {"index.md"})
MOST = 88  # lines, with code of at most 100 characters


def ids(path):
    return path.stem


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_page_is_short_and_begins_with_code(page):
    text = page.read_text()
    assert len(text.splitlines()) <= MOST
    assert len(text[: text.index("```")].splitlines()) < 20
    assert max(map(len, text.splitlines())) < 220


def test_the_list_names_every_page():
    index = re.sub(r"<!--.*?-->", "", (FOLDER / "index.md").read_text(), flags=re.DOTALL)
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert linked == {path.name for path in FOLDER.glob("*.md")} - {"index.md"}


def test_every_likelihood_and_scale_has_a_row():
    table = [
        line
        for line in (FOLDER / "choose-a-likelihood.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    for name in set(likelihoods.__all__) - {"FreeMean"}:  # the default mean of counts
        assert any(re.search(rf"[`(=]{name}\(", line) for line in table), name
