"""Running the designs: every task, encoder and design is a part of its own, kept on disk and never computed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ultrafm.downstream.designs.settings import Settings
from ultrafm.downstream.methods.aggregation import aggregate
from ultrafm.downstream.tasks import TaskData
from ultrafm.files import hash_folder, hash_text, replacing
from ultrafm.geometry.frames import ScanFrames
from ultrafm.progress import progress
from ultrafm.workers import worker_pool

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from ultrafm.downstream.designs.asking import Look

DESIGNS = ("label_efficiency", "few_shot", "leave_one_site_out", "site_matrix", "tuning", "robustness")
ASKED_ALREADY = "another task asks the very same of the same images"


@dataclass(frozen=True)
class Job:
    """One encoder on one task; without a folder, coarse pixels stand in for features. frames: of all its images."""

    data: TaskData
    frames: ScanFrames
    encoder: str
    folder: Path | None
    settings: Settings
    place: Path
    made_of: str = field(repr=False)

    def part(self, design: str) -> Path:
        """Where a design's predictions are kept; whatever they depend on, but for the code, is in the name."""
        name = f"{self.data.task.name}-{self.encoder}-{design}"
        return self.place / f"{name}-{hash_text(f'{self.made_of} {design}')[:12]}.parquet"

    def missing(self) -> list[str]:
        """The designs that are not computed yet."""
        return [design for design in DESIGNS if not self.part(design).exists()]


def run_designs(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path | None],
    curated: Path,
    settings: Settings,
    place: Path,
    workers: int = 1,
) -> dict[str, pd.DataFrame]:
    """The predictions of every design (name -> table) on the tasks that can be evaluated, by every encoder.

    Parts that lie in the folder `place` are read, the others computed, `workers` at a time, which changes no result. A
    design that no task allows has an empty table. `curated` are the stores that the tasks came from.
    """
    jobs = design_jobs(tasks, encoders, curated, settings, place)
    waiting = [job for job in jobs if job.missing()]
    bar = progress(total=len(waiting), title="designs", unit="task and encoder")
    with bar, worker_pool(max(1, min(workers, len(waiting)))) as pool:
        for _ in pool.map(compute_parts, waiting):
            bar.update()
    return tables_of(jobs)


def design_jobs(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path | None],
    curated: Path,
    settings: Settings,
    place: Path,
) -> list[Job]:
    """A job for each task that can be evaluated and each encoder."""
    from ultrafm.downstream.designs.perturbations import scan_frames
    from ultrafm.pretraining.scans import Scans, describe_scans

    jobs = []
    for data in tasks.values():
        if data.skipped is not None:
            continue
        frames = scan_frames(curated, data)
        asked = (
            f"{describe_scans(_as_scans(data, frames, Scans))} {data.answer_truth.tolist()} {data.patients.tolist()}"
        )
        asked += f" {data.task.model_dump_json()} {data.design} {data.table.to_json()} {asdict(settings)}"
        for name, folder in encoders.items():
            made_of = hash_text(f"{asked} {hash_folder(folder) if folder else name}")
            jobs.append(Job(data, frames, name, folder, settings, place, made_of))
    return jobs


def asked_once(tasks: Mapping[str, TaskData]) -> dict[str, TaskData]:
    """The tasks that can be evaluated, without those that ask of the very images of another one the very same.

    A question that is declared for images and again for their clips would else count twice in every average; the one
    for images is kept. What is left is answered by image, and by clip or patient where the task says so.
    """
    kept: dict[str, TaskData] = {}
    for name, data in sorted(tasks.items(), key=lambda one: (one[1].task.unit != "image", one[0])):
        if data.skipped is None and not any(_same_question(data, other) for other in kept.values()):
            kept[name] = data
    return {name: kept[name] for name in tasks if name in kept}


def _same_question(one: TaskData, other: TaskData) -> bool:
    same_images = one.table["image_id"].equals(other.table["image_id"])
    return same_images and np.array_equal(one.answer_truth, other.answer_truth)


def compute_parts(job: Job) -> None:
    """Compute the designs of a job that are missing, on one thread, and keep each as soon as it is there."""
    from ultrafm.downstream.designs.asking import Look
    from ultrafm.downstream.evaluate import one_thread
    from ultrafm.downstream.methods.encoders import open_encoder
    from ultrafm.downstream.methods.features import extract_features, pixel_features

    with one_thread():
        encoder = open_encoder(job.folder) if job.folder else None

        def extract(images: np.ndarray, sectors: np.ndarray) -> np.ndarray:
            return extract_features(encoder, images, sectors) if encoder else pixel_features(images)

        look = Look(job.data, job.encoder, extract(job.data.images, job.data.sectors))
        for design in job.missing():
            table = compute_design(design, look, job, extract, encoder)
            table = aggregate(table, job.data.task.unit) if len(table) and job.data.task.unit != "image" else table
            with replacing(job.part(design)) as temporary:
                table.to_parquet(temporary, index=False)


def compute_design(
    design: str, look: Look, job: Job, extract: Callable[..., np.ndarray], encoder: VisionTransformer | None
) -> pd.DataFrame:
    """The predictions of one of DESIGNS, by image."""
    from ultrafm.downstream.designs import federated_tuning, labels, robustness, sites

    asked = job.settings
    match design:
        case "label_efficiency":
            return labels.label_efficiency(look, asked.shares, asked.repeats, asked.seed)
        case "few_shot":
            return labels.few_shot(look, asked.shots, asked.repeats, asked.seed)
        case "leave_one_site_out":
            return sites.leave_one_site_out(look)
        case "site_matrix":
            return sites.site_matrix(look)
        case "tuning":
            tuned = encoder if job.encoder in asked.tuned else None
            return federated_tuning.tune_together_or_alone(look, asked.tuning, asked.seed, tuned)
        case "robustness":
            return robustness.robustness(look, job.frames, extract, asked.kinds, asked.seed)
    raise ValueError(f"design {design!r}: expected one of {', '.join(DESIGNS)}")


def left_out(tasks: Mapping[str, TaskData], settings: Settings) -> pd.DataFrame:
    """What the designs cannot ask of all these tasks, and why: columns task, what, why."""
    asked, rows = asked_once(tasks), []
    for name, data in tasks.items():
        found = _not_possible(data, settings) if name in asked else {"the whole task": data.skipped or ASKED_ALREADY}
        rows += [{"task": name, "what": what, "why": why} for what, why in found.items()]
    return pd.DataFrame(rows, columns=["task", "what", "why"])


def _not_possible(data: TaskData, settings: Settings) -> dict[str, str]:
    from ultrafm.downstream.designs.labels import left_out_labels
    from ultrafm.downstream.designs.sites import left_out_sites

    found = left_out_labels(data, settings.shares, settings.shots, settings.repeats, settings.seed)
    return found | left_out_sites(data)


def _as_scans(data: TaskData, frames: ScanFrames, scans: type):
    nothing = np.zeros(len(data.images), np.int64)
    return scans(
        data.images, data.sectors, frames.curved.numpy(), frames.numbers.numpy(), nothing, nothing.astype(np.float32)
    )


def tables_of(jobs: Sequence[Job]) -> dict[str, pd.DataFrame]:
    """The parts of each design of all jobs, joined; a table without rows where no task allows a design."""
    found = {}
    for design in DESIGNS:
        parts = [pd.read_parquet(job.part(design)) for job in jobs]
        full = [part for part in parts if len(part)] or parts[:1]
        found[design] = pd.concat(full, ignore_index=True)
    return found
