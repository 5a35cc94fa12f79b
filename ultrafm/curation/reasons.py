"""Why a picture is left out: told for the table of a site, counted for its data sheet."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("quarantined", "duplicates", "low_quality")


class Unusable(Exception):
    """A picture that cannot be used; it is left out, told of, and the run goes on.

    kind: few words that are counted ("truncated file"). found, expected: the particulars, told to the site only.
    name: of a file, where it belongs to what was found; it is told behind `found`, which itself names no file, so that
    the reason can be kept without it.
    """

    def __init__(self, kind: str, found: str, expected: str, name: str = "") -> None:
        self.kind, self.found, self.expected, self.name = kind, found, expected, name
        super().__init__(kind, found, expected, name)

    def __str__(self) -> str:
        found = f"{self.found} {self.name}" if self.name else self.found
        return f"{self.kind}: found {found}; expected {self.expected}"

    def naming(self, name: str) -> Unusable:
        """The same reason with another name."""
        return Unusable(self.kind, self.found, self.expected, name)


@dataclass(frozen=True)
class LeftOut:
    """One picture left out: file and row as in the site's table, at which stage (of STAGES), and why."""

    file: str
    row: int
    stage: str
    kind: str
    reason: str


def leave_out(file: str, row: int, stage: str, why: Unusable) -> LeftOut:
    """The note on a picture that is left out."""
    return LeftOut(file, row, stage, why.kind, str(why))
