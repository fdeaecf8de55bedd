"""The site: every public name has its place on it, says what it takes and raises, and the pages build."""

import ast
import dataclasses
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

import probvae
from probvae import interfaces

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
ROLES = (
    interfaces.AbstractPrior,
    interfaces.AbstractGuide,
    interfaces.AbstractLikelihood,
    probvae.objectives.AbstractObjective,
)
NO_PAPER = {"LearnedNormal", "AbstractObjective"}
ALIASES = {"Recipe"}  # of a type: no docstring of its own


def public():
    """All public objects by their dotted names: of the package, its subpackages, and the interfaces."""
    packages = [m.name for m in pkgutil.iter_modules(probvae.__path__) if m.ispkg]
    modules = [probvae, *(importlib.import_module(f"probvae.{name}") for name in packages)]
    found = {f"{m.__name__}.{n}": getattr(m, n) for m in modules for n in getattr(m, "__all__", ())}
    own = {n: o for n, o in vars(interfaces).items() if inspect.isclass(o)}
    mine = {n: o for n, o in own.items() if o.__module__ == interfaces.__name__}
    return found | {f"{interfaces.__name__}.{name}": value for name, value in mine.items()}


def resolved(path):
    """The object at a dotted path; the deepest module that there is, then attributes."""
    parts = path.split(".")
    for at in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:at]))
        except ImportError:
            continue
        for name in parts[at:]:
            found = getattr(found, name)
        return found
    raise ImportError(path)


def directives(page):
    return re.findall(r"^```\{family\} (\S+)$", page.read_text(), flags=re.MULTILINE)


PUBLIC = public()
ONCE = {id(o): (name, o) for name, o in PUBLIC.items() if not isinstance(o, types.ModuleType)}
NAMED = [each for each in ONCE.values() if each[0].split(".")[-1] not in ALIASES]


def words(doc):
    """What is left of a text without its marks."""
    return re.sub(r"\W+", " ", doc).strip()


def parameters(what):
    """What a reader may give: fields of a dataclass or named tuple, parameters of a function."""
    if dataclasses.is_dataclass(what):
        return [field.name for field in dataclasses.fields(what) if field.init]
    if inspect.isclass(what):
        return list(getattr(what, "_fields", ()))
    return [name for name in inspect.signature(what).parameters if name != "rng_key"]


def raises(what):
    """Whether the code itself raises: of a class, as it is made."""
    code = what.__dict__.get("__post_init__") if inspect.isclass(what) else what
    if code is None or not inspect.isfunction(code):
        return False
    tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree))


def faults(name, what):
    """What a docstring lacks."""
    doc = what.__doc__ or ""
    if not doc.strip() or doc.startswith(f"{what.__name__}("):
        return ["a docstring"]
    lacks = [p for p in parameters(what) if not re.search(rf"(?<![\w$]){re.escape(p)}(?!\w)", doc)]
    if raises(what) and not re.search(r"Raises:|[Rr]aise[sd]?\b", doc):
        lacks.append("Raises")
    part = inspect.isclass(what) and issubclass(what, ROLES) and name.split(".")[1] != "interfaces"
    if part and what.__name__ not in NO_PAPER and not re.search(r"arXiv|(19|20)\d\d", doc):
        lacks.append("a source")
    return lacks


def test_every_family_has_a_page_of_the_reference():
    shown = {name for page in PAGES for name in directives(page)}
    modules = {o.__name__ for o in PUBLIC.values() if isinstance(o, types.ModuleType)}
    assert {name for name in modules if name.count(".") == 1} <= shown


@pytest.mark.parametrize(("name", "what"), NAMED, ids=[name for name, _ in NAMED])
def test_a_docstring_names_what_is_taken_what_is_raised_and_where_it_is_from(name, what):
    assert faults(name, what) == []


def test_the_check_of_docstrings_sees_what_is_missing():
    def terse(x, y):
        """Return x."""
        if y:
            raise ValueError

    assert faults("probvae.terse", terse) == ["y", "Raises"]

    @dataclasses.dataclass
    class Prior(interfaces.AbstractPrior):
        scale: float = 1.0

    assert faults("probvae.Prior", Prior) == ["a docstring"]
    Prior.__doc__ = "p(z) = Normal(0, scale)."
    assert faults("probvae.Prior", Prior) == ["a source"]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_the_network(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ROOT / "docs", "site"]
    environment = os.environ | {"PROBVAE_DOCS_EXECUTE": "off"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for page in (tmp_path / "site").rglob("*.html"):
        html = page.read_text()
        assert not re.search(r'(<script|<link|<img|@import)[^>]*["(](https?:)?//', html), page.name
