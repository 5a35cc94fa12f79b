"""Running the designs: every task, encoder and design is a part of its own, kept on disk and never computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from ultrafm.downstream.tasks import TaskData
from ultrafm.files import hash_folder, hash_text, replacing
from ultrafm.geometry.frames import ScanFrames
from ultrafm.progress import progress
from ultrafm.workers import worker_pool

LABELS, SHOTS, LEFT_OUT, MATRIX = "label_efficiency", "few_shot", "leave_one_site_out", "site_matrix"
TUNING, ROBUSTNESS = "tuning", "robustness"
DESIGNS = (LABELS, SHOTS, LEFT_OUT, MATRIX, TUNING, ROBUSTNESS)


@dataclass(frozen=True)
class Settings:
    """What is asked. shares: of the training patients, 0 to 1; shots: patients a class; repeats: draws of both.

    kinds: of PERTURBATIONS; rounds, local_steps, blocks, block_rounds: see `Tuning`; tuned: encoders whose last blocks
    are tuned too; precision: of that, fp32 or bf16.
    """

    shares: tuple[float, ...] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    repeats: int = 5
    kinds: tuple[str, ...] = ("gain", "depth_gain", "blur", "speckle", "shadow", "resolution")
    rounds: int = 40
    local_steps: int = 5
    blocks: int = 2
    block_rounds: int = 4
    tuned: tuple[str, ...] = ("random", "federated")
    precision: str = "fp32"
    seed: int = 0


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
    return {design: _table(jobs, design) for design in DESIGNS}


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
        asked += f" {data.table[['fold', 'group']].to_csv()} {asdict(settings)}"
        for name, folder in encoders.items():
            made_of = hash_text(f"{asked} {hash_folder(folder) if folder else name}")
            jobs.append(Job(data, frames, name, folder, settings, place, made_of))
    return jobs


def compute_parts(job: Job) -> None:
    """Compute the designs of a job that are missing, on one thread, and keep each as soon as it is there."""
    from ultrafm.downstream.evaluate import one_thread

    with one_thread():
        seen, extract, encoder = _look(job)
        for design in job.missing():
            table = _compute(job, design, seen, extract, encoder)
            with replacing(job.part(design)) as temporary:
                table.to_parquet(temporary, index=False)


def _look(job: Job):
    """The task as the encoder sees it, the encoder's way of making features, and the encoder."""
    from ultrafm.downstream.designs.asking import Seen
    from ultrafm.downstream.methods.features import extract_features, pixel_features
    from ultrafm.pretraining.weights import load_encoder

    encoder = load_encoder(job.folder) if job.folder else None

    def extract(images, sectors):
        return extract_features(encoder, images, sectors) if encoder else pixel_features(images)

    return Seen(job.data, job.encoder, extract(job.data.images, job.data.sectors)), extract, encoder


def _compute(job: Job, design: str, seen, extract, encoder) -> pd.DataFrame:
    from ultrafm.downstream.designs import federated_tuning, labels, robustness, sites

    asked = job.settings
    if design == LABELS:
        return labels.label_efficiency(seen, asked.shares, asked.repeats, asked.seed)
    if design == SHOTS:
        return labels.few_shot(seen, asked.shots, asked.repeats, asked.seed)
    if design == LEFT_OUT:
        return sites.leave_one_site_out(seen)
    if design == MATRIX:
        return sites.site_matrix(seen)
    if design == ROBUSTNESS:
        return robustness.robustness(seen, job.frames, extract, asked.kinds, asked.seed)
    tuning = federated_tuning.Tuning(asked.rounds, asked.local_steps, asked.blocks, asked.block_rounds, asked.precision)
    tuned = encoder if job.encoder in asked.tuned else None
    return federated_tuning.tune_together_or_alone(seen, tuning, asked.seed, tuned)


def _as_scans(data: TaskData, frames: ScanFrames, scans: type):
    import numpy as np

    nothing = np.zeros(len(data.images), np.int64)
    return scans(
        data.images, data.sectors, frames.curved.numpy(), frames.numbers.numpy(), nothing, nothing.astype(np.float32)
    )


def _table(jobs: Sequence[Job], design: str) -> pd.DataFrame:
    """The parts of one design of all jobs, joined; those without rows are passed over where others have some."""
    parts = [pd.read_parquet(job.part(design)) for job in jobs]
    full = [part for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else (parts[0] if parts else pd.DataFrame())
