"""Small DICOM files of known pixels, in every transfer syntax that a scanner writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

PLAIN = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"


def made_dataset(pixels: np.ndarray, interpretation: str = "MONOCHROME2", bits: int = 8) -> FileDataset:
    """A DICOM data set of `pixels`: (H, W) or (N, H, W); with a last axis of 3 for RGB and YBR."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ULTRASOUND_IMAGE
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["made"])
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = ULTRASOUND_IMAGE, meta.MediaStorageSOPInstanceUID
    made.Modality, made.PatientID, made.PatientName = "US", "P-1", "Doe^Jane"
    coloured = interpretation.startswith(("RGB", "YBR"))
    if pixels.ndim == 3 + coloured:
        made.NumberOfFrames = len(pixels)
    made.Rows, made.Columns = pixels.shape[-3:-1] if coloured else pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = (3 if coloured else 1), interpretation
    if coloured:
        made.PlanarConfiguration = 0
    made.BitsAllocated = 8 * pixels.dtype.itemsize
    made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits - 1, 0
    made["PixelData"] = pixel_element(pixels.tobytes(), made.BitsAllocated)
    return made


def pixel_element(data: bytes, allocated: int = 8):
    """The pixel data element, of an even length."""
    from pydicom import DataElement

    return DataElement(0x7FE00010, "OW" if allocated > 8 else "OB", data + bytes(len(data) % 2))


def save_dicom(made: FileDataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set with plain values, as made by `made_dataset`, in a byte order of choice."""
    made.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian and made.BitsAllocated == 16:  # pydicom leaves the bytes of pixels as they are
        made["PixelData"] = pixel_element(np.frombuffer(made.PixelData, "<u2").byteswap().tobytes(), 16)
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, made, enforce_file_format=True)
    return path


def save_frames(made: FileDataset, path: Path, syntax: str, frames: list[bytes], table: bool = True) -> Path:
    """Write a data set with frames that are compressed already, with or without a basic offset table."""
    made.file_meta.TransferSyntaxUID = syntax
    if len(frames) > 1:
        made.NumberOfFrames = len(frames)
    made["PixelData"] = pixel_element(encapsulate(frames, has_bot=table))
    made["PixelData"].is_undefined_length = True
    dcmwrite(path, made, enforce_file_format=True)
    return path


def recoded(path: Path, syntax: str) -> Path:
    """The file at `path`, compressed by GDCM under another name; `syntax` is GDCM's name of it."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change(), f"GDCM cannot write {syntax}"
    writer = gdcm.ImageWriter()
    target = path.with_name(f"{path.stem}_{syntax}.dcm")
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


def made_region(left: int, top: int, right: int, bottom: int, kind: int = 1, centimetres: float = 0.02) -> Dataset:
    """An ultrasound region with its corners (the last pixel belongs to it), of a spatial format, with square pixels."""
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = kind, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = left, top
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = right, bottom
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = centimetres
    return region


def flow_picture(height: int = 60, width: int = 80) -> np.ndarray:
    """An RGB picture (height, width, 3) of smooth grey with a smooth red and blue patch."""
    rows, columns = np.mgrid[:height, :width]
    grey = 60 + 80 * np.sin(rows / 9) * np.cos(columns / 11) + 40
    bump = np.exp(-((rows - height / 2) ** 2 + (columns - width / 2) ** 2) / (height * 2))
    picture = np.stack([grey + 90 * bump, grey - 40 * bump, grey - 40 * bump], axis=2)
    picture[:, width // 2 :] = picture[:, width // 2 :, ::-1]
    return np.clip(picture, 0, 255).astype(np.uint8)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Grey of an RGB picture by ITU-R BT.601, rounded."""
    return np.round(rgb @ np.array([0.299, 0.587, 0.114])).astype(int)


def jpeg_bytes(picture: np.ndarray, **how: object) -> bytes:
    """A JPEG of a grey or RGB picture."""
    import io

    handle = io.BytesIO()
    Image.fromarray(picture).save(handle, "JPEG", **{"quality": 95, "subsampling": 0, **how})
    return handle.getvalue()
