"""A close look at one site: what the chain sees in a few pictures, and what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ultrafm.curation.identity.pseudonyms import Pseudonyms
from ultrafm.curation.identity.text import Mark, place_marks
from ultrafm.curation.prepare import Job, Settings, prepare_frame, text_near, whole_map
from ultrafm.curation.reading.decode import find_file
from ultrafm.curation.reading.media import choose_frames, count_frames, read_frames
from ultrafm.curation.reading.rows import read_rows
from ultrafm.curation.reading.table import source_folder
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.sector import ScanArea, find_scan_area
from ultrafm.curation.sites import Places, Wish, locate
from ultrafm.curation.store import decode_png
from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.schema import SiteManifest

FANS = ("convex", "phased sector", "endocavity")


@dataclass(frozen=True)
class Look:
    """One picture: grey (H, W) as the scanner wrote it, what was found in it, and what goes into the store (S, S).

    scanned: (H, W) bool, the scan area. marks: text and markers in or at it. simulated: is the picture simulated?
    """

    grey: np.ndarray
    area: ScanArea
    scanned: np.ndarray
    marks: list[Mark]
    stored: np.ndarray
    simulated: bool


def pick_site(sites: Sequence[SiteManifest], wanted: str) -> SiteManifest:
    """The wanted site; without a wish the first whose scans are fans, else the first. Raises UltraFMError."""
    if not wanted:
        return next((site for site in sites if set(site.scan_modes) & set(FANS)), sites[0])
    names = [site.site for site in sites]
    if wanted not in names:
        raise UltraFMError("first_site", repr(wanted), f"one of {', '.join(names)}{nearest(wanted, names)}")
    return sites[names.index(wanted)]


def look_at(manifest: SiteManifest, places: Places, wish: Wish, count: int = 3) -> list[Look]:
    """Look at `count` files, spread over the site's list; those that cannot be read are passed over."""
    source, archive, _registry = locate(manifest, places, wish)
    folder, rows = source_folder(manifest, source, archive), read_rows(manifest, source, archive)
    pseudonyms = Pseudonyms(manifest.site, b"")  # nothing is kept
    blacks_out = source.deidentification.text == "black out"
    settings = Settings(folder, wish.image_size, 1, {}, blacks_out, False, pseudonyms)
    looks = []
    for place in np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int)):
        row = rows[place]
        try:
            looks.append(_look(settings, row.file, row.simulated))
        except Unusable:
            continue
    return looks


def _look(settings: Settings, file: str, simulated: bool) -> Look:
    path = find_file(settings.folder, file)
    frame = choose_frames(count_frames(path), 1)[0]
    decoded = read_frames(path, [frame])[frame]
    area = find_scan_area(decoded.grey)
    scanned, marks = whole_map(area, *decoded.grey.shape), text_near(decoded, area)
    shown = [mark for mark, place in zip(marks, place_marks(marks, scanned)) if place != "outside"]
    picture = prepare_frame(settings, Job("", file, "", ""), decoded, {})
    return Look(decoded.grey, area, scanned, shown, decode_png(picture.image or b""), simulated)
