"""The reference: every public name has its place, and says what it takes and raises."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
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


@pytest.fixture(scope="module")
def reference():
    """The modules of `docs/_ext`, which write the reference."""
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    import families

    return families


def test_every_public_name_has_one_entry_in_the_reference(reference):
    pages = reference.find_families(ROOT / "docs" / "reference")
    written = [path for path in reference.all_entries(pages)]
    shown = {id(each.value) for names in reference.entries(pages).values() for each in names}
    assert len(set(written)) == len(written)
    assert not [name for name, value in NAMED if id(value) not in shown]


def test_a_group_names_what_its_family_has(reference):
    pages = reference.find_families(ROOT / "docs" / "reference")
    for page in PAGES:
        for family, lines in reference.DIRECTIVE.findall(page.read_text()):
            assert reference.expand(family, lines, pages)
    with pytest.raises(ValueError, match="'VampPriors' of the group 'Normal' is no name"):
        reference.expand("probvae.priors", "Normal: VampPriors", pages)


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
