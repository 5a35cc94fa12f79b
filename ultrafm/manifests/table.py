"""The table of sites in the manifests' README: made from the manifests, never written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.files import write_text
from ultrafm.manifests.check import count_totals, country_of, usual_source
from ultrafm.manifests.load import load_sites
from ultrafm.manifests.schema import PhantomSource, SiteManifest

BEGIN = "<!-- sites table: begin -->"
END = "<!-- sites table: end -->"
HEAD = (
    "site",
    "country",
    "organs",
    "modalities",
    "probe",
    "images",
    "split",
    "tasks",
    "public counterpart",
    "open source",
)


def sites_table(manifests: Sequence[SiteManifest]) -> str:
    """The sites as a table in Markdown, one row each, with a line of totals below it."""
    rows = [HEAD, ("---",) * len(HEAD), *(_row(manifest) for manifest in manifests)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    totals = count_totals(list(manifests))
    images = sum(simulated_images(manifest) for manifest in manifests)
    counts = ", ".join(f"{number} {name}" for name, number in totals.items())
    return "\n".join([*lines, "", f"Together: {counts}; {images:,} simulated images at full size."])


def simulated_images(manifest: SiteManifest) -> int:
    """Images that the phantom source of a site makes at full size; 0 when it has none."""
    source = manifest.sources.phantom
    return source.patients * source.images_per_patient if isinstance(source, PhantomSource) else 0


def replace_table(text: str, table: str) -> str:
    """`text` with the part between the two marker comments replaced by `table`.

    Raises:
        UltraFMError: a marker is missing, or they stand in the wrong order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UltraFMError("sites table", "no pair of marker comments", f"{BEGIN} and, below it, {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def write_sites_table(folder: Path) -> Path:
    """Bring the table in `folder`/README.md up to date with the manifests of `folder`; returns the README's path."""
    readme = Path(folder) / "README.md"
    write_text(readme, replace_table(readme.read_text(encoding="utf-8"), sites_table(load_sites(folder))))
    return readme


def _row(manifest: SiteManifest) -> tuple[str, ...]:
    return (
        f"**{manifest.site}**<br>{_institution(manifest)}",
        country_of(manifest),
        ", ".join(manifest.organs),
        ", ".join(manifest.modalities),
        manifest.probe,
        _images(manifest),
        _split(manifest),
        ", ".join(task.name for task in manifest.tasks) or "none (pre-training)",
        _counterpart(manifest),
        _open_source(manifest),
    )


def _institution(manifest: SiteManifest) -> str:
    source = usual_source(manifest)
    return source.institution if isinstance(source, PhantomSource) else getattr(source, "publisher", manifest.title)


def _images(manifest: SiteManifest) -> str:
    source = usual_source(manifest)
    if not isinstance(source, PhantomSource):
        return "real, see the source"
    return f"{simulated_images(manifest)} simulated, {source.patients} patients"


def _split(manifest: SiteManifest) -> str:
    split = manifest.split
    if split.rule == "pretrain_only":
        return "train only"
    if split.rule == "cross_validation":
        return f"train {split.train:g}, rest in {split.groups} groups"
    return f"{split.train:g} / {split.validation:g} / {1 - split.train - split.validation:.2g}"


def _counterpart(manifest: SiteManifest) -> str:
    other = manifest.public_counterpart
    if other is None:
        return "none"
    checked = "" if other.checked else ", not checked"
    return f"{other.name} ({other.country}; {other.size}; {other.licence}{checked})"


def _open_source(manifest: SiteManifest) -> str:
    """The set that `--source open` reads: whose, from where, under which licence and conditions, if checked."""
    source = manifest.sources.open
    if source is None:
        return "none"
    conditions = ", ".join(source.conditions) or "no conditions known"
    checked = "checked" if source.checked else "not checked"
    return f"{source.publisher} ({source.country}; {source.licence}; {conditions}; {checked})"
