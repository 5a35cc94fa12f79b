"""What pictures and clips carry beside their pixels (EXIF, XMP, IPTC, text chunks, tags), by name and never by value.

None of it is read into the store. A name that the file itself made up is not repeated, for it may be a patient's.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from ultrafm.curation.reasons import Unusable

EXIF_PARTS = {"Exif": 0x8769, "GPS": 0x8825, "Interop": 0xA005}
SEGMENTS = (b"JFIF", b"Exif", b"http://ns.adobe.com/xap", b"Photoshop", b"ICC_PROFILE", b"Adobe", b"MPF")
BLOCKS = {
    "exif": "EXIF", "xmp": "XMP", "XML:com.adobe.xmp": "XMP", "photoshop": "Photoshop block (IPTC)",
    "icc_profile": "ICC profile", "comment": "comment", "extension": "GIF application data", "mp": "MPO index",
    "Raw profile type exif": "EXIF", "Raw profile type iptc": "Photoshop block (IPTC)", "Raw profile type xmp": "XMP",
}  # fmt: skip
PNG_CHUNKS = {"iCCP": "ICC profile", "tIME": "PNG time of change", "caBX": "PNG provenance"}
EXIF_LIMIT = 1 << 20
PNG_WORDS = (
    "Title", "Author", "Description", "Copyright", "Creation Time", "Software", "Disclaimer", "Warning", "Source",
    "Comment",
)  # fmt: skip
CLIP_WORDS = (
    "title", "artist", "author", "album", "album_artist", "comment", "composer", "copyright", "creation_time", "date",
    "description", "encoder", "encoded_by", "filename", "genre", "keywords", "language", "location", "make", "model",
    "performer", "publisher", "software", "synopsis", "track", "com.apple.quicktime.location.ISO6709",
    "com.apple.quicktime.creationdate", "com.apple.quicktime.make", "com.apple.quicktime.model", "handler_name",
    "major_brand", "minor_version", "compatible_brands", "vendor_id",
)  # fmt: skip
STRUCTURE = """
NewSubfileType SubfileType ImageWidth ImageLength BitsPerSample Compression PhotometricInterpretation FillOrder
StripOffsets Orientation SamplesPerPixel RowsPerStrip StripByteCounts PlanarConfiguration Predictor ColorMap TileWidth
TileLength TileOffsets TileByteCounts ExtraSamples SampleFormat JPEGTables YCbCrSubSampling YCbCrPositioning
ReferenceBlackWhite ExifIFD GPSInfoIFD InteroperabilityIFD ExifOffset GPSInfo ExifInteroperabilityOffset
"""  # what a TIFF needs to be a picture
HARMLESS = """
XResolution YResolution ResolutionUnit MinSampleValue MaxSampleValue SMinSampleValue SMaxSampleValue ColorSpace
ExifVersion FlashPixVersion ComponentsConfiguration ExifImageWidth ExifImageHeight ICCProfile encoder language
major_brand minor_version compatible_brands vendor_id
"""  # what tells of the file, not of whom it shows or who made it
NEEDED = frozenset(STRUCTURE.split())
TECHNICAL = frozenset({*HARMLESS.split(), "ICC profile", "MPO index"})


def metadata_names(path: Path) -> dict[str, bool]:
    """Name of each piece of metadata in a picture or clip -> whether it can identify.

    Nothing in the standards sorts these as PS3.15 sorts DICOM, so all but a few technical ones count as identifying.
    Empty for a file that cannot be read.
    """
    from ultrafm.curation.reading.media import CLIP, kind_of

    try:
        names = clip_metadata_names(path) if kind_of(path) == CLIP else picture_metadata_names(path)
    except Unusable:
        names = ()
    return {name: name not in TECHNICAL for name in sorted(set(names))}


def picture_metadata_names(path: Path) -> tuple[str, ...]:
    """Names of the metadata of a picture's first frame, sorted; no pixel is decoded.

    Raises Unusable when it cannot be read.
    """
    from ultrafm.curation.reading.decode import opened

    with opened(path) as picture:
        if picture.format == "PNG":
            with path.open("rb") as handle:
                return tuple(sorted(set(_png_names(handle))))
        found = {*_block_names(picture), *_exif_names(picture.getexif(), picture.format != "TIFF")}
        return tuple(sorted(found | {*_tiff_names(picture), *_marker_names(picture)}))


def _block_names(picture: Image.Image) -> Iterator[str]:
    """Blocks that Pillow hands out under a name."""
    yield from (BLOCKS[key] for key in picture.info if key in BLOCKS)


def _png_names(handle: BinaryIO) -> Iterator[str]:
    """Names of the chunks of a PNG that hold no pixels, wherever they stand, and of the tags in its EXIF."""
    handle.seek(8)
    while len(start := handle.read(8)) == 8 and start[4:] != b"IEND":
        length, kind = int.from_bytes(start[:4], "big"), start[4:].decode("ascii", "replace")
        data = handle.read(min(length, EXIF_LIMIT if kind == "eXIf" else 80))
        if kind in ("tEXt", "zTXt", "iTXt"):
            key = data.partition(b"\0")[0].decode("latin-1")
            yield BLOCKS.get(key) or (f"PNG text {key!r}" if key in PNG_WORDS else "PNG text of another name")
        elif kind == "eXIf":
            exif = Image.Exif()
            exif.load(data)
            yield "EXIF"
            yield from _exif_names(exif, True)
        elif kind in PNG_CHUNKS:
            yield PNG_CHUNKS[kind]
        elif kind[:1].islower() and kind[1:2].islower():  # by its letters neither needed nor public
            yield "PNG chunk of a private kind"
        handle.seek(length - len(data) + 4, io.SEEK_CUR)


def _exif_names(exif: Image.Exif, own: bool) -> Iterator[str]:
    """The tags of an EXIF block and its parts; `own` is false for a TIFF, whose own tags are told elsewhere."""
    if own:
        yield from _names(exif, ExifTags.TAGS, "EXIF tag")
    for part, number in EXIF_PARTS.items():
        known = ExifTags.GPSTAGS if part == "GPS" else ExifTags.TAGS
        yield from _names(exif.get_ifd(number), known, f"{part} tag")


def _tiff_names(picture: Image.Image) -> Iterator[str]:
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        known = {tag: TiffTags.lookup(tag).name for tag in picture.tag_v2}
        yield from _names(known, {tag: name for tag, name in known.items() if name != "unknown"}, "TIFF tag")


def _names(tags: Iterable[int], known: dict[int, str], kind: str) -> Iterator[str]:
    """The names of tags; a number for those of a manufacturer."""
    for tag in tags:
        name = known.get(tag) or f"{kind} {tag} unknown"
        if name not in NEEDED:
            yield name


def _marker_names(picture: Image.Image) -> Iterator[str]:
    """Application segments of a JPEG that are none of the known blocks."""
    for marker, data in getattr(picture, "applist", ()):
        if marker == "COM":
            yield "comment"
        elif not data.startswith(
            (b"JFIF", b"Exif", b"http://ns.adobe.com/xap", b"Photoshop", b"ICC_PROFILE", b"Adobe", b"MPF")
        ):
            yield f"JPEG segment {marker} unknown"


def clip_metadata_names(path: Path) -> tuple[str, ...]:
    """Names of the metadata of a clip and its streams, sorted. Raises Unusable when it cannot be read."""
    from ultrafm.curation.reading.media import opened_clip

    with opened_clip(path) as clip:
        keys = {key for part in (clip, *clip.streams) for key in part.metadata}
    return tuple(sorted({key if key in CLIP_WORDS else "clip text of another name" for key in keys}))
