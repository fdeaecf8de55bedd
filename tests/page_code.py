"""Runs the Python blocks of a page in order, and compares what they print with the page.

A line ``#> text`` under a statement is what that statement prints. A line that ends in ``...`` is the
start of a longer one. ``PROBVAE_PAGES=1`` writes the lines that were printed into the page.
"""

import ast
import contextlib
import io
import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest

BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
REWRITE = bool(os.environ.get("PROBVAE_PAGES"))
WIDTH = 110  # of a printed line in a page


class Printed(NamedTuple):
    """The lines that one statement printed, and those that the page has under it."""

    lines: list[str]
    on_page: list[str]


def run_page(page: Path, names: dict | None = None) -> list[Printed]:
    """Run all blocks of a page in one namespace, and return what each statement printed."""
    names = {"__name__": "page"} if names is None else names
    text, printed = page.read_text(), []

    def run_block(match: re.Match) -> str:
        lines, place = match[1].splitlines(), 0
        written = []
        for statement in ast.parse(match[1]).body:
            out = io.StringIO()
            code = compile(ast.Module([statement], []), str(page), "exec")
            with contextlib.redirect_stdout(out):
                exec(code, names)
            end = statement.end_lineno
            written += [line for line in lines[place:end] if not line.startswith("#>")]
            place, on_page = end, []
            while place < len(lines) and lines[place].startswith("#>"):
                on_page.append(lines[place][2:].removeprefix(" "))
                place += 1
            printed.append(Printed(out.getvalue().splitlines(), on_page))
            written += [f"#> {shorten(line)}".rstrip() for line in printed[-1].lines]
        return "\n".join(["```python", *written, *lines[place:], "```"])

    rewritten = BLOCK.sub(run_block, text)
    if REWRITE:
        page.write_text(rewritten)
    return printed


def shorten(line: str) -> str:
    """Return the start of a long line, cut between two words, with ``...``."""
    if len(line) <= WIDTH:
        return line
    return line[: line.rindex(" ", 0, WIDTH)] + " ..."


def numbers(line: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(NUMBER, line)]


def check_line(on_page: str, printed: str) -> None:
    """The same words, and numbers as near as another machine's rounding leaves trained models."""
    if on_page.endswith(" ..."):
        on_page = on_page.removesuffix(" ...")
        printed = " ".join(printed.split(" ")[: len(on_page.split(" "))])
    assert re.sub(NUMBER, "#", on_page).rstrip() == re.sub(NUMBER, "#", printed).rstrip()
    assert numbers(printed) == pytest.approx(numbers(on_page), rel=0.15, abs=0.06), on_page


def check_page(page: Path, names: dict | None = None) -> None:
    """Run a page, and check that it shows what its code prints."""
    for lines, on_page in run_page(page, names):
        if not REWRITE:
            assert len(lines) == len(on_page), lines
            for pair in zip(on_page, lines, strict=True):
                check_line(*pair)
