"""Rules of tasks that their shape alone does not show: words of the vocabulary, and what a site can answer."""

from __future__ import annotations

from collections.abc import Iterator

from ultrafm.errors import nearest
from ultrafm.manifests.document import FieldPath
from ultrafm.manifests.question import Task
from ultrafm.manifests.schema import FileSource, SiteManifest
from ultrafm.manifests.vocabulary import Vocabulary

Finding = tuple[FieldPath, str, str, str]  # field, found, expected, how to mend


def task_words(
    field: FieldPath, task: Task, vocabulary: Vocabulary
) -> Iterator[tuple[FieldPath, str, dict[str, str], str]]:
    """Field, word, list it must be in, and kind, for every word of a task; `field` is that of the task."""
    if task.organ:
        yield (*field, "organ"), task.organ, vocabulary.organs, "organ"
    if task.disease:
        yield (*field, "disease"), task.disease, vocabulary.diseases, "disease"
    for side in ("positive", "negative"):
        for place, word in enumerate(getattr(task, side)):
            yield (*field, side, str(place)), word, vocabulary.labels, "label"
    for name, words in task.classes.items():
        for place, word in enumerate(words):
            known = vocabulary.organs if task.classes_of == "organ" else vocabulary.labels
            yield (*field, "classes", name, str(place)), word, known, task.classes_of


def task_problems(position: int, manifest: SiteManifest) -> Iterator[Finding]:
    """A task must be one that the site can answer, and be asked once."""
    field, task = ("tasks", str(position)), manifest.tasks[position]
    if task.organ and task.organ not in manifest.organs:
        yield (*field, "organ"), repr(task.organ), f"an organ of the site: {', '.join(manifest.organs)}", ""
    if task.organ is None and not set(task.organs) & set(manifest.organs):
        expected = f"an organ of the site: {', '.join(manifest.organs)}"
        yield (*field, "classes"), f"none but {', '.join(task.organs)}", expected, ""
    if manifest.split.rule == "pretrain_only":
        yield field, f"the task {task.name!r} at a site that only pre-trains", "no task, or another split rule", ""
    if any(other.name == task.name for other in manifest.tasks[:position]):
        yield (*field, "name"), f"the task {task.name!r} more than once", "each task once", ""
    both = sorted(set(task.positive) & set(task.negative))
    if both:
        yield (*field, "negative"), f"{both[0]!r}, which is positive too", "labels on one side only", ""
    if task.kind == "measurement" and not task.from_masks:
        yield from _quantity_problems(field, task, manifest)
    known = _structures(manifest)
    for structure in task.outlined:
        if known and structure not in known:
            name = "structure" if task.structure else "structures"
            expected = f"one of {', '.join(known)}{nearest(structure, known)}"
            yield (*field, name), repr(structure), expected, "name it in mask_values of a source"


def _quantity_problems(field: FieldPath, task: Task, manifest: SiteManifest) -> Iterator[Finding]:
    """A task that a table of measurements answers must ask for a quantity of it, in its unit."""
    sources = (getattr(manifest.sources, name) for name in manifest.sources.available())
    tables = [source.measured for source in sources if isinstance(source, FileSource) and source.measured]
    units = {name: told.unit for table in tables for name, told in table.quantities.items()}
    if task.quantity not in units:
        expected = f"one of {', '.join(units) or 'none'}{nearest(task.quantity or '', units)}"
        mend = "name it in measured.quantities of a source, or say from_masks"
        yield (*field, "quantity"), repr(task.quantity), expected, mend
    elif task.measured_in != units[task.quantity]:
        yield (
            (*field, "measured_in"),
            repr(task.measured_in),
            f"{units[task.quantity]!r}, as the table's column has",
            "",
        )


def _structures(manifest: SiteManifest) -> list[str]:
    """What the masks of the site's sources can show; without mask_values a mask shows a lesion."""
    names: set[str] = set()
    for name in manifest.sources.available():
        source = getattr(manifest.sources, name)
        names |= set(source.mask_values) if isinstance(source, FileSource) and source.mask_values else {"lesion"}
    return sorted(names)
