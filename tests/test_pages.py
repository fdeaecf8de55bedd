"""Every ``python`` block of every page runs, and prints what the page says after ``#>``."""

import ast
import contextlib
import io
import re
import sys

import pytest
import site_pages
from test_logging_page import loggers
from threadpoolctl import threadpool_limits

NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
PAGES = {
    site_pages.name(page): page for page in site_pages.all_pages() if BLOCK.search(page.read_text())
}
RUN_ELSEWHERE = {"how-to/arviz.md", "how-to/logging.md"}  # test_docs, test_logging_page


def blocks(page):
    return BLOCK.findall(page.read_text())


def numbers(line):
    return [float(found.replace(",", "")) for found in re.findall(NUMBER, line)]


def check(said, printed):
    """The same words, and numbers as near as another machine's rounding leaves trained models.

    A line of the page that ends in ``...`` is the start of a longer one, such as an error.
    """
    said, printed = " ".join(said.split()), " ".join(printed.split())
    if said.endswith(" ..."):
        said = said.removesuffix(" ...")
        printed = " ".join(printed.split()[: len(said.split())])
    assert re.sub(NUMBER, "#", said) == re.sub(NUMBER, "#", printed)
    assert numbers(printed) == pytest.approx(numbers(said), rel=0.15, abs=0.06), said


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_is_python(page):
    for block in blocks(PAGES[page]):
        ast.parse(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(set(PAGES) - RUN_ELSEWHERE))
def test_a_page_says_what_its_code_prints(page, tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    for module, stand_in in loggers([]).items():
        monkeypatch.setitem(sys.modules, module, stand_in)
    names = {"__name__": "page"}
    with threadpool_limits(1):
        for block in blocks(PAGES[page]):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, page, "exec"), names)
            said = re.findall(r"^ *#> ?(.*)$", block, flags=re.MULTILINE)
            printed = out.getvalue().splitlines()
            if said:
                assert len(said) == len(printed), printed
                for pair in zip(said, printed, strict=True):
                    check(*pair)


def test_a_number_that_is_wrong_is_seen():
    check("KL 5.14 nats, 100,000 draws", "KL 5.20 nats, 100,000 draws")
    for wrong in ("KL 6.14 nats", "KL -5.14 nats", "ELBO 5.14 nats"):
        with pytest.raises(AssertionError):
            check("KL 5.14 nats", wrong)


def test_the_start_of_a_long_line_is_enough():
    check("the loss is not finite ...", "the loss is not finite at step 7")
    with pytest.raises(AssertionError):
        check("the loss is finite ...", "the loss is not finite at step 7")
