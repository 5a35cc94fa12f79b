"""Which files are to be predicted: those that are named, and those in folders that look like pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.manifests.file_kinds import CLIPS, PICTURES, is_dicom

DICOM = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class Listed:
    """path: of a file. name: as tables show it: relative to the folder that was named, or the file's own name."""

    path: Path
    name: str


def list_images(places: Sequence[Path], own: Path | None = None) -> list[Listed]:
    """The pictures, clips and DICOM files of some files and folders, folders with all below, in the order of names.

    Inside a folder, files of other kinds are passed over, and so are hidden ones and those below `own`, the
    overlays of an earlier run; a file that is named is always taken.
    Raises UltraFMError for a place that is not there, and when there is nothing to predict.
    """
    found: dict[Path, str] = {}
    drawn = None if own is None else Path(own).resolve()
    for place in map(Path, places):
        if place.is_dir():
            inside = [path for path in place.rglob("*") if drawn is None or not path.resolve().is_relative_to(drawn)]
            below = sorted(path for path in inside if _looks_right(path.relative_to(place), path))
            found |= {path.absolute(): path.relative_to(place).as_posix() for path in below}
        elif place.exists():
            found[place.absolute()] = place.name
        else:
            raise UltraFMError(str(place), "no such file or folder", "pictures, clips or DICOM files, or a folder")
    if not found:
        kinds = f"files such as {', '.join((*PICTURES[:2], *CLIPS[:1], DICOM[0]))}"
        raise UltraFMError(", ".join(map(str, places)), "no picture", kinds)
    return [Listed(path, name) for path, name in _distinct(found)]


def _distinct(found: dict[Path, str]) -> list[tuple[Path, str]]:
    """Files of one name from several places go by their whole paths."""
    counts = Counter(found.values())
    return [(path, name if counts[name] == 1 else path.as_posix()) for path, name in found.items()]


def _looks_right(name: Path, path: Path) -> bool:
    if any(part.startswith(".") for part in name.parts) or not path.is_file():
        return False
    suffix = path.suffix.lower()
    if suffix in (*PICTURES, *CLIPS, *DICOM):
        return True
    try:
        return suffix == "" and is_dicom(path)  # exports of DICOM often have no extension
    except OSError:
        return False
