"""What pictures and clips carry beside their pixels (EXIF, XMP, IPTC, text chunks, tags), by name and never by value.

None of it is read into the store. A name that the file itself made up is not repeated, for it may be a patient's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from ultrafm.curation.reasons import Unusable

EXIF_PARTS = {"Exif": 0x8769, "GPS": 0x8825, "Interop": 0xA005}
BLOCKS = {
    "exif": "EXIF", "xmp": "XMP", "XML:com.adobe.xmp": "XMP", "photoshop": "Photoshop block (IPTC)",
    "icc_profile": "ICC profile", "comment": "comment", "extension": "GIF application data", "mp": "MPO index",
    "Raw profile type exif": "EXIF", "Raw profile type iptc": "Photoshop block (IPTC)", "Raw profile type xmp": "XMP",
}  # fmt: skip
PNG_WORDS = (
    "Title", "Author", "Description", "Copyright", "Creation Time", "Software", "Disclaimer", "Warning", "Source",
    "Comment",
)  # fmt: skip
CLIP_WORDS = (
    "title", "artist", "author", "album", "album_artist", "comment", "composer", "copyright", "creation_time", "date",
    "description", "encoder", "encoded_by", "filename", "genre", "keywords", "language", "location", "make", "model",
    "performer", "publisher", "software", "synopsis", "track", "com.apple.quicktime.location.ISO6709",
    "com.apple.quicktime.creationdate", "com.apple.quicktime.make", "com.apple.quicktime.model",
)  # fmt: skip
STRUCTURE = frozenset(
    "NewSubfileType SubfileType ImageWidth ImageLength BitsPerSample Compression PhotometricInterpretation FillOrder "
    "StripOffsets Orientation SamplesPerPixel RowsPerStrip StripByteCounts PlanarConfiguration Predictor ColorMap "
    "TileWidth TileLength TileOffsets TileByteCounts ExtraSamples SampleFormat JPEGTables YCbCrSubSampling "
    "YCbCrPositioning ReferenceBlackWhite ExifIFD GPSInfoIFD InteroperabilityIFD ExifOffset GPSInfo".split()
)  # what a TIFF needs to be a picture
HARMLESS = frozenset(
    "XResolution YResolution ResolutionUnit MinSampleValue MaxSampleValue SMinSampleValue SMaxSampleValue ColorSpace "
    "ExifVersion FlashPixVersion ComponentsConfiguration ExifImageWidth ExifImageHeight ICCProfile GammaUsed".split()
) | {
    "ICC profile",
    "MPO index",
    "encoder",
    "language",
}  # what tells of the picture, not of whom it shows or who made it


def metadata_names(path: Path) -> dict[str, bool]:
    """Name of each piece of metadata in a picture or clip -> whether it can identify.

    Nothing in the standards sorts these as PS3.15 sorts DICOM, so all but a few technical ones count as identifying.
    Empty for a file that cannot be read.
    """
    from ultrafm.curation.reading.media import CLIP, kind_of

    try:
        names = _clip_names(path) if kind_of(path) == CLIP else picture_metadata_names(path)
    except Unusable:
        names = ()
    return {name: name not in HARMLESS for name in sorted(set(names))}


def picture_metadata_names(path: Path) -> tuple[str, ...]:
    """Names of the metadata of a picture's first frame, sorted. Raises Unusable when it cannot be read."""
    from ultrafm.curation.reading.decode import opened

    with opened(path) as picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if picture.format == "PNG":
            picture.load()  # text may stand behind the pixels
        found = {*_block_names(picture), *_exif_names(picture), *_tiff_names(picture), *_marker_names(picture)}
    return tuple(sorted(found))


def _block_names(picture: Image.Image) -> Iterator[str]:
    """Blocks that Pillow hands out under a name, and the text chunks of a PNG."""
    text = getattr(picture, "text", {})
    yield from (BLOCKS[key] for key in picture.info if key in BLOCKS)
    yield from (BLOCKS[key] for key in text if key in BLOCKS)
    for key in text:
        if key not in BLOCKS:
            yield f"PNG text {key!r}" if key in PNG_WORDS else "PNG text of another name"


def _exif_names(picture: Image.Image) -> Iterator[str]:
    exif = picture.getexif()
    if picture.format != "TIFF":  # whose own tags would be told twice
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
        if name not in STRUCTURE:
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


def _clip_names(path: Path) -> Iterator[str]:
    from ultrafm.curation.reading.media import opened_clip

    with opened_clip(path) as clip:
        keys = {key for part in (clip, *clip.streams) for key in part.metadata}
    for key in keys:
        yield key if key in CLIP_WORDS else "clip text of another name"
