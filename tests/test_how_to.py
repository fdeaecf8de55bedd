"""The how-to pages: each runs and shows what it prints, is short, and is on their list."""

import re
from pathlib import Path

import page_code
import pytest

from probvae import likelihoods

FOLDER = Path(__file__).parent.parent / "docs" / "how-to"
OWN_TESTS = {"arviz.md", "logging.md", "write-your-own-part.md"}  # run, and limited, elsewhere
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name not in OWN_TESTS | {"index.md"})
MOST = 80  # lines


def ids(path):
    return path.stem


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_page_runs_and_shows_what_it_prints(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page_code.check_page(page)


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
        assert any(f"`{name}(" in line or f"({name}(" in line for line in table), name


def write(path, text):
    path.write_text(text)
    return path


def test_a_line_that_is_not_printed_is_noticed(tmp_path):
    block = "```python\nprint('KL', 5.14)\n#> KL {}\nx = 1\n```\n"
    page_code.check_page(write(tmp_path / "right.md", block.format("5.20")))
    for wrong in ("6.14", "5.14 nats"):
        with pytest.raises(AssertionError):
            page_code.check_page(write(tmp_path / "wrong.md", block.format(wrong)))
    with pytest.raises(AssertionError):
        page_code.check_page(write(tmp_path / "none.md", "```python\nprint(1)\n```\n"))


def test_the_start_of_a_long_line_is_enough():
    page_code.check_line("the loss is not finite ...", "the loss is not finite at step 7")
    with pytest.raises(AssertionError):
        page_code.check_line("the loss is finite ...", "the loss is not finite at step 7")
