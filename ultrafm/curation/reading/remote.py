"""Sources that lie elsewhere: brought to a local folder if the user allows it, and read like a folder from then on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ultrafm.curation.reading.convert import convert_all, drawn_masks
from ultrafm.curation.reading.download import download, published_name
from ultrafm.curation.reading.hub import fetch_hub
from ultrafm.curation.reading.hub_pictures import COLUMNS, TABLE
from ultrafm.curation.reading.unpack import is_archive, unpack
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, replacing, write_json
from ultrafm.manifests.lock import Lock
from ultrafm.manifests.schema import ArchiveFile, ArchiveSource, FileSource, FolderSource, HubSource, SiteManifest

MARKER = ".ultrafm.json"  # in an unpacked folder: which archives it holds


class Fetched(NamedTuple):
    """A source as a folder below `root`, which takes the place of the data root; and the lock as it is now."""

    source: FileSource
    root: Path
    lock: Lock


def fetch_source(
    manifest: SiteManifest,
    source: FileSource,
    data_root: Path,
    lock: Lock,
    allow_network: bool,
    hub_endpoint: str | None = None,
) -> Fetched:
    """Turn an archive or a hub data set into a folder below data_root/<site>; other sources come back as they are.

    What was brought there before is used without a request. A first download records its SHA-256 (or the hub's commit)
    in the lock that comes back; the caller writes it. `hub_endpoint` is the hub's address, None for the usual one.

    Raises:
        UltraFMError: something is missing and `allow_network` is false, a download fails, its hash is not the one of
            the manifest or else of the lock, or an archive cannot be unpacked safely.
    """
    data_root = Path(data_root)
    if isinstance(source, ArchiveSource):
        lock = _fetch_archives(manifest.site, source, data_root / manifest.site, lock, allow_network)
        place = find_table(data_root / manifest.site / "unpacked", source)
        path = f"{manifest.site}/unpacked/{place}"
        return Fetched(_as_folder(source, path, mask_path=drawn_masks(source.mask_path)), data_root, lock)
    if isinstance(source, HubSource):
        folder, lock = fetch_hub(manifest.site, source, data_root / manifest.site, lock, allow_network, hub_endpoint)
        path = folder.relative_to(data_root).as_posix()
        return Fetched(_as_folder(source, path, table=TABLE, columns=COLUMNS, patient_pattern=None), data_root, lock)
    return Fetched(source, data_root, lock)


def _fetch_archives(site: str, source: ArchiveSource, folder: Path, lock: Lock, allow_network: bool) -> Lock:
    """Download and unpack what is not there yet; the lock with the hashes of all archives."""
    unpacked = folder / "unpacked"
    marker = read_json(unpacked / MARKER) if (unpacked / MARKER).exists() else {}
    hashes = {archive.address: archive.sha256 or lock.archives.get(archive.address) for archive in source.archives}
    if marker != _marker(source, {address: found or _hash_of(marker, address) for address, found in hashes.items()}):
        paths = {}
        for address, expected in hashes.items():
            paths[address], hashes[address] = download(address, folder / "downloads", expected, allow_network, site)
        marker = _marker(source, hashes)
        with replacing(unpacked) as temporary:
            for archive in source.archives:
                _place(archive, paths[archive.address], temporary)
            convert_all(source, temporary)
            write_json(temporary / MARKER, marker)
    recorded = {archive.address: _hash_of(marker, archive.address) for archive in source.archives}
    return lock.model_copy(update={"archives": lock.archives | recorded})


def find_table(unpacked: Path, source: ArchiveSource) -> str:
    """`source.path`, or the only folder below it with the source's table: many archives wrap all in one folder more."""
    if source.table is None or (unpacked / source.path / source.table).exists():
        return source.path
    found = sorted((unpacked / source.path).rglob(Path(source.table).name))
    inside = [path for path in found if path.as_posix().endswith(f"/{source.table}")]
    if len(inside) != 1:
        return source.path  # reading the table then says that it is missing
    return inside[0].parents[len(Path(source.table).parts) - 1].relative_to(unpacked).as_posix()


def _marker(source: ArchiveSource, hashes: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """What an unpacked folder says of itself: the archives that it holds, and what was made of their files."""
    held = {a.address: {"sha256": hashes[a.address], "into": a.into} for a in source.archives}
    return held | {"converted": source.model_dump(include={"path", "mask_path", "matlab"})}


def _hash_of(marker: Mapping[str, Mapping[str, Any]], address: str) -> str | None:
    return marker.get(address, {}).get("sha256")


def _place(archive: ArchiveFile, path: Path, folder: Path) -> None:
    """Unpack a download into its folder below `folder`; what is no archive is put there as it is."""
    name = published_name(archive.address)
    target = folder / archive.into
    if is_archive(path, name):
        unpack(path, target, name)
        return
    target.mkdir(parents=True, exist_ok=True)
    if (target / name).exists():
        raise UltraFMError(archive.address, f"a second file {name}", "files of different names in one folder")
    try:
        os.link(path, target / name)
    except OSError:  # a disk without hard links
        shutil.copyfile(path, target / name)


def _as_folder(source: FileSource, path: str, **changes: object) -> FolderSource:
    """A folder source at `path` with what the two kinds have in common."""
    common = {name: value for name, value in source.model_dump().items() if name in FolderSource.model_fields}
    return FolderSource.model_validate(common | {"kind": "folder", "path": path} | changes)
