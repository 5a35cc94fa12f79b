"""Simulated pictures as DICOM files with the header that a scanner writes: made-up identities for curation to drop."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ultrafm.geometry import fit
from ultrafm.manifests.schema import PhantomSource
from ultrafm.phantom.identities import Identity
from ultrafm.phantom.modalities import COMPOSITE, geometry_for
from ultrafm.phantom.overlays import frame_of

ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
TISSUE, CENTIMETRES = 1, 3  # PS3.3, C.8.5.5: Region Spatial Format, Physical Units


@dataclass(frozen=True)
class Region:
    """Where a picture shows tissue: columns and rows in pixels, ends exclusive; millimetres per pixel."""

    left: int
    top: int
    right: int
    bottom: int
    mm_per_pixel: float


def shown_region(source: PhantomSource, modality: str) -> Region | None:
    """Where a picture of the device shows tissue; None where a strip lies below it, whose axes are others."""
    if modality in COMPOSITE:
        return None
    frame = frame_of(source.device)
    place = fit(geometry_for(source.device, modality), frame.scan_height, frame.scan_width)
    return Region(0, frame.top, frame.right, frame.height, place.mm_per_pixel)


def encode_dicom(image: Image.Image, identity: Identity, source: PhantomSource, region: Region | None) -> bytes:
    """An 8-bit grey or RGB picture as a DICOM file; the same arguments always give the same bytes.

    Without a `region` the header does not say where tissue is, as with some scanners.
    """
    pixels = np.asarray(image)
    uid = generate_uid(entropy_srcs=[identity.number, hashlib.sha256(pixels.tobytes()).hexdigest()])
    made = FileDataset("", {}, file_meta=_meta(uid), preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = ULTRASOUND_IMAGE, uid
    made.StudyInstanceUID = generate_uid(entropy_srcs=[identity.number, "study"])
    made.Modality, made.Manufacturer = "US", source.device.name
    made.PatientName, made.PatientID, made.PatientSex = identity.name, identity.number, identity.sex
    made.PatientBirthDate, made.ReferringPhysicianName = identity.birth, identity.physician
    made.InstitutionName = source.institution
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    made.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    if region is not None:
        made.SequenceOfUltrasoundRegions = [_region(region)]
    made.PixelData = pixels.tobytes() + bytes(pixels.size % 2)
    return _written(made)


def brightened_dicom(data: bytes, gain: float) -> bytes:
    """The same file with its picture a little brighter, as a second export would give it."""
    made = dcmread(io.BytesIO(data))
    pixels = np.frombuffer(made.PixelData, np.uint8).astype(np.float32)
    made.PixelData = np.rint(np.clip(pixels * gain + 1, 0, 255)).astype(np.uint8).tobytes()
    return _written(made)


def _meta(uid: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ULTRASOUND_IMAGE, uid
    return meta


def _region(region: Region) -> Dataset:
    made = Dataset()
    made.RegionSpatialFormat, made.RegionDataType, made.RegionFlags = TISSUE, TISSUE, 0
    made.RegionLocationMinX0, made.RegionLocationMinY0 = region.left, region.top
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = region.right - 1, region.bottom - 1
    made.PhysicalUnitsXDirection = made.PhysicalUnitsYDirection = CENTIMETRES
    made.PhysicalDeltaX = made.PhysicalDeltaY = region.mm_per_pixel / 10
    return made


def _written(made: Dataset) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()
