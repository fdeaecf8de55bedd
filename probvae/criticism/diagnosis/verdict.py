"""Findings of a diagnosis, each with its evidence and remedy, and the verdict that lists them."""

from enum import StrEnum
from typing import NamedTuple

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

    def __str__(self) -> str:
        counts = [f"{(n := len(self.of(kind)))} {kind}{'s' * (n != 1)}" for kind in Kind]
        head = f"Verdict: {', '.join(counts)}."
        if not self.of(Kind.FAULT):
            head += " No fault found among those that diagnose checks for, at these sample sizes."
        causes = [CAUSES[name] for name in self.names if name in CAUSES]
        if causes and len(self.names) > len(causes):
            head += f" {' '.join(causes)} The other findings may be consequences."
        return "\n\n".join([head, *(str(finding) for finding in self)])


def sort_findings(findings: list[Finding]) -> Verdict:
    """Return the verdict of these findings, sorted by kind."""
    return Verdict(sorted(findings, key=lambda finding: list(Kind).index(finding.kind)))
