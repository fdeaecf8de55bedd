"""The directions that imports may take, read from the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAMILIES = {"priors", "guides", "likelihoods", "objectives", "nets"}
LOW = {
    "typing",
    "faq",
    "checks",
    "interfaces",
    "compilation",
    "precision",
    "containers",
    "html",
    "equations",
    "short_repr",
    "user_warnings",
}
PARTS = LOW | {"nets", "distributions", "flows"}
CORE = PARTS | FAMILIES | {"inputs", "compatibility", "tracing"}
SHARED = CORE | {
    "vae",
    "batching",
    "evidence",
    "data",
    "data_description",
    "data_remedies",
    "data_checks",
    "table_inputs",
    "column_checks",
    "progress",
    "_version",
}

# what each part of the package may import of the package; itself always
MAY = {
    "typing": set(),
    "faq": set(),
    "checks": {"typing", "faq"},
    "compilation": {"typing"},  # one lock for all that runs programs
    "interfaces": {"typing", "checks"},
    "precision": {"typing", "faq"},
    "containers": {"typing", "faq", "checks", "precision"},
    "distributions": LOW,
    "data": {
        "typing",
        "faq",
        "checks",
        "precision",
        "containers",
        "html",
        "short_repr",
        "user_warnings",
    },
    "nets": LOW,
    "flows": LOW | {"nets", "distributions"},
    "priors": PARTS,
    "guides": PARTS,
    "likelihoods": PARTS,
    "objectives": PARTS - {"flows"},
    "inputs": LOW,
    "tracing": LOW | {"distributions"},
    "compatibility": LOW | {"nets", "tracing"},
    "table_vae": CORE | {"data"},
    "vae": CORE | {"data", "table_vae"},
    "batching": {"typing", "compilation"},
    "evidence": CORE | {"batching"},
    "data_description": CORE | {"data"},
    "data_remedies": CORE | {"data"},
    "table_inputs": SHARED - {"column_checks", "data_checks"},
    "data_checks": SHARED - {"column_checks"},
    "column_checks": SHARED - {"data_checks"},
    "progress": set(),
    "html": set(),
    "equations": set(),
    "short_repr": set(),
    "user_warnings": set(),
    "fitted": SHARED,
    "training": SHARED | {"fitted"},
    "table_training": SHARED | {"fitted", "training", "variant"},
    "variant_comparison": SHARED | {"fitted", "training"},
    "variant_training": SHARED | {"fitted", "training", "criticism", "variant", "variant_comparison"},
    "criticism": SHARED | {"fitted"},
}


def modules():
    return sorted((ROOT / "probvae").rglob("*.py"))


def imported(path):
    """Names below `probvae` that a module imports, and all top-level packages."""
    own, packages = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add(node.module.split(".")[0])
            below = node.module.split(".")[1:2] if node.module.split(".")[0] == "probvae" else None
            if below is not None:
                own |= set(below) if below else {alias.name for alias in node.names}
    return own, packages


def part(path):
    return path.relative_to(ROOT / "probvae").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own, packages = imported(path)
    allowed = MAY.get(part(path))
    if allowed is not None:
        assert own <= allowed | {part(path)}, f"may import {sorted(allowed)}"
    assert not packages & {"models", "inference", "tests"}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_compiled_programs_are_traced_alone(path):
    """``jax.jit`` would run NumPyro programs beside those of another thread: ``tracing.compile_program``."""
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)]
    assert path.name == "compilation.py" or not [n for n in nodes if n.attr == "jit"]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_family_imports_another(path):
    if part(path) in FAMILIES - {"nets"}:
        own, _ = imported(path)
        assert not own & (FAMILIES - {"nets", part(path)})


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    heavy = {
        "equinox",
        "matplotlib",
        "arviz",
        "arviz_base",
        "arviz_stats",
        "arviz_plots",
        "xarray",
        "PIL",
        "sklearn",
    }
    top = ast.Module(
        [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)],
        [],
    )
    names = {a.name.split(".")[0] for n in ast.walk(top) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module.split(".")[0] for n in ast.walk(top) if isinstance(n, ast.ImportFrom)}
    if path.name == "notebook_figure.py":  # is itself imported where it is used
        heavy.remove("matplotlib")
    assert not names & heavy


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_grows_beyond_reading(path):
    assert len(path.read_text().splitlines()) <= 500
    assert "import *" not in path.read_text()
    assert not re.search(r"from __future__ import annotations", path.read_text())


def test_no_import_cycle():
    """Modules import each other in one direction, at the top of a file or below it."""
    names = {}
    for path in modules():
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    edges = {}
    for name, path in names.items():
        edges[name] = set()
        for node in ast.parse(path.read_text()).body:  # what runs when the module is imported
            if isinstance(node, ast.ImportFrom) and node.module in names:
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                found = below & names.keys()
                edges[name] |= found or {node.module}
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, " -> ".join([*open_[open_.index(name) :], name])
        if name not in done:
            open_.append(name)
            for other in sorted(edges[name]):
                visit(other)
            open_.pop()
            done.add(name)

    for name in sorted(names):
        visit(name)
