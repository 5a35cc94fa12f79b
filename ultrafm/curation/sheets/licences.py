"""Licences that travel: what the licences of sites ask of weights and reports that are made from their images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.errors import UltraFMError
from ultrafm.files import read_json

# Condition -> what it asks of those who use weights made from the images. The order is from light to heavy.
ASKS = {
    "attribution": "name the publishers and cite them",
    "share alike": "pass on what is made from the images only under the same licence",
    "non-commercial": "no commercial use",
    "on request": "whoever needs the images asks the publisher for them",
    "no derivatives": "changed versions of the images may not be passed on; whether weights are one is not settled, "
    "so ask the publisher before you pass them on",
    "signed agreement": "the agreement with the publisher decides what may be done with the weights, and by whom",
    "in the house": "the images do not leave the house, and weights only with its consent",
    "licence unclear": "a licence is not stated: clear it with the publisher before you use or pass on the weights",
}
NAMED = {  # part of a licence's name -> condition
    "attribution": r"\bBY\b|\battribution\b|\bMIT\b|\bApache\b|\bBSD\b",
    "share alike": r"\bSA\b|\bshare.?alike\b",
    "non-commercial": r"\bNC\b|\bnon.?commercial\b",
    "no derivatives": r"\bND\b|\bno.?deriv",
    "on request": r"\bon request\b",
    "signed agreement": r"\bsigned\b|\bagreement\b",
}
FREE = r"\bCC[- ]?(?:0|ZERO)\b|\bpublic domain\b|\bPDDL\b"
CREATIVE_COMMONS = r"\bCC[- ](?P<terms>BY(?:-(?:NC|SA|ND))*)[- ](?P<version>\d\.\d)\b|\bCC[- ]?(?:0|ZERO)\b"


def all_conditions(licence: str, stated: Iterable[str]) -> list[str]:
    """The conditions that a manifest states, those that the licence's name tells, and "licence unclear" where neither
    tells anything and the licence is not known as a free one; from light to heavy."""
    found = set(stated) | {name for name, pattern in NAMED.items() if re.search(pattern, licence, re.IGNORECASE)}
    if not found and not re.search(FREE, licence, re.IGNORECASE):
        found.add("licence unclear")
    return [name for name in ASKS if name in found]


def licence_addresses(licence: str) -> list[str]:
    """The addresses of the Creative Commons licences that are named in the usual way ("CC BY-NC 4.0"); no others."""
    root, found = "https://creativecommons.org", []
    for name in re.finditer(CREATIVE_COMMONS, licence, re.IGNORECASE):
        terms = name["terms"]
        zero = f"{root}/publicdomain/zero/1.0/"
        found.append(f"{root}/licenses/{terms.lower()}/{name['version']}/" if terms else zero)
    return list(dict.fromkeys(found))


def strictest(conditions: Iterable[str]) -> dict[str, Any]:
    """What all these conditions together ask of weights: `conditions` from light to heavy, and a `sentence`.

    Raises UltraFMError for a condition that nobody knows: it might be a heavy one.
    """
    asked = set(conditions)
    unknown = sorted(asked - set(ASKS))
    if unknown:
        raise UltraFMError("conditions of a licence", ", ".join(unknown), f"some of {', '.join(ASKS)}")
    union = [name for name in ASKS if name in asked]
    sentence = "; ".join(ASKS[name] for name in union) or "no condition is known"
    return {"conditions": union, "sentence": f"{sentence[0].upper()}{sentence[1:]}."}


def licences(curated: Path, sites: Sequence[str]) -> list[dict[str, Any]]:
    """One entry for each curated site, in the order of their names, read from its data sheet.

    site, publisher, licence, conditions (see `all_conditions`), checked (was the licence read at the source?),
    citation, images (how many were kept), simulated.
    Raises UltraFMError when a site has no data sheet.
    """
    entries = []
    for site in sorted(set(sites)):
        path = Path(curated) / site / "datasheet.json"
        if not path.is_file():
            mend = f"`ultrafm curate MANIFEST --out {curated}`; in a study, its step 10_curate"
            raise UltraFMError(f"{site}, {path}", "no data sheet", "a site that was curated there", mend)
        entries.append(_entry(read_json(path)))
    return entries


def _entry(sheet: Mapping[str, Any]) -> dict[str, Any]:
    origin = sheet["origin"]
    return {
        "site": sheet["site"],
        "publisher": origin["publisher"],
        "licence": origin["licence"],
        "conditions": all_conditions(origin["licence"], origin.get("conditions", ())),
        "checked": origin["checked"],
        "citation": origin["citation"],
        "images": sheet["flow"]["kept"],
        "simulated": sheet["images"] == "simulated",
    }


def carried(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What weights made from these sites (entries of `licences`) carry with them: `sites`, `conditions`, `sentence`."""
    named = {name for entry in entries for name in entry["conditions"]}
    return {"sites": [dict(entry) for entry in entries], **strictest(named)}


def licence_table(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The entries of `licences` for a report: site, publisher, licence, conditions, images ("40 simulated")."""
    rows = [
        {
            "site": entry["site"],
            "publisher": entry["publisher"],
            "licence": entry["licence"] + ("" if entry["checked"] or entry["simulated"] else " (from memory)"),
            "conditions": ", ".join(entry["conditions"]) or "none known",
            "images": f"{entry['images']:,} {'simulated' if entry['simulated'] else 'real'}",
        }
        for entry in entries
    ]
    return pd.DataFrame(rows, columns=["site", "publisher", "licence", "conditions", "images"])
