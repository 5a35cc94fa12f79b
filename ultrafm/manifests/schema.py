"""The shape of a site manifest. A field that is not named here is an error, not a comment."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ultrafm.manifests.parts import Expression, Inside, OneGroup, Share, Strict
from ultrafm.manifests.question import Task, Unit


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


Condition = Literal[
    "attribution", "non-commercial", "no derivatives", "share alike", "on request", "signed agreement", "in the house"
]


class Origin(Strict):
    """Where the images of a source come from and under which conditions they may be used.

    Licence and conditions travel with the store, with weights made from it and with the report.
    """

    country: str
    licence: str
    conditions: tuple[Condition, ...] = Field(default=(), description="of the licence, as far as known")
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
    findings_by_organ: dict[str, dict[str, Share]] = Field(
        default={}, description="organ -> the same for patients who come for it, where these differ"
    )
    files: Literal["png", "dicom"] = Field(default="png", description="dicom: with made-up identities in the header")
    shortcut: bool = Field(
        default=False, description="the diseased are measured with calipers and scanned brighter: a confounded set"
    )
    best_auroc: float | None = Field(
        default=None, gt=0.5, lt=1, description="AUROC that an ideal observer reaches on benign against malignant"
    )
    label_noise: Share = Field(
        default=0, description="share of patients with a wrong label in the table, where an organ has several findings"
    )
    sweeps: Literal["pictures", "clip"] = Field(
        default="pictures", description="how a 3-D sweep is exported: its pictures with masks, or one clip without"
    )
    planted: Planted = Planted()

    @model_validator(mode="after")
    def _shares_add_up(self) -> PhantomSource:
        for where, shares in (("findings", self.findings), *self.findings_by_organ.items()):
            total = sum(shares.values())
            if abs(total - 1) > 1e-6:
                raise ValueError(f"the shares of {where} add up to {total:g}, expected 1")
        return self

    @property
    def labels(self) -> set[str]:
        """All that its patients may have."""
        return {*self.findings, *(label for shares in self.findings_by_organ.values() for label in shares)}

    def findings_in(self, organ: str) -> dict[str, float]:
        """Label -> share of the patients who come for this organ."""
        return self.findings_by_organ.get(organ, self.findings)


class Deidentification(Strict):
    """What is done beyond what is always done: header fields are dropped, all outside the scan area is made black.

    The defaults are those of a hospital. A public set may be keyed in public and needs no signature.
    """

    pseudonyms: Literal["secret", "public"] = Field(
        default="secret", description="secret: hashes are keyed with a file that stays at the site"
    )
    text: Literal["black out", "report"] = Field(
        default="black out", description="text and markers that lie in the scan area or touch it"
    )
    sign_off: bool = Field(default=True, description="must a person sign the contact sheet before training?")


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
    device: str | None = Field(default=None, description="goes into the store as it stands: make and model, no more")


class Renaming(Strict):
    """Another path: what `pattern` (a regular expression) finds in the path is replaced by `becomes`."""

    pattern: str
    becomes: str = Field(description="\\1 stands for the first group")

    @model_validator(mode="after")
    def _fits(self) -> Renaming:
        try:
            re.sub(self.pattern, self.becomes, "")
        except re.error as error:
            raise ValueError(f"no regular expression and its replacement ({error})") from error
        return self


class SideFile(Renaming):
    """A text file (XML, JSON, ...) beside each picture; the one group of `finds` is looked for in it."""

    finds: OneGroup


class Quantity(Strict):
    """One measured quantity: its column, and its unit; pixels are those of the original picture."""

    column: str
    unit: Unit


class Measurements(Strict):
    """A table of what observers measured in the files: one row per file and observer, empty cells where they did not.

    The store holds the values as they stand, and numbers 1, 2, ... in place of the observers' names.
    """

    table: str = Field(description="CSV, relative to the folder")
    file: str = Field(default="file", description="column with the path of the file, as the source names it")
    renamed: Renaming | None = Field(
        default=None, description="where the source names files otherwise: what pattern finds in the path becomes that"
    )
    observer: str | None = Field(default=None, description="column that tells observers apart; null: there is one")
    quantities: dict[str, Quantity] = Field(min_length=1)


class FileSource(Origin):
    """What all sources of real files have in common."""

    publisher: str
    address: str = ""
    organ: str | None = Field(default=None, description="of all files whose table does not say it")
    modality: str | None = Field(default=None, description="the same for the modality")
    scan_mode: str | None = Field(default=None, description="the same for the scan mode")
    path: str = Field(default=".", description="folder, relative to the data root; all files are relative to it")
    frames_per_clip: int = Field(
        default=5, ge=1, le=1000, description="at most so many frames of a clip, evenly spaced"
    )
    mask_values: dict[str, tuple[int, ...]] = Field(
        default={}, description="structure -> pixel values; empty: lesion is > 0"
    )
    measured: Measurements | None = Field(default=None, description="what people measured in the files")
    deidentification: Deidentification = Deidentification()


class Listed(FileSource):
    """Files that a metadata table lists (CSV, one row per file) or, with `table: null`, that lie in the folder.

    Without a table, patient and label stand in the path. With one, a pattern takes the place of the column.
    """

    table: str | None = Field(default="metadata.csv", description="relative to the folder; null: there is none")
    where: dict[str, str] = Field(default={}, description="column -> value: only rows that match all are read")
    columns: Columns = Columns()
    file_form: str = Field(
        default="{}", pattern=r"\{\}", description="path of a file, with {} for what the table's column holds"
    )
    file_pattern: Expression | None = Field(
        default=None, description="regular expression on the path: without a table, only files that match are read"
    )
    patient_pattern: OneGroup | None = Field(
        default=None, description="regular expression on the path; its one group is the patient"
    )
    label_pattern: OneGroup | None = Field(
        default=None, description="the same for the label, which label_map translates"
    )
    label_file: SideFile | None = Field(
        default=None, description="the same for a label that stands in a file of its own"
    )
    mask_path: Renaming | None = Field(default=None, description="how the path of a mask follows from its picture's")

    @model_validator(mode="after")
    def _patient_is_told(self) -> Listed:
        if self.table is None and self.patient_pattern is None:
            raise ValueError("neither table nor patient_pattern; one of them must tell patients apart")
        if self.table is None and self.where:
            raise ValueError("where needs a table")
        return self


class FolderSource(Listed):
    """Pictures, clips or DICOM files in a folder."""

    kind: Literal["folder"]


class ArchiveFile(Strict):
    """One file to download. Its SHA-256 is recorded in the site's lock at the first download and enforced after."""

    address: str = Field(pattern=r"^https?://", description="where the file itself lies, not the page about it")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    into: Inside = Field(default=".", description="folder that it is unpacked into; path is relative to it all")


class MatlabPictures(Strict):
    """Where the pictures of a MATLAB file are: an array of records, one per patient, with several pictures each."""

    variable: str
    images: str = Field(description="field of a record with its pictures (number, height, width)")
    patient: str
    label: str | None = None


class ArchiveSource(Listed):
    """Files that are downloaded, only when the user allows it, and unpacked (zip, tar); then read like a folder.

    `path` is relative to the folder that the archives are unpacked into.
    """

    kind: Literal["archive"]
    archives: tuple[ArchiveFile, ...] = Field(min_length=1)
    matlab: MatlabPictures | None = Field(
        default=None, description="MATLAB files are written out as pictures with metadata.csv (file, patient, label)"
    )


class HubColumns(Strict):
    """Names of a hub data set's columns; `row` (the number of the row) always exists."""

    image: str = "image"
    patient: str = Field(default="row", description="row: each picture is taken for a patient of its own")
    label: str | None = None
    mask: str | None = None
    clip: str | None = None


class HubSource(FileSource):
    """A data set of the Hugging Face hub, downloaded only when the user allows it; then read like a folder."""

    kind: Literal["huggingface"]
    hub: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")
    revision: str = Field(default="main", description="better the 40 digits of a commit, which cannot change")
    subset: str | None = Field(default=None, description="configuration of the data set, where it has several")
    split: str = "train"
    columns: HubColumns = HubColumns()
    patient_pattern: OneGroup | None = Field(
        default=None, description="regular expression on the patient column; its one group is the patient"
    )


class DicomSource(FileSource):
    """DICOM files in a folder and all folders below it, or those that a DICOMDIR lists; no table is needed."""

    kind: Literal["dicom"]
    patient_tag: str = Field(default="PatientID", description="keyword of the header field that tells patients apart")
    label_tag: str | None = Field(default=None, description="keyword of a header field that holds a label of label_map")


class VideoSource(FileSource):
    """Clips in a folder and all folders below it, with the patient in the path; no table is needed."""

    kind: Literal["video"]
    patient_pattern: OneGroup = Field(description="regular expression on the path; its one group is the patient")
    label_pattern: OneGroup | None = Field(
        default=None, description="the same for the label, which label_map translates"
    )


Source = Annotated[
    PhantomSource | FolderSource | ArchiveSource | HubSource | DicomSource | VideoSource, Field(discriminator="kind")
]


class Sources(Strict):
    """The places that a site's images can come from; the profile or the user picks one."""

    phantom: Source | None = None
    open: Source | None = None
    local: Source | None = None

    def available(self) -> list[str]:
        """Names of the sources that this manifest holds."""
        return [name for name in ("phantom", "open", "local") if getattr(self, name) is not None]


class Split(Strict):
    """How patients are dealt into folds: label by label as the shares say, in the order of their hashes.

    Pictures that are nearly the same tie their patients together. For real images the site's lock keeps what was
    decided, so that nobody ever changes fold.

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
    """Least quality of an image that is kept, measured inside the scan area; see ultrafm.curation.quality."""

    smallest_side: int = Field(default=48, ge=1, description="pixels, of the scan sector")
    least_contrast: float = Field(default=4.0, ge=0, description="standard deviation of grey values inside the sector")
    least_information: float = Field(default=0.5, ge=0, le=8, description="entropy of the grey values in bits")
    most_saturated: Share = Field(default=0.5, description="share of pixels at the largest grey value")
    most_blank: Share = Field(default=0.95, description="share of pixels as dark as the background")
    most_graphics: Share = Field(
        default=0.5, description="share of pixels in flat grey or straight lines, as in windows and menus"
    )
    most_colour: Share = Field(default=1.0, description="share of coloured pixels; 1 keeps Doppler pictures")
    calipers: Literal["keep", "leave out"] = Field(default="keep", description="pictures with measuring marks")


class WordMap(Strict):
    """The hospital's words for organs, modalities and scan modes, as label_map is for labels."""

    organ: dict[str, str] = Field(default={}, description="word in the source -> organ of the site or 'unknown'")
    modality: dict[str, str] = Field(default={}, description="word in the source -> modality of the site or 'unknown'")
    scan_mode: dict[str, str] = Field(
        default={}, description="word in the source -> scan mode of the site or 'unknown'"
    )


class Privacy(Strict):
    """What a site's training patients may lose at most, over all trainings on its store: differential privacy."""

    epsilon: float = Field(gt=0, le=1000)
    delta: float = Field(gt=0, lt=1, description="below one over the number of training patients")


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
    word_map: WordMap = WordMap()
    tasks: tuple[Task, ...] = ()
    split: Split
    quality: Quality = Quality()
    privacy: Privacy | None = Field(default=None, description="null: the site sets no limit of its own")
    default_source: Literal["phantom", "open", "local"] | None = None
    sources: Sources
    public_counterpart: Counterpart | None = None
