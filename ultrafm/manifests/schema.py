"""The shape of a site manifest. A field that is not named here is an error, not a comment."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Strict(BaseModel):
    """Base of all manifest parts: unknown fields are refused and values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Device(Strict):
    """How one simulated scanner makes a picture; lengths in millimetres, frequency in megahertz, levels in decibels."""

    name: str
    scan_mode: str
    frequency_mhz: float = Field(ge=1, le=30)
    bandwidth: float = Field(default=0.6, gt=0, le=1.2, description="-6 dB width as a share of the frequency")
    depth_mm: float = Field(gt=5, le=300)
    focus_mm: float = Field(gt=1, le=300)
    width_mm: float = Field(default=40, gt=5, le=120, description="linear: aperture; else ignored")
    radius_mm: float = Field(default=50, ge=2, le=120, description="curved: distance from arc centre to the skin")
    half_angle_degrees: float = Field(default=32, gt=5, le=90, description="curved: half of the opening angle")
    gain_db: float = Field(default=0, ge=-30, le=30)
    dynamic_range_db: float = Field(default=60, ge=30, le=90)
    depth_gain_error_db: float = Field(
        default=0, ge=-20, le=20, description="left over at full depth after compensation"
    )
    picture_width: int = Field(default=320, ge=64, le=1024)
    picture_height: int = Field(default=256, ge=64, le=1024)
    overlays: tuple[Literal["text", "scale", "logo", "caliper"], ...] = ()
    tint: Literal["grey", "sepia", "blue"] = "grey"


class Planted(Strict):
    """Faults put into a simulated archive on purpose, so that curation has something to find."""

    exact_duplicates: int = Field(default=0, ge=0)
    near_duplicates: int = Field(default=0, ge=0)
    truncated_files: int = Field(default=0, ge=0)


class Origin(Strict):
    """Where the images of a source come from and under which conditions they may be used."""

    country: str
    licence: str
    citation: str
    checked: bool = Field(default=False, description="were country and licence read at the source?")


class PhantomSource(Origin):
    """Simulated images; the institution is fictional."""

    kind: Literal["phantom"]
    institution: str
    patients: int = Field(ge=1)
    images_per_patient: int = Field(default=2, ge=1, le=20)
    device: Device
    findings: dict[str, Share] = Field(description="label of the vocabulary -> share of the patients")
    planted: Planted = Planted()

    @model_validator(mode="after")
    def _shares_add_up(self) -> PhantomSource:
        total = sum(self.findings.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of findings add up to {total:g}, expected 1")
        return self


class Columns(Strict):
    """Names of the metadata table's columns; only file and patient must exist."""

    file: str = "file"
    patient: str = "patient"
    label: str | None = None
    mask: str | None = None
    organ: str | None = None
    modality: str | None = None
    scan_mode: str | None = None
    clip: str | None = None


class FileSource(Origin):
    """What all sources of real files have in common."""

    publisher: str
    address: str = ""
    path: str = Field(default=".", description="folder, relative to the data root; all files are relative to it")
    frames_per_clip: int = Field(
        default=5, ge=1, le=1000, description="at most so many frames of a clip, evenly spaced"
    )
    mask_values: dict[str, tuple[int, ...]] = Field(
        default={}, description="structure -> pixel values; empty: lesion is > 0"
    )


class FolderSource(FileSource):
    """Pictures, clips or DICOM files in a folder with a metadata table (CSV, one row per file)."""

    kind: Literal["folder"]
    table: str = Field(default="metadata.csv", description="relative to the folder")
    where: dict[str, str] = Field(default={}, description="column -> value: only rows that match all are read")
    columns: Columns = Columns()


class DicomSource(FileSource):
    """DICOM files in a folder and all folders below it, as an archive exports them; no table is needed."""

    kind: Literal["dicom"]
    patient_tag: str = Field(default="PatientID", description="keyword of the header field that tells patients apart")
    label_tag: str | None = Field(default=None, description="keyword of a header field that holds a label of label_map")


class VideoSource(FileSource):
    """Clips in a folder and all folders below it, with the patient in the path; no table is needed."""

    kind: Literal["video"]
    patient_pattern: str = Field(description="regular expression on the path; its one group is the patient")
    label_pattern: str | None = Field(default=None, description="the same for the label, which label_map translates")

    @field_validator("patient_pattern", "label_pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        try:
            groups = re.compile(pattern).groups if pattern is not None else 1
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from error
        if groups != 1:
            raise ValueError(f"{groups} groups in round brackets, expected one")
        return pattern


Source = Annotated[PhantomSource | FolderSource | DicomSource | VideoSource, Field(discriminator="kind")]


class Sources(Strict):
    """The places that a site's images can come from; the profile or the user picks one."""

    phantom: Source | None = None
    open: Source | None = None
    local: Source | None = None

    def available(self) -> list[str]:
        """Names of the sources that this manifest holds."""
        return [name for name in ("phantom", "open", "local") if getattr(self, name) is not None]


class Task(Strict):
    """A question asked of a site's images. Sites that name the same task must describe it in the same words."""

    name: Name
    kind: Literal["diagnosis", "segmentation"]
    organ: str
    disease: str | None = Field(default=None, description="diagnosis: what a positive case has")
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    structure: str | None = Field(default=None, description="segmentation: key of mask_values, or 'lesion'")

    @model_validator(mode="after")
    def _complete(self) -> Task:
        if self.kind == "diagnosis" and not (self.positive and self.negative and self.disease):
            raise ValueError("a diagnosis task needs positive, negative and disease")
        if self.kind == "segmentation" and not self.structure:
            raise ValueError("a segmentation task needs structure")
        return self


class Split(Strict):
    """How patients are dealt into folds. A patient's fold depends on its hash only, so it never changes.

    patients: train, validation and test shares.
    cross_validation: `train` share for pre-training, the others are evaluated in `groups` patient groups.
    pretrain_only: everything is train; the site takes part in no evaluation.
    """

    rule: Literal["patients", "cross_validation", "pretrain_only"]
    train: Share = 0.6
    validation: Share = 0.2
    groups: int = Field(default=4, ge=2, le=10)

    @model_validator(mode="after")
    def _room_for_test(self) -> Split:
        if self.rule == "patients" and self.train + self.validation >= 1:
            raise ValueError(f"train {self.train:g} and validation {self.validation:g} leave nothing for the test fold")
        return self


class Counterpart(Strict):
    """The public data set that a simulated site resembles. Described, never read."""

    name: str
    address: str
    country: str
    size: str
    licence: str
    checked: bool = False


class Quality(Strict):
    """Least quality of an image that is kept; see ultrafm.curation.quality."""

    smallest_side: int = Field(default=48, ge=1, description="pixels, of the scan sector")
    least_contrast: float = Field(default=4.0, ge=0, description="standard deviation of grey values inside the sector")


class SiteManifest(Strict):
    """What a site is: who publishes it, what it scans, what it is asked, how it is split and where its images are."""

    schema_version: Literal[1]
    site: Annotated[str, Field(pattern=r"^site_\d\d_[a-z0-9_]+$")]
    title: str
    organs: tuple[str, ...] = Field(min_length=1)
    modalities: tuple[str, ...] = Field(min_length=1)
    scan_modes: tuple[str, ...] = Field(min_length=1)
    probe: str
    label_map: dict[str, str] = Field(
        default={}, description="label in the source -> label of the vocabulary or 'unknown'"
    )
    tasks: tuple[Task, ...] = ()
    split: Split
    quality: Quality = Quality()
    default_source: Literal["phantom", "open", "local"] | None = None
    sources: Sources
    public_counterpart: Counterpart | None = None
