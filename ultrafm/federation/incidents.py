"""What went wrong between coordinator and sites, and what was done about it; kept in the log of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from ultrafm.errors import UltraFMError

DROPPED, REPEATED, IGNORED = "dropped", "asked again", "ignored"


@dataclass(frozen=True)
class Incident:
    """`round` 0 is before training. `kind` in a word or two, `found` as it was told.

    `action`: the site's answer was "dropped", the site was "asked again", or an answer was "ignored".
    """

    round: int
    site: str
    kind: str
    found: str
    action: str


class Fault(Exception):
    """An answer that cannot be used; how `kind` and `found` go into the log, and what was expected."""

    def __init__(self, kind: str, found: str, expected: str, mend: str = "") -> None:
        super().__init__(found)
        self.kind, self.found, self.expected, self.mend = kind, found, expected, mend


class RoundFailed(UltraFMError):
    """A round that ends the run: for an answer that cannot be used, or too few answers."""


def incident_table(incidents: Sequence[Incident]) -> pd.DataFrame:
    """One row per incident; no rows when there was none."""
    return pd.DataFrame([asdict(one) for one in incidents], columns=list(Incident.__dataclass_fields__))
