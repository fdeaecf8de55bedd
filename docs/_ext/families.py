"""The directive ``family`` of the reference: a table of a family's public names, an entry for each.

    ```{family} probvae.objectives
    Bounds: AbstractObjective
    Schedules of a weight: CosineWarmUp, CyclicalSchedule
    ```

A line is a group: a title and its names. A base class stands for its subclasses, too. Names that no
line has form the last group, so a new public name is on the page as soon as ``__all__`` has it. An
object with two public names (``probvae.diagnose``, ``probvae.criticism.diagnose``) has one entry, at
the shorter name.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path
from typing import Any, NamedTuple

from docstrings import to_rst
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry, PyObject, PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

DIRECTIVE = re.compile(r"^```\{family\} (\S+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
TYPES = {
    "Recipe": "Any function ``(in_shape, out_shape, *, rngs) -> nnx.Module``, such as every net here."
}
DIRECT: set[int] = set()  # objects with an entry of their own, for modules that are public names, too
EXTRA = {  # public, without a family of their own
    "probvae": ("probvae.fitted.Interval",),
    "probvae.runs": ("probvae.cli.main",),
}


class Name(NamedTuple):
    """A public name: as its family has it, where its entry is, and the object."""

    name: str
    entry: str
    value: Any


def public_names(module: types.ModuleType) -> list[str]:
    """Return ``__all__``, or the documented classes and functions that a module defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = {n: o for n, o in vars(module).items() if inspect.isclass(o) or inspect.isfunction(o)}
    return [n for n, o in own.items() if o.__module__ == module.__name__ and not n.startswith("_")]


def find_families(folder: Path) -> dict[str, str]:
    """Return the page of each family, by module, as the pages of the reference say."""
    return {
        module: f"reference/{page.stem}"
        for page in sorted(folder.glob("*.md"))
        for module, _ in DIRECTIVE.findall(page.read_text())
    }


def is_family(value: Any, families: dict[str, str]) -> bool:
    """Whether a public name is a module with a page of its own."""
    return isinstance(value, types.ModuleType) and value.__name__ in families


def resolve_extra(path: str) -> Any:
    """Return the object at a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def entries(families: dict[str, str]) -> dict[str, list[Name]]:
    """Return the public names of each family. The shortest public name of an object has its entry."""
    found: dict[str, list[Name]] = {}
    shortest: dict[int, str] = {}
    for family in sorted(families, key=lambda name: (name.count("."), name)):
        module = importlib.import_module(family)
        found[family] = []
        for name in public_names(module):
            value = getattr(module, name)
            if not is_family(value, families):
                entry = shortest.setdefault(id(value), f"{family}.{name}")
                found[family].append(Name(f"{family}.{name}", entry, value))
        for path in EXTRA.get(family, ()):
            value = resolve_extra(path)
            found[family].append(Name(path, shortest.setdefault(id(value), path), value))
    DIRECT.update(shortest)
    return found


def all_entries(families: dict[str, str]) -> dict[str, str]:
    """Return the dotted name of every entry, members of modules included, with its page."""
    written = {}
    for family, names in entries(families).items():
        for each in names:
            if each.name == each.entry:
                for path in entry_paths(each):
                    written[path] = families[family]
    return written


def entry_paths(each: Name) -> list[str]:
    """Return the dotted names that the entry of a public name documents: of a module, its members'."""
    if isinstance(each.value, types.ModuleType):
        members = {name: getattr(each.value, name) for name in public_names(each.value)}
        return [f"{each.entry}.{n}" for n, o in members.items() if id(o) not in DIRECT]
    return [each.entry]


def group(names: list[Name], lines: str) -> list[tuple[str, list[Name]]]:
    """Sort names into the groups that the lines give. What is left is the last group."""
    left, groups = list(names), []
    for line in filter(str.strip, lines.splitlines()):
        title, _, listed = line.partition(":")
        chosen: list[Name] = []
        for wanted in (each.strip() for each in listed.split(",")):
            first = [n for n in left if n.name.rpartition(".")[2] == wanted]
            if not first:
                raise ValueError(f"family: {wanted!r} of the group {title!r} is no name of this family")
            base = first[0].value
            below = [
                n
                for n in left
                if wanted.startswith("Abstract")
                and inspect.isclass(n.value)
                and issubclass(n.value, base)
            ]
            for each in [*first, *(n for n in below if n is not first[0])]:
                if each not in chosen:
                    chosen.append(each)
        left = [n for n in left if n not in chosen]
        # an interface comes last in its group: users choose a part, authors subclass
        chosen.sort(key=lambda n: n.name.rpartition(".")[2].startswith("Abstract"))
        groups.append((title.strip(), chosen))
    if left:
        groups.append(("Further names" if groups else "", left))
    return groups


def summary(each: Name) -> tuple[str, str]:
    """Return the first paragraph of a docstring, and the formula that the next one begins with."""
    last = each.name.rpartition(".")[2]
    if last in TYPES:
        return TYPES[last], ""
    doc = inspect.getdoc(each.value) or ""
    paragraphs = doc.split("\n\n")
    first = " ".join(paragraphs[0].split())
    formula = re.match(r"\$\$?([^$]+)\$\$?", paragraphs[1].strip()) if len(paragraphs) > 1 else None
    if formula is None or formula[1].rstrip().endswith((r"\sim", "=")):
        return to_rst(first), ""
    return to_rst(first), f":math:`{' '.join(formula[1].split()).rstrip('.,')}`"


def paper(each: Name) -> str:
    """Return the first paper that a docstring names: its authors, year and link."""
    doc = " ".join((inspect.getdoc(each.value) or "").split())
    found = re.search(r"Reference:? ([A-Z].{,90}?(?:19|20)\d\d\b(?:, arXiv:\d{4}\.\d{4,5})?)", doc)
    return to_rst(found[1]) if found else ""


def write_table(groups: list[tuple[str, list[Name]]]) -> list[str]:
    """Return the table at the top of a page: name, then meaning, formula and paper below one another.

    Two columns, so that a phone shows the whole.
    """
    papers = any(paper(each) for _, names in groups for each in names)
    lines = [".. list-table::", "   :class: family-table", "   :header-rows: 1", ""]
    lines += ["   * - Name", f"     - What it is{', its formula and its paper' if papers else ''}"]
    for title, names in groups:
        if title:
            lines += [f"   * - **{title}**", "     -"]
        for each in names:
            target = entry_paths(each)[0] if isinstance(each.value, types.ModuleType) else each.entry
            lines.append(f"   * - :py:obj:`{each.name.rpartition('.')[2]} <{target}>`")
            first, formula = summary(each)
            lines.append(f"     - {first}")
            for line in filter(None, (formula, paper(each))):
                lines += ["", f"       {line}"]
    return lines


def write_entry(path: str, value: Any) -> list[str]:
    """Return the directive that documents one object."""
    last = path.rpartition(".")[2]
    if last in TYPES:
        return [f".. py:data:: {path}", "", f"   {TYPES[last]}", ""]
    if inspect.isclass(value):
        return [f".. autoclass:: {path}", "   :members:", "   :member-order: bysource", ""]
    return [
        f".. autofunction:: {path}"
        if inspect.isfunction(inspect.unwrap(value))
        else f".. autodata:: {path}",
        "",
    ]


def expand(module: str, lines: str, families: dict[str, str]) -> str:
    """Return the MyST source of a family: its table, then a section for each group."""
    groups = group(entries(families)[module], lines)
    written = ["```{eval-rst}", *write_table(groups), "```", ""]
    for title, names in groups:
        if any(each.name == each.entry for each in names):
            written += [f"## {title or 'Entries'}", ""]
        for each in names:
            if each.name != each.entry:
                continue
            if isinstance(each.value, types.ModuleType):
                written += [
                    f"### {each.entry}",
                    "",
                    (inspect.getdoc(each.value) or "").split("\n\n")[0],
                    "",
                ]
            written.append("```{eval-rst}")
            for path in entry_paths(each):
                member = isinstance(each.value, types.ModuleType)
                value = getattr(each.value, path.rpartition(".")[2]) if member else each.value
                written += write_entry(path, value)
            written += ["```", ""]
    return "\n".join(written)


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Write the families into the source of a page before it is parsed."""
    if docname.startswith("reference/"):
        families = find_families(Path(app.srcdir) / "reference")
        source[0] = DIRECTIVE.sub(lambda m: expand(m[1], m[2], families), source[0])


def add_aliases(app: Sphinx, env: BuildEnvironment) -> None:
    """Let links and the inventory know the longer public names of an object, too."""
    objects = env.domains.python_domain.objects
    for names in entries(find_families(Path(app.srcdir) / "reference")).values():
        for each in names:
            if each.entry in objects and each.name not in objects:
                objects[each.name] = objects[each.entry]._replace(aliased=True)


def look_up(domain: PythonDomain, target: str, near: str | None) -> tuple[str, ObjectEntry] | None:
    """Find the one object that a short name means: ``priors.Flow``, ``Fitted.elbo``, ``MeanField``."""
    target = target.strip().removesuffix("()").lstrip("~.")
    if target in domain.objects:
        return target, domain.objects[target]
    ending = f".{target}"
    found = {n: e for n, e in domain.objects.items() if n.endswith(ending) and n.startswith("probvae.")}
    public = {n: e for n, e in found.items() if not e.aliased}
    if len(public) > 1 and near:
        public = {n: e for n, e in public.items() if n == f"{near}.{target}"}
    return public.popitem() if len(public) == 1 else None


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, child: nodes.Node
) -> nodes.Node | None:
    """Link what Sphinx itself does not find: short names in docstrings and signatures."""
    if node.get("refdomain") != "py":
        return None
    found = look_up(env.domains.python_domain, node["reftarget"], node.get("py:module"))
    if found is None:
        return None
    name, entry = found
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, [child], name)


class LinkCode(SphinxPostTransform):
    """Make links of the public names that stand as code in prose: `priors.VampPrior(50)`, `fit`."""

    default_priority = 20
    NAME = re.compile(
        r"((?:probvae\.)?(?:[a-z_]+\.)*[A-Za-z]\w*(?:\.[a-z]\w*)*)(?:\(.*\))?", flags=re.DOTALL
    )

    def run(self, **kwargs: Any) -> None:
        domain = self.env.domains.python_domain
        page = self.env.docname
        for node in list(self.document.findall(nodes.literal)):
            if not self.is_prose(node):
                continue
            match = self.NAME.fullmatch(node.astext())
            if not match or not (
                "." in match[1] or match[1][0].isupper() or match[1] in ("fit", "diagnose")
            ):
                continue
            found = look_up(domain, match[1], None)
            if found:
                name, entry = found
                link = make_refnode(
                    self.app.builder, page, entry.docname, entry.node_id, [node.deepcopy()], name
                )
                node.replace_self(link)

    @staticmethod
    def is_prose(node: nodes.Node) -> bool:
        parent = node.parent
        while parent is not None:
            if isinstance(parent, nodes.reference | nodes.title | pending_xref | nodes.term):
                return False
            parent = parent.parent
        return True


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to the reading of pages and to the resolution of links."""
    for kind in PyObject.doc_field_types:
        if kind.name == "variable":
            kind.label = "Attributes"
    app.connect("source-read", read_source)
    app.connect("env-updated", add_aliases)
    app.connect("missing-reference", resolve)
    app.add_post_transform(LinkCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
