"""HTML pieces that notebook outputs and reports share: badges, tables, folded details, style.

Every function returns ``Markup``, a ``str`` that needs no further escaping, and escapes each argument
that is an ordinary string. So the text of a user, such as a column name, never becomes markup.
"""

from collections.abc import Iterable, Mapping

from markupsafe import Markup

# The palette of Okabe and Ito, which colour-blind readers can tell apart. Dark text has a contrast of
# at least 4.5 to 1 on each, so that a badge needs no other colours on a dark page.
BADGE_COLOURS = {"fault": "#d55e00", "limit": "#e69f00", "note": "#a9b8c6", "ok": "#009e73"}
BADGE_SYMBOLS = {"fault": "\u2715", "limit": "\u25b2", "note": "\u25cf", "ok": "\u2713"}
BADGE_WORDS = {"fault": "fault", "limit": "limit", "note": "note", "ok": "no fault"}

BADGE_STYLE = """\
.probvae-badge {
  display: inline-block; padding: .05em .6em; border-radius: 1em; color: #111;
  font: 600 .85em/1.6 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; white-space: nowrap;
}
""" + "".join(f".probvae-badge-{kind} {{ background: {c}; }}\n" for kind, c in BADGE_COLOURS.items())

# Text has the colour of the page and lines are half transparent. So an output fits light and dark
# themes of JupyterLab, VS Code and the site, also where the operating system has another theme.
STYLE = (
    BADGE_STYLE
    + """\
.probvae { line-height: 1.5; max-width: 60rem; overflow-x: auto; }
.probvae p { margin: .3em 0; }
.probvae .probvae-quiet { opacity: .75; }
.probvae table {
  border-collapse: collapse; margin: .4em 0; width: auto; font-size: 1em; color: inherit; border: 0;
}
.probvae table th, .probvae table td {
  text-align: left; vertical-align: top; padding: .25em .9em .25em 0; white-space: normal;
  color: inherit; background: none;
  border: 0; border-bottom: 1px solid rgba(128, 128, 128, .35); overflow-wrap: anywhere;
  max-width: 45rem;
}
.probvae table th { font-weight: 600; overflow-wrap: break-word; }
.probvae table .probvae-number {
  text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums;
}
.probvae details > summary { cursor: pointer; }
.probvae table.probvae-equations { font-size: 1.1em; }
.probvae table.probvae-equations td { border: 0; padding: .15em .2em; vertical-align: baseline; }
.probvae table.probvae-equations td:first-child { text-align: right; white-space: nowrap; }
"""
)


def badge(kind: str, text: str = "") -> Markup:
    """Return a coloured badge with a symbol and a word.

    A page with badges needs ``BADGE_STYLE``. ``block`` adds it.

    Args:
        kind: ``"fault"``, ``"limit"``, ``"note"`` or ``"ok"``. It sets the colour and the symbol.
        text: the text. By default the word for the kind.
    """
    return Markup('<span class="probvae-badge probvae-badge-{}">{} {}</span>').format(
        kind, BADGE_SYMBOLS[kind], text or BADGE_WORDS[kind]
    )


def table(rows: Mapping[str, str] | Iterable[tuple[str, str]]) -> Markup:
    """Return a table of two columns: a heading and its value in each row."""
    pairs = rows.items() if isinstance(rows, Mapping) else rows
    return Markup("<table>{}</table>").format(
        Markup("").join(Markup("<tr><th>{}</th><td>{}</td></tr>").format(*pair) for pair in pairs)
    )


def columns(names: Iterable[str], rows: Iterable[Iterable[str]], *, num_text: int = 0) -> Markup:
    """Return a table of numbers with a heading for each column. The first ``num_text`` hold text."""

    def join_cells(tag: str, row: Iterable[str]) -> Markup:
        kinds = (' class="probvae-number"' * (i >= num_text) for i, _ in enumerate(row))
        return Markup("").join(
            Markup("<{}{}>{}</{}>").format(tag, Markup(kind), cell, tag)
            for kind, cell in zip(kinds, row, strict=True)
        )

    heads = join_cells("th", tuple(names))
    body = Markup("").join(Markup("<tr>{}</tr>").format(join_cells("td", tuple(row))) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(heads, body)


def equations(sides: Iterable[tuple[str, str]]) -> Markup:
    """Return equations below each other, each with its left and right side, aligned at the relation."""
    return Markup('<table class="probvae-equations">{}</table>').format(
        Markup("").join(Markup("<tr><td>{}</td><td>{}</td></tr>").format(*pair) for pair in sides)
    )


def lines(texts: Iterable[str]) -> Markup:
    """Return a paragraph for each line of text."""
    return Markup("").join(Markup("<p>{}</p>").format(text.strip()) for text in texts)


def details(summary: str, *content: str) -> Markup:
    """Return content that opens with a click on its summary, without a script."""
    return Markup("<details><summary>{}</summary>{}</details>").format(
        summary, Markup("").join(content)
    )


def block(*content: str) -> str:
    """Return a whole output: the pieces in one ``<div>`` with their style."""
    div = Markup('<div class="probvae"><style>{}</style>{}</div>')
    return str(div.format(Markup(STYLE), Markup("").join(content)))


def format_shape(shape: Iterable[int]) -> str:
    """Return a shape as ``28x28``, or ``()``."""
    return "x".join(map(str, shape)) or "()"
