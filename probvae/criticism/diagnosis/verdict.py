"""What was found: faults, limits and notes, each with its evidence and its remedy."""

from enum import StrEnum
from typing import NamedTuple

CAUSES = {  # findings that others may be consequences of: what to do first
    "unlike the training range": "The data are unlike those of training: convert them first.",
    "not converged": "The fit was not over: train on first.",
    "scale at its bound": "A scale is at its bound: free it first.",
}


class Kind(StrEnum):
    """A *fault* is broken: mend it. A *limit* is a number not to rely on. A *note* helps."""

    FAULT = "fault"
    LIMIT = "limit"
    NOTE = "note"


class Finding(NamedTuple):
    """One finding: its name, the number against its threshold with the source, and what to do.

    ``kind`` says how bad it is, ``value`` and ``threshold`` are in the unit that ``evidence`` says, and
    ``remedy`` is code where there is some.
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
    """The findings, faults first; prints as what to read."""

    __slots__ = ()

    def of(self, kind: Kind | str) -> list[Finding]:
        """Return the findings of a kind, such as ``Kind.FAULT`` or ``"fault"``.

        Raises:
            ValueError: for a kind that does not exist.
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
            head += " No fault found: of those that are looked for, at these sample sizes."
        causes = [CAUSES[name] for name in self.names if name in CAUSES]
        if causes and len(self.names) > len(causes):
            head += f" {' '.join(causes)} The rest may follow from that."
        return "\n\n".join([head, *(str(finding) for finding in self)])


def verdict(findings: list[Finding]) -> Verdict:
    """Return findings in the order of their kinds."""
    return Verdict(sorted(findings, key=lambda finding: list(Kind).index(finding.kind)))
