"""The licence of a site's pictures, as a site tells it where its agreement says so, and as the coordinator reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ultrafm.curation.sheets.licences import ASKS, licences
from ultrafm.errors import UltraFMError

TOLD = {"publisher": str, "licence": str, "conditions": list, "checked": bool, "citation": str, "simulated": bool}


def site_licence(curated: str, site: str) -> dict[str, Any]:
    """What a site tells: of its entry of `curation.sheets.licences.licences`, the fields of TOLD."""
    [entry] = licences(Path(curated), [site])
    return {name: entry[name] for name in TOLD}


def read_licence(site: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """What a site told. Raises UltraFMError when it is something else than `site_licence` gives."""
    fits = set(told) == set(TOLD) and all(isinstance(told[name], kind) for name, kind in TOLD.items())
    if not fits or not set(told["conditions"]) <= set(ASKS):
        found = f"a licence told as {dict(told)}"[:300]
        raise UltraFMError(f"site {site}", found, ", ".join(TOLD), "install the same version at site and coordinator")
    return dict(told)
