"""The extras of pyproject.toml: what each brings is what works together."""

import re
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(extra):
    """Return what an extra requires, with the extras that it names itself."""
    needed = []
    for line in EXTRAS[extra]:
        nested = re.fullmatch(r"probvae\[([\w,-]+)\]", line)
        others = nested.group(1).split(",") if nested else []
        needed += [line] if nested is None else [each for name in others for each in requirements(name)]
    return needed


@pytest.mark.parametrize("extra", EXTRAS)
def test_arviz_plots_on_python_3_11_has_a_matplotlib_it_can_import(extra):
    needed = requirements(extra)
    brings_matplotlib = any("matplotlib" in line for line in needed)
    bounded = any(re.match(r"matplotlib\S*<3\.11; python_version < '3\.12'", line) for line in needed)
    assert bounded or not brings_matplotlib


@pytest.mark.parametrize("extra", sorted({*EXTRAS} - {"all", "cuda", "dev"}))
def test_the_script_that_tries_extras_uses_each(extra):
    script = (Path(__file__).parent.parent / ".ci" / "extras").read_text("utf-8")
    assert f'    "{extra}": ' in script
