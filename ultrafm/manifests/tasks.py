"""The questions of the study: one task, asked in the same words at several sites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import SiteManifest, Task

# Patients of each class (of a segmentation: in all) without which a task is skipped: in fixed folds; in the evaluation
# fold of a cross-validation and in what a model of it is trained on.
FEWEST_IN_FOLDS = {"train": 2, "validation": 1, "test": 2}
FEWEST_IN_TURNS = 2


@dataclass(frozen=True)
class TaskAtSites:
    """A task and the sites (sorted) whose images can answer it."""

    task: Task
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Disagreement:
    """Two sites that describe the same task in different words; `position` counts the tasks of `site` from 0."""

    site: str
    position: int
    field: str
    value: object
    first_site: str
    first_value: object

    def told_at(self, place: str) -> UltraFMError:
        """The error for a reader who looks at `place`."""
        expected = f"{self.first_value!r}, as at {self.first_site}"
        mend = "describe a task in the same words at all sites, or give it another name"
        return UltraFMError(place, repr(self.value), expected, mend)


def disagreements(manifests: Sequence[SiteManifest]) -> Iterator[Disagreement]:
    """Every field in which a task differs from the first site (by id) that names it."""
    first: dict[str, tuple[str, Task]] = {}
    for manifest in sorted(manifests, key=lambda manifest: manifest.site):
        for position, task in enumerate(manifest.tasks):
            site, reference = first.setdefault(task.name, (manifest.site, task))
            for field in Task.model_fields:
                value, expected = getattr(task, field), getattr(reference, field)
                if value != expected:
                    yield Disagreement(manifest.site, position, field, value, site, expected)


def gather_tasks(manifests: Sequence[SiteManifest]) -> dict[str, TaskAtSites]:
    """Task name -> task and its sites; names and sites are sorted.

    Raises:
        UltraFMError: two sites describe a task of the same name differently.
    """
    for problem in disagreements(manifests):
        raise problem.told_at(f"{problem.site}, field tasks.{problem.position}.{problem.field}")
    tasks = {task.name: task for manifest in manifests for task in manifest.tasks}
    return {name: TaskAtSites(tasks[name], _sites_of(name, manifests)) for name in sorted(tasks)}


def _sites_of(name: str, manifests: Sequence[SiteManifest]) -> tuple[str, ...]:
    return tuple(sorted(manifest.site for manifest in manifests if any(task.name == name for task in manifest.tasks)))
