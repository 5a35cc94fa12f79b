"""A page for an ethics board, made from a finished run: what leaves a site, who sees it, what attacks made of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ultrafm.federation.exposure import protection_table, unprotected, who_sees_what
from ultrafm.federation.plan import Federation
from ultrafm.files import write_text
from ultrafm.reporting.figures import figure_png
from ultrafm.reporting.rendering import style, templates
from ultrafm.reporting.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "ethics_board.html"


def write_ethics_page(
    folder: Path,
    federation: Federation,
    counts: Mapping[str, int],
    images: str,
    traffic: pd.DataFrame,
    measured: Sequence[Mapping[str, Any]],
    spending: pd.DataFrame | None = None,
    assumptions: Sequence[str] = (),
    figures: Mapping[str, Figure] | None = None,
    deployed: bool = False,
) -> Path:
    """Write PAGE into `folder` and return its path; it opens without a network.

    counts: training images of each site. images: "real" or "simulated". traffic: see `disclosure.traffic_table`.
    measured: records of attacks. spending, assumptions: of differential privacy, where the run has it. figures: by
    caption. deployed: did messages travel between machines?
    """
    label = f"{images} images"
    fields = {
        "style": style(), "sites": len(counts), "pictures": f"{sum(counts.values()):,}", "images": images,
        "traffic": Table("Every kind of message of this run", traffic),
        "protections": Table("Protections", protection_table(federation)),
        "spending": None if spending is None else Table("What each site spent of its privacy", spending),
        "assumptions": list(assumptions),
        "seen": Table("By the protocol and its settings", who_sees_what(federation, deployed)),
        "measured": Table("Attacks carried out on this run", attack_table(measured), label=label) if measured else None,
        "pictures_of_attacks": {caption: as_address(figure) for caption, figure in (figures or {}).items()},
        "unprotected": unprotected(federation),
    }  # fmt: skip
    target = Path(folder) / PAGE
    write_text(target, templates().get_template("ethics.html.j2").render(fields))
    return target


def attack_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a record: attack, how, against what, measure, value with interval."""
    rows = [
        (
            str(one["task"]).replace("_", " "), str(one["method"]).replace("_", " "), one["level"] or "all sites",
            str(one["metric"]).replace("_", " "), interval_text(one),
        )
        for one in records
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["attack", "how", "on", "measure", "found, with 95 % interval"])


def interval_text(found: Mapping[str, Any]) -> str:
    """ "0.53 [0.48, 0.58]", or the estimate alone where there is no interval."""
    if found["ci_low"] is None:
        return f"{found['estimate']:.2f}"
    return f"{found['estimate']:.2f} [{found['ci_low']:.2f}, {found['ci_high']:.2f}]"


def as_address(figure: Figure) -> str:
    """A figure as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(figure_png(figure)).decode()
