"""The tutorial runs from its first line to its last, says what it prints, and shows what it draws."""

import contextlib
import io
import os
import re
import shutil
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "tutorials" / "digits.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
MOST = 400  # lines


def numbers(line):
    return [float(found.replace(",", "")) for found in re.findall(NUMBER, line)]


def check(said, printed):
    """The same words, and numbers as near as another machine's rounding leaves trained models."""
    assert re.sub(NUMBER, "#", said) == re.sub(NUMBER, "#", printed)
    assert numbers(printed) == pytest.approx(numbers(said), rel=0.15, abs=0.06), said


def figures_shown():
    return {Path(name).name for name in re.findall(r"!\[[^\]]+\]\(../figures/([^)]+)\)", PAGE)}


@pytest.mark.slow
def test_the_tutorial_says_what_its_code_prints_and_shows_what_it_draws(tmp_path, monkeypatch):
    """`PROBVAE_FIGURES=1` keeps the figures that were drawn, for the page."""
    monkeypatch.chdir(tmp_path)
    names = {}
    with threadpool_limits(1):  # scikit-learn's threads, beside others, wait for each other
        for block in BLOCKS:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, "digits.md", "exec"), names)
            said = re.findall(r"^#> (.*)$", block, flags=re.MULTILINE)
            printed = out.getvalue().splitlines()
            assert len(said) == len(printed), printed
            for pair in zip(said, printed, strict=True):
                check(*pair)
    drawn = sorted((tmp_path / "figures").iterdir())
    assert {path.name for path in drawn} == figures_shown()
    if os.environ.get("PROBVAE_FIGURES"):
        for path in drawn:
            shutil.copy(path, DOCS / "figures")


def test_the_tutorial_is_short_and_its_figures_are_there_and_small():
    assert len(PAGE.splitlines()) < MOST
    paths = sorted((DOCS / "figures").iterdir())
    assert {path.name for path in paths} >= figures_shown()
    assert sum(path.stat().st_size for path in paths) < 500_000


def test_a_number_that_is_wrong_is_seen():
    check("KL 5.14 nats, 100,000 draws", "KL 5.20 nats, 100,000 draws")
    for wrong in ("KL 6.14 nats", "KL -5.14 nats", "ELBO 5.14 nats"):
        with pytest.raises(AssertionError):
            check("KL 5.14 nats", wrong)
