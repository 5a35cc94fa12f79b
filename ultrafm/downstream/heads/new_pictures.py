"""New pictures, prepared exactly as curation prepares those of a site: cropped to the scan area, made nameless."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ultrafm.curation.identity.pseudonyms import Pseudonyms
from ultrafm.curation.judge import MEASURES, Box
from ultrafm.curation.prepare import Job, Settings
from ultrafm.curation.process import FILES_AT_ONCE, read_batches
from ultrafm.curation.quality import Measured, flags
from ultrafm.curation.store import decode_png
from ultrafm.curation.work import Picture
from ultrafm.downstream.heads.listing import Listed
from ultrafm.manifests.schema import FileSource, Quality

FRAMES_PER_CLIP = FileSource.model_fields["frames_per_clip"].default


@dataclass(frozen=True)
class NewPicture:
    """One frame of a file. name: of the file; frame: its number, from 0; frames: how many of the file are taken.

    failure: why it cannot be used; then the rest is empty. image (S, S) uint8 and sector (S, S) bool are what a network
    sees; crop (h, w) uint8 is the scan area at the file's own resolution, black outside it and where text was found.
    facts: what curation tells of the picture. flags: reasons for which curation would leave it out for its quality.
    """

    name: str
    frame: int
    frames: int
    failure: str | None = None
    image: np.ndarray | None = None
    sector: np.ndarray | None = None
    crop: np.ndarray | None = None
    facts: dict | None = None
    flags: tuple[str, ...] = ()


def prepare_images(
    files: Sequence[Listed], image_size: int, frames_per_clip: int = FRAMES_PER_CLIP
) -> Iterator[tuple[Listed, list[NewPicture]]]:
    """Each file with its pictures, as curated ones of `image_size` pixels; a few files are in memory at a time.

    A file that cannot be read has one entry with its reason. Text inside the scan area is made black, as the manifests'
    default says. Files that no decoder survives cost one process and not the run.
    """
    nobody = Pseudonyms("predict", secrets.token_bytes(32))  # nothing that is named with it is kept
    settings = Settings(Path("/"), image_size, frames_per_clip, {}, True, False, nobody, crops=True)
    jobs = [Job(str(number), str(file.path), "", "") for number, file in enumerate(files)]
    batches = [jobs[start : start + FILES_AT_ONCE] for start in range(0, len(jobs), FILES_AT_ONCE)]
    for read in read_batches(settings, batches, 1):
        for one in read:
            file = files[int(one.key)]
            yield file, [_new_picture(file.name, picture) for picture in one.pictures]


def _new_picture(name: str, picture: Picture) -> NewPicture:
    if picture.failure is not None:
        why = picture.failure
        told = why.naming(name) if why.name else why
        return NewPicture(name, picture.frame, picture.frames, str(told))
    measured = Measured(**{measure: picture.facts[measure] for measure in MEASURES})
    poor = tuple(flags(measured, Box(*picture.facts["crop"]), Quality()))
    image, sector, crop = (decode_png(data) for data in (picture.image, picture.sector, picture.crop))
    return NewPicture(name, picture.frame, picture.frames, None, image, sector > 0, crop, picture.facts, poor)
