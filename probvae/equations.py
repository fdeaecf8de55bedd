"""The plain text of a model, such as ``x | z ~ Normal(f(z), sigma^2)``, as MathML.

The ``str`` of a part is its only formula: ``print(vae)`` shows it, and a notebook typesets it. Every
current browser, JupyterLab and VS Code show MathML without a script.
"""

import re

from markupsafe import Markup

GREEK_NAMES = "alpha beta gamma delta epsilon theta kappa lambda mu nu pi rho sigma tau phi psi omega"
GREEK = dict(zip(GREEK_NAMES.split(), "αβγδεθκλμνπρστφψω", strict=True))
SYMBOLS = {"~": "∼", "-": "−", "*": "·", "..": "…"}
LARGE = {"sum": "∑", "prod": "∏"}
FUNCTIONS = {"log", "exp"}  # that may stand before a name without a bracket
TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<script>\^-?\w+ | _[<>]?\w+)   # a power or an index
    |(?P<word>[A-Za-z]\w*?(?=_[<>]?\w|\W|$))
    |(?P<number>\d+(?:\.\d+)?(?:e[-+]?\d+)?)
    |(?P<symbol>\.\.|.)""",
    re.VERBOSE,
)


def typeset(text: str) -> Markup:
    """Return a statement with its formulas as MathML. Words and top-level commas stay text.

    A browser breaks lines at text, and not inside a formula.
    """
    return _Statement(text).render()


def equation(text: str) -> tuple[Markup, Markup]:
    """Return the left side of a statement, and its right side with the relation, typeset."""
    left, relation, right = text.partition(" ~ ")
    if not relation or " = " in left:
        left, relation, right = text.partition(" = ")
    return typeset(left), typeset(f"{relation.strip()} {right}" if relation else "")


class _Statement:
    """A parser of one statement. Every method consumes tokens from ``_at`` on."""

    def __init__(self, text: str) -> None:
        self._tokens = [(m.lastgroup or "", m[0]) for m in TOKEN.finditer(text)]
        self._at = 0

    def render(self) -> Markup:
        pieces: list[Markup] = []
        formula: list[Markup] = []
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "space" or text in (",", ";") or self._is_prose():
                pieces.append(_formula(formula) + self._text())
                formula.clear()
                continue
            while self._at < len(self._tokens) and not self._ends_formula():
                formula.append(self._term())
        return Markup("").join([*pieces, _formula(formula)])

    def _ends_formula(self) -> bool:
        """Tell whether text starts here. A space ends a formula only before text."""
        kind, text = self._tokens[self._at]
        if kind == "space":
            self._at += 1
            ends = self._at >= len(self._tokens) or self._is_prose()
            self._at -= ends
            return ends or self._ends_formula()
        return text in (",", ";") or self._is_prose()

    def _term(self) -> Markup:
        """Return one atom with its powers and indices, and its argument."""
        atom = self._atom()
        while self._at < len(self._tokens) and self._tokens[self._at][0] == "script":
            mark, script = self._tokens[self._at][1][0], self._tokens[self._at][1][1:]
            self._at += 1
            tag = Markup("msup" if mark == "^" else "msub")
            atom = Markup("<{0}>{1}{2}</{0}>").format(tag, atom, _script(script))
            if self._next() == "(":  # f_i(x)
                atom = Markup("<mrow>{}{}</mrow>").format(atom, self._group())
        return atom

    def _atom(self) -> Markup:
        kind, text = self._tokens[self._at]
        if text == "(":
            return self._group()
        self._at += 1
        if kind == "number":
            return Markup("<mn>{}</mn>").format(text)
        if kind == "word":
            name = _name(text)
            if self._next() == "(":
                return Markup("<mrow>{}{}</mrow>").format(name, self._group())
            space = Markup('<mspace width="0.17em"/>')
            return Markup("<mrow>{}{}</mrow>").format(name, space) if text in FUNCTIONS else name
        # At the start of a formula, a relation would otherwise lose its spaces.
        form = Markup(' form="infix"') if text in ("~", "=") else ""
        return Markup("<mo{}>{}</mo>").format(form, SYMBOLS.get(text, text))

    def _group(self) -> Markup:
        """Return a bracket with its content. A bracket that never closes ends with the text."""
        self._at += 1
        content: list[Markup] = []
        while self._at < len(self._tokens) and self._next() != ")":
            kind, _ = self._tokens[self._at]
            if self._is_prose():
                before = "\xa0" if content else ""
                text = self._text()
                after = "" if self._next() in (")", ",") or self._peek() == "=" else "\xa0"
                content.append(Markup("<mtext>{}{}{}</mtext>").format(before, text, after))
            elif kind == "space":
                self._at += 1
            else:
                content.append(self._term())
        closing = Markup('<mo stretchy="false">)</mo>') if self._next() else Markup("")
        self._at += 1
        opening = Markup('<mo stretchy="false">(</mo>')
        return Markup("<mrow>{}{}{}</mrow>").format(opening, Markup("").join(content), closing)

    def _text(self) -> str:
        """Return a token that is no formula, and a word whole: ``income_2019``."""
        kind, text = self._tokens[self._at]
        self._at += 1
        while kind == "word" and self._next() and self._tokens[self._at][0] == "script":
            text += self._next()
            self._at += 1
        return text

    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _peek(self) -> str:
        """Return the token after the next one."""
        return self._tokens[self._at + 1][1] if self._at + 1 < len(self._tokens) else ""

    def _is_prose(self) -> bool:
        """Tell whether the token here is a word of a sentence, and not a name in a formula."""
        kind, text = self._tokens[self._at]
        if kind == "number" and self._at and self._tokens[self._at - 1][0] == "space":
            return self._precedes_prose()  # "f 4 layers"
        if kind != "word" or text in GREEK or text in FUNCTIONS or re.fullmatch(r"[A-Za-z]\d*", text):
            return text == "a"
        following = self._tokens[self._at + 1 : self._at + 2]
        is_called = bool(following) and following[0][1] == "("
        is_indexed = bool(following) and following[0][0] == "script"
        return not (is_called or (is_indexed and text in LARGE))

    def _precedes_prose(self) -> bool:
        """Tell whether a space and a word of a sentence follow the token here."""
        at, after = self._at, self._tokens[self._at + 1 : self._at + 3]
        self._at += 2
        is_prose = len(after) == 2 and after[0][0] == "space" and self._is_prose()
        self._at = at
        return is_prose


def _formula(terms: list[Markup]) -> Markup:
    return Markup("<math>{}</math>").format(Markup("").join(terms)) if terms else Markup("")


def _name(text: str) -> Markup:
    if text in LARGE:
        return Markup('<mo largeop="true" movablelimits="false">{}</mo>').format(LARGE[text])
    if match := re.fullmatch(r"([A-Za-z])(\d+)", text):
        return Markup("<msub><mi>{}</mi><mn>{}</mn></msub>").format(*match.groups())
    return Markup("<mi>{}</mi>").format(GREEK.get(text, text))


def _script(text: str) -> Markup:
    if text[0] in "<>-":
        sign = SYMBOLS.get(text[0], text[0])
        operator = Markup('<mo lspace="0" rspace="0">{}</mo>').format(sign)
        return Markup("<mrow>{}{}</mrow>").format(operator, _script(text[1:]))
    tag = Markup("mn" if text.isdigit() else "mi")
    return Markup("<{0}>{1}</{0}>").format(tag, GREEK.get(text, text))
