"""Data sets of the Hugging Face hub: one commit of one is downloaded and written out as pictures with a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ultrafm.curation.reading.download import not_allowed
from ultrafm.curation.reading.hub_pictures import hub_offline, write_pictures
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, replacing, write_json
from ultrafm.manifests.lock import Lock
from ultrafm.manifests.schema import HubSource

MARKER = ".ultrafm.json"  # in a folder of pictures: which commit and settings they were written out with
# Data only: no program of a hub data set is downloaded, let alone run.
DATA = (
    "README.md", "*.parquet", "*.arrow", "*.csv", "*.json", "*.jsonl", "*.txt", "*.zip", "*.tar", "*.tar.gz",
    "*.png", "*.PNG", "*.jpg", "*.JPG", "*.jpeg", "*.JPEG", "*.tif", "*.tiff", "*.bmp", "*.webp",
)  # fmt: skip


def fetch_hub(
    site: str, source: HubSource, folder: Path, lock: Lock, allow_network: bool, endpoint: str | None
) -> tuple[Path, Lock]:
    """The folder of pictures that a hub data set was written out to, and the lock with its commit.

    Below `folder`, hub/files holds what was downloaded and hub/pictures what was written out; a second call asks
    nothing of the network. Raises UltraFMError as `fetch_source` says.
    """
    key = f"hub:{source.hub}"
    commit = lock.archives.get(key)
    pictures = Path(folder) / "hub" / "pictures"
    marker = read_json(pictures / MARKER) if (pictures / MARKER).exists() else {}
    if not marker or marker != _marker(source, commit or marker.get("commit", "")):
        if not allow_network:
            raise not_allowed(site, f"huggingface.co/datasets/{source.hub}")
        with hub_offline(False):
            commit = _resolve(site, source, commit, endpoint)
            files = _snapshot(site, source, commit, Path(folder) / "hub" / "files", endpoint)
        with replacing(pictures) as temporary:
            write_pictures(site, source, files, temporary)
            write_json(temporary / MARKER, _marker(source, commit))
    recorded = {key: commit or marker["commit"]}
    return pictures, lock.model_copy(update={"archives": lock.archives | recorded})


def _marker(source: HubSource, commit: str) -> dict[str, Any]:
    """What pictures say of themselves: of which commit, and all settings that they depend on."""
    settings = source.model_dump(include={"hub", "revision", "subset", "split", "columns", "patient_pattern"})
    return {"commit": commit, **settings}


def _resolve(site: str, source: HubSource, locked: str | None, endpoint: str | None) -> str:
    """The commit that the manifest's revision is, or was at the first download."""
    from huggingface_hub import HfApi

    is_commit = re.fullmatch(r"[0-9a-f]{40}", source.revision)
    if locked and is_commit and locked != source.revision:
        found = f"the revision {source.revision} in the manifest and the commit {locked} in the lock"
        mend = f"to change the images on purpose, take hub:{source.hub} out of the lock"
        raise UltraFMError(f"{site}, hub data set {source.hub}", found, "the same of both", mend)
    if locked:
        return locked
    with _told(site, source):
        commit = HfApi(endpoint=endpoint).dataset_info(source.hub, revision=source.revision).sha
    if not commit or (is_commit and commit != source.revision):
        raise UltraFMError(f"{site}, hub data set {source.hub}", f"the commit {commit}", source.revision)
    return commit


def _snapshot(site: str, source: HubSource, commit: str, folder: Path, endpoint: str | None) -> Path:
    """The data files of one commit, in `folder`; what is there already is not downloaded again."""
    from huggingface_hub import snapshot_download

    target = folder / commit
    with _told(site, source):
        snapshot_download(
            source.hub, repo_type="dataset", revision=commit, allow_patterns=list(DATA), local_dir=target,
            endpoint=endpoint, max_workers=2,
        )  # fmt: skip
    return target


@contextmanager
def _told(site: str, source: HubSource) -> Iterator[None]:
    """Whatever the hub's library raises, told as an error for people."""
    try:
        yield
    except Exception as error:  # its own errors, those of two HTTP libraries, and OSError for a full disk
        found = str(error).strip().splitlines() or [type(error).__name__]
        mend = "look at the data set's page; it may have moved, or ask for a login (`hf auth login`)"
        place = f"{site}, huggingface.co/datasets/{source.hub} at {source.revision}"
        raise UltraFMError(place, f"no data set ({found[0]})", "its files", mend) from error
