"""A page for an ethics board, made from a finished run: what leaves a site, who sees it, what attacks made of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ultrafm.federation.exposure import protection_table, unprotected, who_sees_what
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy.protection import UNITS
from ultrafm.files import write_text
from ultrafm.reporting.figures import figure_png
from ultrafm.reporting.rendering import style, templates
from ultrafm.reporting.tables import CAUTIONS, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "ethics_board.html"
ATTACKS = "Attacks on this run's model, on single updates, and on small models that were made for the test"
MEAN_OVER_SITES = "mean over sites"
MEASURES = {  # task and metric -> attack, measure and what it is when nothing is learnt, in words
    ("membership_inference", "auroc"): ("who was in training", "AUROC", "0.5"),
    ("inversion", "ssim"): ("the pictures behind an update", "similarity (SSIM), more than masks alone give", "0"),
    ("inversion", "picked_out"): (
        "the pictures behind an update",
        "picked out among others, more often than by masks alone",
        "0",
    ),
}


def write_ethics_page(
    folder: Path,
    federation: Federation,
    counts: Mapping[str, int],
    images: str,
    traffic: pd.DataFrame,
    measured: Sequence[Mapping[str, Any]],
    spending: pd.DataFrame,
    assumptions: Sequence[str],
    figures: Mapping[str, Figure] | None = None,
    deployed: bool = False,
    profile: str = "",
) -> Path:
    """Write PAGE into `folder` and return its path; it opens without a network.

    counts: training images of each site. images: "real" or "simulated". traffic: see `disclosure.traffic_table`.
    measured: records of attacks. spending, assumptions: see `privacy.report`; empty without differential privacy.
    figures: by caption. deployed: did messages travel between machines? profile: the study's.
    """
    label = f"{images} images"
    fields = {
        "style": style(), "sites": len(counts), "pictures": f"{sum(counts.values()):,}", "images": images,
        "caution": CAUTIONS.get(profile, ""), "unit": UNITS["patients" if federation.is_at_sites else "sites"][0],
        "traffic": Table("Every kind of message of this run", with_commas(traffic)),
        "protections": Table("Protections", protection_table(federation)),
        "spending": Table("What each site spent of its privacy", spending) if len(spending) else None,
        "assumptions": list(assumptions),
        "seen": Table("By the protocol and its settings", who_sees_what(federation, deployed)),
        "measured": Table(ATTACKS, attack_table(measured), label=label) if measured else None,
        "pictures_of_attacks": {caption: as_address(figure) for caption, figure in (figures or {}).items()},
        "unprotected": unprotected(federation),
    }  # fmt: skip
    target = Path(folder) / PAGE
    write_text(target, templates().get_template("ethics.html.j2").render(fields))
    return target


def with_commas(traffic: pd.DataFrame) -> pd.DataFrame:
    """The table with bytes as people read them: "45,449,216"."""
    columns = [name for name in traffic if name.startswith("bytes")]
    return traffic.assign(**{name: traffic[name].map("{:,.0f}".format) for name in columns})


def attack_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The attacks' main numbers, one row each: attack, on what, measure, what was found, and what guessing would give.

    All other numbers (single sites, rates that are not defined, further measures) are in the study's results.
    """
    rows = []
    for one in records:
        if one["estimate"] is None or (one["task"], one["metric"]) not in MEASURES or one["level"] in (None, ""):
            continue
        if one["method"] == "loss_threshold" and one["level"] != MEAN_OVER_SITES:
            continue
        if one["task"] == "inversion" and not one["comparator"]:  # what masks alone give says nothing of the update
            continue
        attack, measure, guessing = MEASURES[one["task"], one["metric"]]
        rows.append((attack, one["method"].replace("_", " "), target_of(one), measure, interval_text(one), guessing))
    columns = ["attack", "how", "on", "measure", "found, with 95 % interval", "nothing learnt"]
    return pd.DataFrame(rows, columns=columns)


def target_of(found: Mapping[str, Any]) -> str:
    """What an attack was carried out on, in words."""
    if found["task"] == "inversion":
        return f"an update: {found['level']}"
    if found["level"] == MEAN_OVER_SITES:
        return "the model of this run, mean over sites"
    return f"small models that learnt patients by heart; privacy: {found['level']}"


def interval_text(found: Mapping[str, Any]) -> str:
    """ "0.53 [0.48, 0.58]"; the estimate alone where there is no interval."""
    if found["estimate"] is None:
        return "not defined: too few"
    if found["ci_low"] is None:
        return f"{found['estimate']:.2f}"
    return f"{found['estimate']:.2f} [{found['ci_low']:.2f}, {found['ci_high']:.2f}]"


def as_address(figure: Figure) -> str:
    """A figure as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(figure_png(figure)).decode()
