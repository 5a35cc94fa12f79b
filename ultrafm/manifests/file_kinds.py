"""Which files are pictures, clips or DICOM, by name and first bytes; for drafts of manifests and for curation."""

from __future__ import annotations

from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")
CLIPS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm")


def is_dicom(path: Path) -> bool:
    """Does the file say of itself that it is DICOM (PS3.10: DICM after 128 bytes)? Raises OSError."""
    with path.open("rb") as handle:
        return handle.read(132)[128:] == b"DICM"
