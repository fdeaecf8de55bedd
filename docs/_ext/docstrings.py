"""Docstrings for autodoc: formulas between dollars, links to papers, signatures from the source."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

MARKUP = re.compile(r"(``.+?``)|(?<!\w)\$([^$\s](?:[^$]*[^$\s])?)\$|\|", flags=re.DOTALL)
BLOCK = re.compile(r"^( *)\$\$(.+?)\$\$(.*)$", flags=re.DOTALL | re.MULTILINE)
PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
SHORT_TYPES = {  # how a signature shows the package's own kinds and aliases
    **dict.fromkeys(("PositiveInt", "IntAboveOne", "NonNegativeInt"), "int"),
    **dict.fromkeys(("PositiveFloat", "NonNegativeFloat", "UnitInterval", "OpenUnitInterval"), "float"),
    **dict.fromkeys(("Rate", "Number", "Scalar"), "float"),
    **dict.fromkeys(("ArrayLike", "Data", "Latent", "PerDatum", "jax.Array", "np.ndarray"), "Array"),
    **dict.fromkeys(("Shape", "Sizes"), "tuple[int, ...]"),
    "PATH": "Path",
}
LONGEST_TYPE = 48


def to_rst(text: str) -> str:
    """Return a docstring as reStructuredText: formulas as roles, and papers as links."""
    paragraphs = text.split("\n\n")
    for i, paragraph in enumerate(paragraphs):
        if all(line.startswith("    ") for line in paragraph.splitlines()) and _is_code(paragraphs, i):
            paragraphs[i] = f"::\n\n{paragraph}"
        elif ">>>" not in paragraph:
            paragraphs[i] = PAPER.sub(
                r"`arXiv:\1 <https://arxiv.org/abs/\1>`__",
                MARKUP.sub(_inline, BLOCK.sub(_block, paragraph)),
            )
    return "\n\n".join(paragraphs)


def _is_code(paragraphs: list[str], i: int) -> bool:
    """Whether an indented paragraph is code: it follows text that is no section."""
    before = paragraphs[i - 1] if i else ":"
    return (
        bool(paragraphs[i].strip())
        and before[:1] not in (" ", "")
        and not before.endswith(":")
        and ("\n" not in before or before.splitlines()[-1][:1] != " ")
    )


def _inline(match: re.Match[str]) -> str:
    literal, formula = match.groups()
    if literal or not formula:
        return literal or "\\|"
    text = match.string
    before = "\\ " if match.start() and text[match.start() - 1].isalnum() else ""
    after = "\\ " if text[match.end() : match.end() + 1].isalnum() else ""
    return f"{before}:math:`{formula}`{after}"


def _block(match: re.Match[str]) -> str:
    """Return ``$$...$$`` as a role, which may stand between the lines of a paragraph."""
    indent, formula, rest = match.groups()
    body = " ".join(formula.split())
    ending = rest.strip(" .,")
    return f"{indent}:display:`{body}`" + (f"\n{indent}{ending}" if ending else "")


def display_formula(
    name: str, rawtext: str, text: str, *args: Any
) -> tuple[list[nodes.Node], list[Any]]:
    """Set a formula on a line of its own, between the lines of a paragraph."""
    formula = rawtext.partition("`")[2].removesuffix("`")
    return [nodes.math_block(rawtext, formula, nowrap=False, number=None, label=None)], []


def process_docstring(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Rewrite a docstring before napoleon reads its sections."""
    text = to_rst("\n".join(lines))
    text = re.sub(
        r"^( *)((?:\w+Error, )+\w+Error):", lambda m: m[0].replace(", ", " or "), text, flags=re.M
    )
    lines[:] = text.splitlines()


def skip_member(app: Sphinx, what: str, name: str, obj: Any, *_: Any) -> bool | None:
    """Skip fields, which stand under Args, and what has no docstring of its own."""
    method = inspect.isroutine(obj) or isinstance(obj, property | functools.cached_property)
    return None if method and not name.startswith("_") and inspect.getdoc(obj) else True


def shorten(annotation: ast.expr | None) -> str:
    """Return a type as a signature shows it, or nothing if it is long."""
    if annotation is None:
        return ""
    text = ast.unparse(annotation).strip("'\"")
    text = re.sub(r"\b(?:Float|Num|Int|Bool)\[(\w+(?:\.\w+)?), '[^']*'\]", r"\1", text)
    text = re.sub(r"(?<![\w.])[\w.]+", lambda m: SHORT_TYPES.get(m[0], m[0]), text)
    text = text.replace("Array | Array", "Array").replace("Callable[..., Any]", "Callable")
    return text if len(text) <= LONGEST_TYPE else ""


def default_of(value: ast.expr | None) -> str:
    """Return a field's default as a caller writes it."""
    if value is None:
        return ""
    call = value if isinstance(value, ast.Call) else None
    name = ast.unparse(call.func).split(".")[-1] if call else ""
    if call and name == "field":
        given = {each.arg: each.value for each in call.keywords}
        if "default_factory" in given:
            made = given["default_factory"]
            body = made.body if isinstance(made, ast.Lambda) else None
            return ast.unparse(body) if body else f"{ast.unparse(made)}()"
        return ast.unparse(given["default"]) if "default" in given else ""
    if call and name == "scale_bound":
        return ast.unparse(call.args[0])
    return ast.unparse(value)


def parameter(name: str, annotation: ast.expr | None, default: str) -> str:
    """Return one parameter of a signature."""
    kind = shorten(annotation)
    typed = f"{name}: {kind}" if kind else name
    return f"{typed}{' = ' if kind else '='}{default}" if default else typed


def parse(obj: Any) -> ast.stmt:
    """Return the definition of a class or function."""
    return ast.parse(textwrap.dedent(inspect.getsource(obj))).body[0]


def fields_of(cls: type) -> list[str]:
    """Return the parameters of a dataclass or named tuple, each as in the class that declares it."""
    declared: dict[str, tuple[ast.expr, ast.expr | None]] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base) or hasattr(base, "_fields"):
            for node in parse(base).body:  # type: ignore[attr-defined]
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    declared[node.target.id] = (node.annotation, node.value)
    if dataclasses.is_dataclass(cls):
        fields = [(field.name, field.kw_only) for field in dataclasses.fields(cls) if field.init]
    else:
        fields = [(name, False) for name in cls._fields]  # type: ignore[attr-defined]
    written: list[str] = []
    for keyword_only in (False, True):
        chosen = [name for name, only in fields if only == keyword_only]
        if keyword_only and chosen:
            written.append("*")
        for name in chosen:
            annotation, value = declared[name]
            written.append(parameter(name, annotation, default_of(value)))
    return written


def parameters_of(function: Callable[..., Any]) -> tuple[list[str], str]:
    """Return the parameters of a function without ``self``, and its return type."""
    node = parse(inspect.unwrap(function))
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    written = [
        parameter(each.arg, each.annotation, ast.unparse(value) if value else "")
        for each, value in zip(plain, defaults, strict=True)
        if each.arg not in ("self", "cls")
    ]
    if arguments.vararg:
        written.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        written.append("*")
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        written.append(parameter(each.arg, each.annotation, ast.unparse(value) if value else ""))
    if arguments.kwarg:
        written.append(f"**{arguments.kwarg.arg}")
    return written, shorten(node.returns)


def process_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str] | None:
    """Write a signature from the source: names of types, and defaults as the author wrote them."""
    if signature is None:  # of a class that takes what its base takes
        return None
    try:
        if not inspect.isclass(obj):
            written, returns = parameters_of(obj)
            return f"({', '.join(written)})", returns
        if dataclasses.is_dataclass(obj) or hasattr(obj, "_fields"):
            return f"({', '.join(fields_of(obj))})", ""
        if "__init__" in vars(obj):
            return f"({', '.join(parameters_of(obj.__init__)[0])})", ""
    except (OSError, TypeError, AssertionError):
        return None
    return "", ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to autodoc, before napoleon."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_role("display", display_formula)
    app.connect("autodoc-process-docstring", process_docstring, priority=400)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
