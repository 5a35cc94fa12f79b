"""A simulated site written to disk as a hospital's archive: pictures, masks and a table, with planted faults."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ultrafm.errors import UltraFMError, nearest
from ultrafm.files import replacing, write_json, write_text
from ultrafm.geometry import LinearGeometry, fit
from ultrafm.manifests.schema import Columns, Deidentification, FolderSource, PhantomSource, SiteManifest
from ultrafm.phantom.anatomy import SWEEP, organ_of
from ultrafm.phantom.grid import geometry_of
from ultrafm.phantom.identities import Identity, draw_identity
from ultrafm.phantom.lexicon import describe
from ultrafm.phantom.modalities import COMPOSITE, MODALITIES
from ultrafm.phantom.overlays import frame_of
from ultrafm.phantom.patients import Patient, Photo, draw_patient, photos_of
from ultrafm.seeds import spawn

FEWEST_PATIENTS = 3
ENDINGS, CLIP = {"png": ".png", "dicom": ".dcm"}, ".avi"


@dataclass(frozen=True)
class Row:
    """One row of metadata.csv. `difficulty` from 0 to 1; `mask` is empty where there is no lesion.

    `true_label` and `description` (of the lesion, see lexicon) are a truth that no hospital has; curation does not read
    them.
    """

    file: str
    patient: str
    label: str
    mask: str
    organ: str
    modality: str
    scan_mode: str
    clip: str
    device: str
    simulated: str
    difficulty: str
    true_label: str
    description: str


def _check(manifest: SiteManifest, source: PhantomSource, patients_share: float) -> None:
    """Raise UltraFMError for what the phantom cannot simulate."""
    if not 0 < patients_share <= 1:
        raise UltraFMError(f"{manifest.site}, patients_share", f"{patients_share:g}", "above 0, at most 1")
    asked = [(f"findings in the {organ}", source.findings_in(organ), organ_of(organ, f"{manifest.site}, organs").labels)
             for organ in manifest.organs]  # fmt: skip
    for field, words, known in (*asked, ("modalities", manifest.modalities, MODALITIES)):
        for word in words:
            if word not in known:
                raise UltraFMError(
                    f"{manifest.site}, {field}", repr(word), f"one of {', '.join(known)}{nearest(word, known)}"
                )


def _check_folder(folder: Path) -> None:
    """Raise UltraFMError rather than replace a folder that is not a simulated archive."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "geometry.json").is_file():
        raise UltraFMError(str(folder), "a folder with other files", "a new or empty folder, or a simulated archive")


def encode_png(image: Image.Image) -> bytes:
    """PNG bytes with light compression; the same image always gives the same bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def count_patients(source: PhantomSource, patients_share: float) -> int:
    """How many patients a share stands for: at least 3, but no more than there are."""
    return min(max(round(source.patients * patients_share), FEWEST_PATIENTS), source.patients)


def _write_photo(
    folder: Path, source: PhantomSource, patient: Patient, number: int, photo: Photo, identity: Identity
) -> Row:
    """Write picture and mask; returns their row of the table."""
    stem = f"{patient.name}_{number + 1}"
    name, data = f"{stem}{ENDINGS[source.files]}", _encoded(source, photo, identity)
    (folder / "images" / name).write_bytes(data)
    mask = f"masks/{stem}.png" if photo.mask.any() else ""
    if mask:
        (folder / mask).write_bytes(encode_png(Image.fromarray(photo.mask.astype(np.uint8))))
    return _row(source, patient, photo, f"images/{name}", mask)


def _row(source: PhantomSource, patient: Patient, photo: Photo, file: str, mask: str) -> Row:
    words = {} if patient.lesion is None else describe(patient.lesion)
    told = "; ".join(f"{name}: {word}" for name, word in words.items())
    return Row(
        file, patient.name, patient.stated, mask, patient.organ, photo.modality, source.device.scan_mode, photo.clip,
        source.device.name, "yes", f"{patient.difficulty:.3f}", patient.label, told,
    )  # fmt: skip


def _write_sweep(folder: Path, source: PhantomSource, patient: Patient, photos: Sequence[Photo]) -> Row:
    """Write a 3-D sweep as one clip; returns its row of the table. A clip has no mask."""
    from ultrafm.phantom.clips import encode_clip  # late: most archives are done without PyAV

    name = f"images/{patient.name}_sweep{CLIP}"
    (folder / name).write_bytes(encode_clip([photo.image for photo in photos]))
    return _row(source, patient, photos[0], name, "")


def _encoded(source: PhantomSource, photo: Photo, identity: Identity) -> bytes:
    """The picture as a file of the kind that the site exports."""
    if source.files == "png":
        return encode_png(photo.image)
    from ultrafm.phantom.dicom import encode_dicom, shown_region  # late: most archives are done without pydicom

    return encode_dicom(photo.image, identity, source, shown_region(source, photo.modality))


def _brightened(data: bytes, gain: float) -> bytes:
    """The same picture, a little brighter and encoded anew, as a second export would give it."""
    if data[128:132] == b"DICM":
        from ultrafm.phantom.dicom import brightened_dicom

        return brightened_dicom(data, gain)
    image = Image.open(io.BytesIO(data))
    brighter = np.clip(np.asarray(image, np.float32) * gain + 1, 0, 255)
    return encode_png(Image.fromarray(np.rint(brighter).astype(np.uint8)))


def _plant_faults(folder: Path, source: PhantomSource, rows: list[Row], generator: np.random.Generator) -> list[Row]:
    """Write exact doubles, near doubles and cut-off files of pictures already there; returns their rows."""
    planted = source.planted
    kinds = (
        ["exact"] * planted.exact_duplicates + ["near"] * planted.near_duplicates + ["cut"] * planted.truncated_files
    )
    pictures = [row for row in rows if not row.file.endswith(CLIP)]
    if kinds and not pictures:
        mend = "leave planted out, or export sweeps as pictures"
        raise UltraFMError(f"{source.institution}, planted", "clips only", "pictures to plant faults in", mend)
    order = generator.permutation(len(pictures))
    added = []
    for number, kind in enumerate(kinds):
        original = pictures[order[number % len(pictures)]]
        data = (folder / original.file).read_bytes()
        gain = generator.uniform(1.02, 1.05)
        changed = {"exact": data, "near": _brightened(data, gain), "cut": data[: len(data) // 2]}[kind]
        name = f"images/{original.patient}_export_{number + 1:02d}{Path(original.file).suffix}"
        (folder / name).write_bytes(changed)
        added.append(replace(original, file=name))
    return added


def _describe_geometry(source: PhantomSource) -> dict:
    """The scan geometry of the archive's B-mode pictures, in millimetres and pixels of the whole picture."""
    device, geometry, frame = source.device, geometry_of(source.device), frame_of(source.device)
    place = fit(geometry, frame.scan_height, frame.scan_width)
    return {
        "type": "linear" if isinstance(geometry, LinearGeometry) else "curved",
        **asdict(geometry),
        "image_size_px": [device.picture_width, device.picture_height],
        "mm_per_pixel": place.mm_per_pixel,
        "origin_px_xy": [place.origin_column, place.origin_row + frame.top],
        "origin_meaning": "where the middle of the probe's face touches the skin, y down",
        "not_for_modalities": [*COMPOSITE, "endoscopic"],
        "source": "simulated",
    }


def _table_text(rows: list[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(Row.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return buffer.getvalue()


def write_archive(
    manifest: SiteManifest, source: PhantomSource, folder: Path, seed: int, patients_share: float = 1.0
) -> Path:
    """Simulate a site and write it as an archive into `folder`; returns `folder`.

    Writes images/*.png (or *.dcm and *.avi, as `source.files` and `source.sweeps` say), masks/*.png (0 background, 1
    lesion; only where there is one), metadata.csv and geometry.json.
    The planted faults are files of their own; the pictures they copy stay as they are. The same arguments give the same
    bytes, and a patient's own files do not depend on `patients_share` (above 0, at most 1). An archive that already
    lies in `folder` is replaced once the new one is complete.

    Raises UltraFMError for organs, modalities and labels that the phantom does not know, for a wrong share, and for a
    folder that holds something else.
    """
    _check(manifest, source, patients_share)
    _check_folder(Path(folder))
    with replacing(Path(folder)) as unfinished:
        _write_files(manifest, source, unfinished, seed, patients_share)
    return Path(folder)


def _write_files(manifest: SiteManifest, source: PhantomSource, folder: Path, seed: int, patients_share: float) -> None:
    """Write all files of an archive into a new folder."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = []
    for number in range(1, count_patients(source, patients_share) + 1):
        patient = draw_patient(manifest, source, seed, number)
        photos = list(photos_of(manifest, source, seed, patient))
        if source.sweeps == "clip" and photos[0].modality == SWEEP:
            rows.append(_write_sweep(folder, source, patient, photos))
            continue
        identity = draw_identity(seed, manifest.site, patient.code)
        rows += [_write_photo(folder, source, patient, index, photo, identity) for index, photo in enumerate(photos)]
    rows.sort(key=lambda row: row.file)  # the order in which patients were drawn tells their labels
    rows += _plant_faults(folder, source, rows, spawn(seed, "phantom faults", manifest.site))
    write_json(folder / "geometry.json", _describe_geometry(source))
    write_text(folder / "metadata.csv", _table_text(rows))


def archive_as_folder(manifest: SiteManifest, source: PhantomSource) -> FolderSource:
    """The archive that `write_archive` writes, described as any hospital's folder: curation needs no other code for it.

    Its path is "." because the archive's own folder is what paths are relative to.
    """
    named = {name: name for name in ("label", "mask", "organ", "modality", "scan_mode", "clip", "device")}
    return FolderSource(
        kind="folder", country=source.country, licence=source.licence, citation=source.citation, checked=source.checked,
        publisher=source.institution, columns=Columns(**named), conditions=source.conditions,
        deidentification=Deidentification(pseudonyms="public", sign_off=False),
    )  # fmt: skip
