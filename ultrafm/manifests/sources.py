"""Which of a site's sources a run reads, and whether its images are simulated."""

from __future__ import annotations

from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.schema import ArchiveSource, HubSource, Listed, SiteManifest, Source

CHOICES = ("phantom", "open", "local", "default")


def choose_source(manifest: SiteManifest, wanted: str) -> tuple[str, Source]:
    """Name and description of the source to read: "phantom", "open", "local", or "default".

    The default is the manifest's default_source or, without one, its only source.

    Raises:
        UltraFMError: no such choice, the site lacks that source, or several sources and no default.
    """
    if wanted not in CHOICES:
        expected = f"one of {', '.join(CHOICES)}{nearest(wanted, CHOICES)}"
        raise UltraFMError(f"{manifest.site}, source", repr(wanted), expected)
    available = manifest.sources.available()
    name = _default(manifest, available) if wanted == "default" else wanted
    if name not in available:
        found = f"no source {name!r}"
        expected = f"one of {', '.join(available)}" if available else "a manifest with a source"
        mend = f"describe sources.{name} in {manifest.site}.yaml, or choose another source"
        raise UltraFMError(f"{manifest.site}, sources", found, expected, mend)
    return name, getattr(manifest.sources, name)


def _default(manifest: SiteManifest, available: list[str]) -> str:
    if manifest.default_source:
        return manifest.default_source
    if len(available) == 1:
        return available[0]
    found = f"{len(available)} sources ({', '.join(available)}) and no default_source"
    mend = f"add default_source to {manifest.site}.yaml, or name a source"
    raise UltraFMError(f"{manifest.site}, sources", found, "one source, or a default_source", mend)


def is_simulated(source: Source) -> bool:
    """Whether the images of a source are simulated; every figure and table that shows them must say so."""
    return source.kind == "phantom"


def has_table(source: Source) -> bool:
    """Whether a table lists the files of a source; else they are found in its folder."""
    return isinstance(source, Listed) and source.table is not None


def what_is_downloaded(source: Source) -> list[str]:
    """What a run of a source would download, for people to read: addresses, or the page of a hub data set."""
    if isinstance(source, ArchiveSource):
        return [archive.address for archive in source.archives]
    if isinstance(source, HubSource):
        return [f"huggingface.co/datasets/{source.hub} at {source.revision}"]
    return []


def is_remote(source: Source) -> bool:
    """Whether the images of a source must be downloaded before they can be read."""
    return source.kind in ("archive", "huggingface")
