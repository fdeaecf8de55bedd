"""Findings of a diagnosis, each with its evidence and remedy, and the verdict that lists them."""

from enum import StrEnum
from typing import NamedTuple

from markupsafe import Markup

from probvae import html
from probvae.short_repr import short_repr

NO_FAULT = "No fault found among those that diagnose checks for, at these sample sizes."
CAUSES = {  # findings that can cause others, with the first thing to do
    "outside the training range": "The data lie outside the training range. Convert them first.",
    "not converged": "The model had not converged. Train longer first.",
    "scale at its bound": "A scale is at its bound. Loosen the bound first.",
}


class Kind(StrEnum):
    """The severity of a finding.

    A *fault* is something broken, which you should repair. A *limit* is a number that you should not
    rely on. A *note* is information.
    """

    FAULT = "fault"
    LIMIT = "limit"
    NOTE = "note"


@short_repr
class Finding(NamedTuple):
    """One finding of a diagnosis: its name, its evidence, and what to do.

    ``kind`` is its severity. ``value`` is the measured number and ``threshold`` its limit, in the unit
    that ``evidence`` gives. ``source`` says where the threshold comes from. ``remedy`` says what to do,
    with code if possible.
    """

    kind: Kind
    name: str
    evidence: str
    value: float
    threshold: float
    source: str
    remedy: str

    def __str__(self) -> str:
        lines = [f"{self.kind.upper()}  {self.name}", self.evidence]
        return "\n  ".join([*lines, f"threshold: {self.source}", f"remedy: {self.remedy}"])


@short_repr
class Verdict(tuple[Finding, ...]):
    """The findings of a diagnosis, faults first. It prints as a report."""

    __slots__ = ()

    def of(self, kind: Kind | str) -> list[Finding]:
        """Return the findings of one kind, such as ``Kind.FAULT`` or ``"fault"``.

        Raises:
            ValueError: for an unknown kind.
        """
        if kind not in list(Kind):
            kinds = ", ".join(f'Kind.{each.name} ("{each}")' for each in Kind)
            raise ValueError(f"Verdict.of expects one of {kinds}; got {kind!r}.")
        return [finding for finding in self if finding.kind == kind]

    @property
    def names(self) -> list[str]:
        """The names of the faults and limits."""
        return [finding.name for finding in self if finding.kind != Kind.NOTE]

    @property
    def counts(self) -> dict[Kind, str]:
        """The number of findings of each kind, in words: "1 fault", "0 limits", "2 notes"."""
        sizes = {kind: len(self.of(kind)) for kind in Kind}
        return {kind: f"{n} {kind}{'s' * (n != 1)}" for kind, n in sizes.items()}

    @property
    def advice(self) -> str:
        """What the findings mean together: no fault, or which finding to repair first. May be empty."""
        sentences = []
        if not self.of(Kind.FAULT):
            sentences.append(NO_FAULT)
        causes = [CAUSES[name] for name in self.names if name in CAUSES]
        if causes and len(self.names) > len(causes):
            sentences += [*causes, "The other findings may be consequences."]
        return " ".join(sentences)

    def __str__(self) -> str:
        head = f"Verdict: {', '.join(self.counts.values())}."
        head = " ".join(filter(None, [head, self.advice]))
        return "\n\n".join([head, *(str(finding) for finding in self)])

    def badges(self) -> Markup:
        """Return the counts as coloured badges. Without a fault, the first is green."""
        counted = {kind: text for kind, text in self.counts.items() if self.of(kind)}
        badges = [html.badge(kind, text) for kind, text in counted.items()]
        return Markup(" ").join([*([] if self.of(Kind.FAULT) else [html.badge("ok")]), *badges])

    def _repr_html_(self) -> str:
        head = Markup("<p><b>Verdict</b> {} {}</p>").format(self.badges(), self.advice)
        shown = [_render_row(finding) for finding in self if finding.kind != Kind.NOTE]
        notes = [_render_row(finding) for finding in self.of(Kind.NOTE)]
        table = [html.table(shown)] if shown else []
        folded = [html.details(self.counts[Kind.NOTE], html.table(notes))] if notes else []
        return html.block(head, *table, *folded)


def _render_row(finding: Finding) -> tuple[Markup, Markup]:
    """Return a finding as a row of a table: badge and name, and evidence with the remedy folded."""
    head = Markup("{}<br>{}").format(html.badge(finding.kind), finding.name)
    remedy = Markup('<p>{}</p><p class="probvae-quiet">Threshold: {}</p>').format(
        finding.remedy, finding.source
    )
    return head, Markup("{}{}").format(finding.evidence, html.details("What to do", remedy))


def sort_findings(findings: list[Finding]) -> Verdict:
    """Return the verdict of these findings, sorted by kind."""
    return Verdict(sorted(findings, key=lambda finding: list(Kind).index(finding.kind)))
