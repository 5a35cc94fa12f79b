"""Whether a site has patients enough for its tasks: told before a picture is read, not after a study has run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ultrafm.curation.reading.table import Row, row_words
from ultrafm.curation.reasons import Unusable
from ultrafm.errors import UltraFMError
from ultrafm.manifests.question import CLASSIFYING, Task
from ultrafm.manifests.schema import SiteManifest, Split
from ultrafm.manifests.tasks import FEWEST_IN_FOLDS, FEWEST_IN_TURNS


def task_warnings(manifest: SiteManifest, rows: Sequence[Row]) -> list[str]:
    """One warning for each class of a task that has so few patients that a fold may come out too small.

    Folds are dealt later, by hashes, so this goes by their shares. Sites that share a task add up; each is told alone.
    """
    patients: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        try:
            words = row_words(row, manifest)
        except Unusable:
            continue
        if words.label:
            patients[words.organ, words.label].add(row.patient)
    tasks = [task for task in manifest.tasks if task.kind in CLASSIFYING and task.classes_of == "label"]
    return [text for task in tasks for text in _lacking(manifest, task, patients)]


def _lacking(manifest: SiteManifest, task: Task, patients: Mapping[tuple[str, str], set[str]]) -> list[str]:
    told = []
    classes = task.classes or {"positive": task.positive, "negative": task.negative}
    for name, labels in classes.items():
        count = len(set().union(*(patients.get((task.organ, label), set()) for label in labels)))
        folds = [(fold, round(share * count, 6), least) for fold, share, least in _shares(manifest.split)]
        short = [f"about {expected:.1f} in {fold}" for fold, expected, least in folds if expected < least]
        if short:
            needed = ", ".join(f"{least} in {fold}" for fold, _expected, least in folds)
            found = f"{count} {name} patients, by its split {' and '.join(short)}"
            turns = ", or split.rule cross_validation" if manifest.split.rule == "patients" else ""
            mend = f"more patients or a larger share{turns}; other sites of the task count too"
            where = f"{manifest.site}, task {task.name}"
            told.append(str(UltraFMError(where, found, f"at least {needed}, or the task is skipped", mend)))
    return told


def _shares(split: Split) -> Iterable[tuple[str, float, int]]:
    """Fold, its share of the patients, and how many of each class it needs."""
    if split.rule == "patients":
        shares = {"train": split.train, "validation": split.validation, "test": 1 - split.train - split.validation}
        return [(fold, shares[fold], least) for fold, least in FEWEST_IN_FOLDS.items()]
    if split.rule == "cross_validation":
        return [("evaluation", 1 - split.train, FEWEST_IN_TURNS)]
    return []
