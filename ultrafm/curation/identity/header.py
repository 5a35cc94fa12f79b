"""What curation reads of a DICOM header (a keep-list), and a report of everything else, by name and never by value.

The yardstick is DICOM PS3.15, Annex E, but turned round: what is not in KEPT is never read into the store, so no list
of what must go can be incomplete. The report only tells a site what its files carried.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ultrafm.curation.identity.basic_profile import IDENTIFYING
from ultrafm.manifests.file_kinds import is_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

KEPT = {
    0x00020010: "TransferSyntaxUID", 0x00080005: "SpecificCharacterSet", 0x00080060: "Modality",
    0x00186011: "SequenceOfUltrasoundRegions",
    0x00280002: "SamplesPerPixel", 0x00280004: "PhotometricInterpretation", 0x00280006: "PlanarConfiguration",
    0x00280008: "NumberOfFrames", 0x00280010: "Rows", 0x00280011: "Columns", 0x00280100: "BitsAllocated",
    0x00280101: "BitsStored", 0x00280102: "HighBit", 0x00280103: "PixelRepresentation",
    0x00281101: "RedPaletteColorLookupTableDescriptor", 0x00281102: "GreenPaletteColorLookupTableDescriptor",
    0x00281103: "BluePaletteColorLookupTableDescriptor", 0x00281201: "RedPaletteColorLookupTableData",
    0x00281202: "GreenPaletteColorLookupTableData", 0x00281203: "BluePaletteColorLookupTableData",
    0x00281221: "SegmentedRedPaletteColorLookupTableData", 0x00281222: "SegmentedGreenPaletteColorLookupTableData",
    0x00281223: "SegmentedBluePaletteColorLookupTableData",
    0x7FE00001: "ExtendedOffsetTable", 0x7FE00002: "ExtendedOffsetTableLengths", 0x7FE00010: "PixelData",
}  # fmt: skip
KEPT_OF_REGIONS = {
    0x00186012: "RegionSpatialFormat", 0x00186018: "RegionLocationMinX0", 0x0018601A: "RegionLocationMinY0",
    0x0018601C: "RegionLocationMaxX1", 0x0018601E: "RegionLocationMaxY1", 0x00186024: "PhysicalUnitsXDirection",
    0x00186026: "PhysicalUnitsYDirection", 0x0018602C: "PhysicalDeltaX", 0x0018602E: "PhysicalDeltaY",
}  # fmt: skip
MAPPED = {0x00080018: "SOPInstanceUID", 0x0020000D: "StudyInstanceUID", 0x0020000E: "SeriesInstanceUID"}
REGIONS = 0x00186011
DEFER = 256  # bytes; longer values stay on disk, for nobody looks at them


@dataclass(frozen=True)
class HeaderReport:
    """What one file carried and curation did not take, by name.

    names: name -> whether it identifies. DICOM: the keyword, or "(gggg,eeee) private" and "(gggg,eeee) unknown".
    Pictures and clips: see `picture_metadata.metadata_names`.
    nested: elements inside sequences; private, private_creators: elements of private groups and the blocks that they
    belong to; overlays: planes of groups 60xx. All counts, of one file, at any depth.
    """

    names: Mapping[str, bool] = field(default_factory=dict)
    nested: int = 0
    private: int = 0
    private_creators: int = 0
    overlays: int = 0


@dataclass(frozen=True)
class HeaderSummary:
    """The reports of all files of a site: name -> number of files that carried it, most frequent first; and counts."""

    files: int
    identifying: dict[str, int]
    other: dict[str, int]
    nested: int
    private: int
    private_creators: int
    overlays: int


def header_report(path: Path) -> HeaderReport:
    """What a file carries beside its pixels, up to them; for pictures and clips their metadata.

    A file that cannot be read has an empty report; why, is told when its pixels are read.
    """
    from ultrafm.curation.identity.picture_metadata import metadata_names

    try:
        return _dicom_report(path) if is_dicom(path) else HeaderReport(metadata_names(path))
    except OSError:
        return HeaderReport()


def _dicom_report(path: Path) -> HeaderReport:
    import pydicom

    from ultrafm.curation.reading.dicom import silenced

    with silenced():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, defer_size=DEFER)
            found = [*_tags(header.file_meta, False, KEPT), *_tags(header, False, KEPT)]
        except Exception:  # broken bytes make the parser raise almost anything
            return HeaderReport()
    names = {tag: tag_name(tag) for tag in {tag for tag, _deep in found}}
    private = [tag for tag, _deep in found if is_private(tag)]
    return HeaderReport(
        names={names[tag]: is_identifying(tag) for tag in sorted(names)},
        nested=sum(deep for _tag, deep in found),
        private=len(private),
        private_creators=sum(0x10 <= tag & 0xFFFF <= 0xFF for tag in private),
        overlays=len({tag >> 16 for tag in names if is_overlay(tag)}),
    )


def _tags(header: Dataset, deep: bool, kept: Mapping[int, str]) -> Iterator[tuple[int, bool]]:
    """Tags of a data set and of all sequences in it, but for `kept`, and whether each lies in a sequence."""
    for tag in header.keys():  # noqa: SIM118 (a data set iterates over its values, which would be read for it)
        if int(tag) not in kept:
            yield int(tag), deep
        element = header.get_item(tag)
        if element is not None and element.VR in ("SQ", None, "UN"):
            yield from _tags_inside(header, tag, element.VR)


def _tags_inside(header: Dataset, tag: int, vr: str | None) -> Iterator[tuple[int, bool]]:
    """The tags in a sequence. Implicit files name no type, so the dictionary has to."""
    if vr != "SQ" and not _is_sequence(tag):
        return
    value = header[tag].value
    inner = KEPT_OF_REGIONS if tag == REGIONS else {}
    for item in value if header[tag].VR == "SQ" else ():
        yield from _tags(item, True, inner)


def _is_sequence(tag: int) -> bool:
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


def tag_name(tag: int) -> str:
    """The keyword of a tag; its numbers where it is private or not in the standard's dictionary."""
    from pydicom.datadict import keyword_for_tag

    if is_private(tag):
        return f"{_numbers(tag)} private"
    return keyword_for_tag(tag) or f"{_numbers(tag)} unknown"


def _numbers(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def is_private(tag: int) -> bool:
    """Does the tag belong to a manufacturer (odd group, PS3.5, 7.8)?"""
    return bool(tag >> 16 & 1)


def is_overlay(tag: int) -> bool:
    """Does the tag belong to an overlay plane (groups 6000 to 60FE)?"""
    return 0x6000 <= tag >> 16 <= 0x60FE


def is_identifying(tag: int) -> bool:
    """Does the basic profile of PS3.15 remove or replace this attribute? All that is private or unknown counts too."""
    name = tag_name(tag)
    is_curve = 0x5000 <= tag >> 16 <= 0x50FE
    is_picture = is_overlay(tag) and tag & 0xFFFF in (0x3000, 0x4000)
    return name in IDENTIFYING or name.endswith((" private", " unknown")) or is_curve or is_picture


def combine(reports: Iterable[HeaderReport]) -> HeaderSummary:
    """The reports of a site's files as one table for its data sheet."""
    files, totals = 0, dict.fromkeys(("nested", "private", "private_creators", "overlays"), 0)
    names: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for report in reports:
        files += 1
        totals = {count: total + getattr(report, count) for count, total in totals.items()}
        for name, identifies in report.names.items():
            names[identifies][name] += 1
    return HeaderSummary(files, _by_frequency(names[True]), _by_frequency(names[False]), **totals)


def _by_frequency(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def map_uid(uid: str, key: bytes) -> str:
    """The pseudonym of a DICOM UID: the same for the same UID and key, and not to be reversed without the key.

    HMAC-SHA-256, its first 128 bits as a UUID of version 8 (RFC 9562), written as PS3.5, B.2, wants: "2.25." and the
    number. Of study, series and instance UIDs alike, so that references between files stay.
    """
    digest = hmac.new(key, uid.strip("\0 ").encode(), hashlib.sha256).digest()
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76  # version
    return f"2.25.{number & ~(3 << 62) | 2 << 62}"  # variant


def mapped_uids(path: Path, key: bytes) -> dict[str, str]:
    """The pseudonyms of a DICOM file's instance, study and series, by keyword; what it does not state is left out.

    All frames of a file share its instance, which makes them one clip. Raises Unusable for a file that cannot be read.
    """
    from pydicom.filereader import read_partial

    from ultrafm.curation.reading.dicom import silenced, unusable_header

    with silenced(), unusable_header(), path.open("rb") as handle:
        header = read_partial(handle, lambda tag, _vr, _length: tag > max(MAPPED), specific_tags=list(MAPPED))
        stated = {keyword: str(header.get(keyword) or "") for keyword in MAPPED.values()}
    return {keyword: map_uid(uid, key) for keyword, uid in stated.items() if uid}
