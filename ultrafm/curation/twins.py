"""Simulated scans beside real ones of the same organ and probe, both found and cropped by the same code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ultrafm.curation.close_look import Look, look_at
from ultrafm.curation.sites import Places, Wish
from ultrafm.manifests import choose_source
from ultrafm.manifests.schema import Planted, SiteManifest
from ultrafm.manifests.vocabulary import UNKNOWN
from ultrafm.phantom.realism import compare, measure_scan

COLUMNS = ["organ", "scan_mode", "measure", "real", "simulated", "apart", "scans"]


@dataclass(frozen=True)
class Twins:
    """Scans of one organ under one kind of probe: grey (H, W) cropped to the scan, and what lies inside it."""

    organ: str
    scan_mode: str
    real: list[tuple[np.ndarray, np.ndarray]]
    simulated: list[tuple[np.ndarray, np.ndarray]]

    def table(self) -> pd.DataFrame:
        """How far measures of both lie apart; see realism.compare."""
        measured = ([measure_scan(*scan) for scan in group] for group in (self.real, self.simulated))
        return compare(*measured).assign(organ=self.organ, scan_mode=self.scan_mode)


def find_twins(
    real: Sequence[SiteManifest], simulated: Sequence[SiteManifest], places: Places, wish: Wish, count: int
) -> list[Twins]:
    """For each organ and kind of probe that both sides have, `count` scans of each at most, spread over all sites.

    `places` says where the real sites' manifests and images lie; archives of the simulated ones are written there. Real
    sites with several organs are passed over: a file alone does not tell which one it shows.
    """
    found: dict[tuple[str, str], list[SiteManifest]] = {}
    for site in real:
        for scan_mode in site.scan_modes if len(site.organs) == 1 else ():
            found.setdefault((site.organs[0], scan_mode), []).append(site)
    twins = []
    for (organ, scan_mode), sites in found.items():
        twin = next((site for site in simulated if organ in site.organs and scan_mode in site.scan_modes), None)
        if twin is not None:
            each = -(-count // len(sites))
            scans = [scan for site in sites for scan in _scans(site, scan_mode, places, wish, each)]
            made = _scans(_alone(twin, organ), scan_mode, places, replace(wish, source="phantom"), count)
            if scans and made:
                twins.append(Twins(organ, scan_mode, scans[:count], made))
    return twins


def join_tables(twins: Sequence[Twins]) -> pd.DataFrame:
    """The tables of all twins, one below the other; empty without any."""
    if not twins:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat([pair.table() for pair in twins], ignore_index=True)[COLUMNS]


def _alone(site: SiteManifest, organ: str) -> SiteManifest:
    """The simulated site with one organ in B-mode, without planted faults, under a name of its own."""
    name = f"{site.site}_{organ.replace(' ', '_')}"
    phantom = choose_source(site, "phantom")[1].model_copy(update={"planted": Planted()})
    sources = site.sources.model_copy(update={"phantom": phantom})
    return site.model_copy(update={"site": name, "organs": (organ,), "modalities": ("B-mode",), "sources": sources})


def _scans(
    site: SiteManifest, scan_mode: str, places: Places, wish: Wish, count: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scans of a site, without those that show another kind of probe."""
    looks = look_at(site, places, wish, count)
    return [_cropped(look) for look in looks if look.area.scan_mode in (scan_mode, UNKNOWN)]


def _cropped(look: Look) -> tuple[np.ndarray, np.ndarray]:
    left, top, right, bottom = look.area.box
    return look.grey[top:bottom, left:right], look.scanned[top:bottom, left:right]
