"""The scan area of the original pictures behind a task's images, at full resolution.

Curation shrinks pictures; thin structures are lost with that. The way back to the files is kept in a site's house, so
what is read here can be read at that site only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.curation.reading.decode import find_file
from ultrafm.curation.reading.media import read_frames
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.store import read_plain
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import FileSource, SiteManifest
from ultrafm.manifests.sources import choose_source, is_remote


def site_folders(sites: Iterable[SiteManifest], data_root: Path | None, source: str = "default") -> dict[str, Path]:
    """Site -> the folder that its files are relative to; sites with simulated or remote files are left out.

    Without a data root there is none.
    """
    found = {site.site: choose_source(site, source)[1] for site in sites} if data_root else {}
    return {
        name: Path(data_root) / chosen.path
        for name, chosen in found.items()
        if isinstance(chosen, FileSource) and not is_remote(chosen)
    }


def scan_area_pictures(curated: Path, table: pd.DataFrame, folders: Mapping[str, Path]) -> list[np.ndarray | None]:
    """For each row of a task's table the grey picture (H, W) uint8 of its scan area, in the file's own pixels.

    None where the site has no folder. folders: see `site_folders`. Raises UltraFMError for a file that is not there or
    of another size than the one that was curated.
    """
    known = {site: _places(curated, site) for site in set(table["site"]) & set(folders)}
    return [
        _read(known[site].loc[image], folders[site], site) if site in known else None
        for site, image in zip(table["site"], table["image_id"])
    ]


def _places(curated: Path, site: str) -> pd.DataFrame:
    """image_id -> file, frame, crop, original_width and original_height."""
    names = pd.read_csv(curated / site / "house" / "files.csv", dtype={"file": str}).set_index("image_id")
    columns = ["image_id", "crop", "original_width", "original_height"]
    return names.join(read_plain(curated / site / "images.parquet", columns).to_pandas().set_index("image_id"))


def _read(place: pd.Series, folder: Path, site: str) -> np.ndarray:
    where = f"{site}, file {place['file']}"
    try:
        frame = int(place["frame"])
        picture = read_frames(find_file(folder, place["file"]), [frame])[frame].grey
    except Unusable as why:
        raise UltraFMError(where, str(why), "the file that was curated", "name its folder with data_root") from why
    if picture.shape != (place["original_height"], place["original_width"]):
        found = f"{picture.shape[1]} x {picture.shape[0]} pixels"
        expected = f"{place['original_width']} x {place['original_height']}, as when it was curated"
        raise UltraFMError(where, found, expected, "curate the site again")
    left, top, right, bottom = place["crop"]
    return picture[top:bottom, left:right]


def curated_areas(images: np.ndarray, sectors: np.ndarray) -> list[np.ndarray]:
    """The scan areas (H, W) of curated pictures (N, S, S), cut to the box of their sectors (N, S, S)."""
    return [_cut(image, sector) for image, sector in zip(images, sectors)]


def _cut(image: np.ndarray, sector: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(sector.any(axis=1)), np.flatnonzero(sector.any(axis=0))
    if not len(rows):
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
