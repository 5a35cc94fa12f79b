"""The report of `ultrafm manifests check`: all problems of all files, one line per site, and totals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ultrafm.manifests.load import SiteFile, read_folder
from ultrafm.manifests.schema import PhantomSource, SiteManifest, Source
from ultrafm.manifests.sources import is_simulated, what_is_downloaded
from ultrafm.manifests.vocabulary import NOT_STATED


@dataclass(frozen=True)
class CheckReport:
    """`lines`: one per site; `problems`: all of them, in words; `totals`: of sites, countries, organs and modalities.

    `warnings`: what a person should think about, and what is no error. Totals count the sites whose manifest could be
    read.
    """

    lines: list[str]
    problems: list[str]
    totals: dict[str, int]
    warnings: list[str]


def check_manifests(folder: Path) -> CheckReport:
    """Check a folder of manifests to the end; nothing is raised, a missing folder is a problem like any other."""
    found = read_folder(folder)
    manifests = [site.manifest for site in found.sites if site.manifest is not None]
    problems = [str(problem) for problem in found.all_problems()]
    warnings = [str(warning) for site in found.sites for warning in site.warnings]
    return CheckReport([_line(site) for site in found.sites], problems, count_totals(manifests), warnings)


def count_totals(manifests: list[SiteManifest]) -> dict[str, int]:
    """Numbers of sites, and of different countries (that are stated), organs and modalities."""
    return {
        "sites": len(manifests),
        "countries": len({country_of(manifest) for manifest in manifests} - {NOT_STATED}),
        "organs": len({organ for manifest in manifests for organ in manifest.organs}),
        "modalities": len({modality for manifest in manifests for modality in manifest.modalities}),
    }


def usual_source(manifest: SiteManifest) -> Source | None:
    """The default source or, without one, the first of phantom, open and local that there is."""
    available = manifest.sources.available()
    name = manifest.default_source if manifest.default_source in available else next(iter(available), None)
    return getattr(manifest.sources, name) if name else None


def country_of(manifest: SiteManifest) -> str:
    """Country of the source that the site usually reads."""
    source = usual_source(manifest)
    return source.country if source else NOT_STATED


def downloads(manifest: SiteManifest) -> list[str]:
    """What a run would download, in words: one entry for each source of the site that lies elsewhere."""
    told = []
    for name in manifest.sources.available():
        wanted = what_is_downloaded(getattr(manifest.sources, name))
        if wanted:
            more = f" and {len(wanted) - 1} more files" if len(wanted) > 1 else ""
            told.append(f"{name} would download {wanted[0]}{more}")
    return told


def _line(site: SiteFile) -> str:
    """What one site is, or how many problems keep it from being one."""
    if site.manifest is None:
        return f"{site.path.stem}: not readable, {len(site.problems)} problem{'s' * (len(site.problems) != 1)}"
    manifest = site.manifest
    tasks = ", ".join(task.name for task in manifest.tasks) or "none"
    parts = [country_of(manifest), ", ".join(manifest.organs), ", ".join(manifest.modalities)]
    parts += [_images(usual_source(manifest)), f"split: {manifest.split.rule}", f"tasks: {tasks}"]
    parts += downloads(manifest)
    if site.problems:
        parts.append(f"{len(site.problems)} problem{'s' * (len(site.problems) != 1)}")
    return f"{manifest.site}: {'; '.join(parts)}"


def _images(source: Source | None) -> str:
    if isinstance(source, PhantomSource):
        return f"{source.patients} simulated patients"
    return "no source" if source is None or is_simulated(source) else f"{source.kind} {source.path}"
