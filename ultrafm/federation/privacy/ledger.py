"""What a site has spent of its patients' privacy, in a file of its own, and the budgets that it must not exceed.

The ledger lies beside the folder of curated stores, not in it: there it would be lost when a site is curated anew, and
patients stay the same. So it counts over all runs on these stores. It is not protected from the site's own people.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ultrafm.curation.curate import BUDGET
from ultrafm.errors import UltraFMError
from ultrafm.federation.privacy.accounting import Spending, epsilon_of, is_affordable
from ultrafm.files import read_json, write_json

LEDGER = "ledger.json"


@dataclass(frozen=True)
class Budget:
    """At most `epsilon` at `delta`. run: counted in this run only; "" for all. words: who set it."""

    epsilon: float
    delta: float
    words: str
    run: str = ""


@dataclass(frozen=True)
class Entry:
    """One round that was paid for; `answer` names what was sent, so that the same noise is paid for once."""

    run: str
    round: int
    answer: str
    noise: float
    rate: float
    steps: int
    secure: bool

    @property
    def spending(self) -> Spending:
        """What it cost."""
        return Spending(self.noise, self.rate, self.steps)


def ledger_path(curated: str, site: str) -> Path:
    """Where the ledger of a site's store lies."""
    folder = Path(curated).resolve()
    return folder.with_name(f"{folder.name}_privacy") / site / LEDGER


def read_ledger(path: Path) -> list[Entry]:
    """All entries, the oldest first; none before the first. Raises UltraFMError for a damaged file."""
    if not path.exists():
        return []
    try:
        return [Entry(**row) for row in read_json(path)["entries"]]
    except (ValueError, KeyError, TypeError) as error:
        mend = "restore it from a backup; without it nobody knows what was spent, and the site should not train"
        raise UltraFMError(str(path), f"a ledger that cannot be read ({error})", "what was spent", mend) from None


def site_budget(curated: str, site: str) -> Budget | None:
    """The budget that the site's manifest told when it was curated; None where it told none."""
    path = Path(curated) / site / BUDGET
    if not path.is_file():
        return None
    told = read_json(path)
    return Budget(told["epsilon"], told["delta"], "the site's manifest")


def require_protected(curated: str, site: str, privacy: str) -> None:
    """Raises UltraFMError when a site with a budget is asked for anything that is not protected by its patients."""
    if site_budget(curated, site) is not None and privacy != "patients":
        raise UltraFMError(
            f"site {site}", f"a plan with privacy {privacy!r}, where the site's manifest has a budget",
            "privacy 'patients'", "protect patients in the plan, or take the budget out of the manifest",
        )  # fmt: skip


def is_paid(entries: list[Entry], asked: Entry) -> bool:
    """Is this very answer in the ledger?"""
    return any(one.answer == asked.answer for one in entries)


def require_affordable(site: str, entries: list[Entry], asked: Entry, budgets: list[Budget]) -> None:
    """Raises UltraFMError when a round that is not paid for yet would exceed one of the budgets."""
    if is_paid(entries, asked):
        return
    for budget in budgets:
        spent = [one.spending for one in entries if budget.run in ("", one.run)]
        if is_affordable([*spent, asked.spending], budget.epsilon, budget.delta):
            continue
        before, after = epsilon_of(spent, budget.delta), epsilon_of([*spent, asked.spending], budget.delta)
        raise UltraFMError(
            f"site {site}, round {asked.round}, privacy budget",
            f"epsilon {before:.2f} spent; this round would make it {after:.2f}, at delta {budget.delta:g}",
            f"at most {budget.epsilon:g}, as {budget.words} says",
            "end training here, add noise or take fewer passes in a new plan, or let the site agree to a larger budget",
        )  # fmt: skip


def charge(path: Path, site: str, asked: Entry, budgets: list[Budget]) -> None:
    """Write what a round costs into the ledger, on the disk before this returns; once for the same answer.

    Raises UltraFMError, and writes nothing, when another run has spent what was left in the meantime.
    """
    with _held(path):
        entries = read_ledger(path)
        if is_paid(entries, asked):
            return
        require_affordable(site, entries, asked, budgets)
        rows: list[dict[str, Any]] = [asdict(one) for one in (*entries, asked)]
        write_json(path, {"site": site, "entries": rows})


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """One process at a time reads and writes the ledger."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
