"""A downloaded hub data set written out as pictures, in their original bytes, with a table that curation reads."""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from PIL import Image

from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.schema import HubSource
from ultrafm.progress import progress

if TYPE_CHECKING:
    from datasets import Dataset

TABLE = "metadata.csv"
COLUMNS = {"file": "file", "patient": "patient", "label": "label", "mask": "mask", "clip": "clip"}
HEADER = (*COLUMNS, "row")
ROW = "row"  # the column that every data set has: the number of the row, from 0
ENDINGS = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif", "BMP": "bmp", "WEBP": "webp", "GIF": "gif"}


def write_pictures(site: str, source: HubSource, files: Path, out: Path) -> int:
    """Write pictures/, masks/ and metadata.csv into `out`, one row per row of the data set; returns how many.

    Raises UltraFMError for a data set that cannot be loaded from its files alone, or lacks a column of the manifest.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch, hub_offline(True):
        table = _load(site, source, files, Path(scratch))
        _need_columns(site, source, table)
        rows = (_write_row(site, source, table, number, cells, files, out) for number, cells in enumerate(table))
        with (out / TABLE).open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, HEADER, lineterminator="\n")
            writer.writeheader()
            writer.writerows(progress(rows, total=len(table), title=f"{site}: {source.hub}", unit="picture"))
        return len(table)


@contextmanager
def hub_offline(offline: bool) -> Iterator[None]:
    """May the hub's libraries ask the network inside the block? A study forbids it; telemetry is never sent."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from datasets import config
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = offline
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _load(site: str, source: HubSource, files: Path, scratch: Path) -> Dataset:
    """The split as a table whose pictures are still encoded. Programs of a data set are never run (datasets 4 on)."""
    import datasets

    where = f"{site}, hub data set {source.hub}"
    if re.search(r"\w://|(^|[/\\])\.\.([/\\]|$)", _data_files(files / "README.md")):
        raise UltraFMError(where, "a card that names files elsewhere", "a data set that is complete in itself")
    try:
        table = datasets.load_dataset(
            str(files), name=source.subset, split=source.split, cache_dir=str(scratch),
            download_config=datasets.DownloadConfig(cache_dir=scratch / "downloads", local_files_only=True),
        )  # fmt: skip
    except Exception as error:  # the library raises almost anything for what it cannot load
        found = str(error).strip().splitlines() or [type(error).__name__]
        mend = "check subset and split; name another copy of the data set where it needs a program to be read"
        raise UltraFMError(where, f"no table ({found[0]})", f"the split {source.split!r}", mend) from error
    for name in (source.columns.image, source.columns.mask):
        if name in table.column_names and isinstance(table.features[name], datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _data_files(card: Path) -> str:
    """Which files a card says that the data set consists of, as text; empty without a card or such a list."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    head = re.match(r"---\s*\n(.*?)\n---", text, flags=re.DOTALL)
    try:
        fields = yaml.safe_load(head.group(1)) if head else {}
    except (yaml.YAMLError, RecursionError, ValueError):
        return ""
    configs = fields.get("configs") or [] if isinstance(fields, dict) else []
    return "\n".join(_texts(configs))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


def _need_columns(site: str, source: HubSource, table: Dataset) -> None:
    for field, name in source.columns.model_dump().items():
        if name and name != ROW and name not in table.column_names:
            where = f"{site}, hub data set {source.hub}"
            expected = f"a column {name!r}, which columns.{field} names{nearest(name, table.column_names)}"
            found = f"the columns {', '.join(table.column_names)}"
            raise UltraFMError(where, found, expected, f"correct columns.{field} in the manifest")


def _write_row(
    site: str, source: HubSource, table: Dataset, number: int, cells: Mapping[str, Any], files: Path, out: Path
) -> dict[str, str]:
    """Write the pictures of one row; its line of the table. A row without a picture has an empty file name."""
    columns = source.columns
    where = f"{site}, hub data set {source.hub}, row {number}"
    patient = str(number) if columns.patient == ROW else _word(table, columns.patient, cells)
    if source.patient_pattern:
        found = re.search(source.patient_pattern, patient)
        patient = found.group(1) or "" if found else ""
    return {
        "file": _write_picture(where, cells[columns.image], files, out, f"pictures/{number:07d}"),
        "patient": patient,
        "label": _word(table, columns.label, cells),
        "mask": _write_picture(where, cells[columns.mask], files, out, f"masks/{number:07d}") if columns.mask else "",
        "clip": _word(table, columns.clip, cells),
        "row": str(number),
    }


def _word(table: Dataset, column: str | None, cells: Mapping[str, Any]) -> str:
    """A cell as text: the name of a class in place of its number, nothing for nothing."""
    import datasets

    if column is None or cells[column] is None:
        return ""
    kind = table.features[column]
    if isinstance(kind, datasets.ClassLabel):
        return "" if cells[column] < 0 else kind.int2str(cells[column])
    return str(cells[column]).strip()


def _write_picture(where: str, cell: Any, files: Path, out: Path, stem: str) -> str:
    """Write the bytes of a picture as they are; its path below `out`, or nothing where the cell is empty."""
    data = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(cell, Mapping) and data is None and cell.get("path"):
        data = _read_inside(where, files, Path(cell["path"]))
    if data is None:
        return ""
    if not isinstance(data, bytes):
        raise UltraFMError(where, f"a {type(data).__name__}", "a picture", "correct columns in the manifest")
    name = f"{stem}.{_ending(data)}"
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_bytes(data)
    return name


def _read_inside(where: str, files: Path, path: Path) -> bytes:
    """A file that a row names; only one of the data set itself."""
    place = (files / path).resolve()
    if not place.is_relative_to(files.resolve()):
        raise UltraFMError(where, f"the file {path}", "a file of the data set itself")
    return place.read_bytes()


def _ending(data: bytes) -> str:
    """The usual ending of a picture's format; bin for what is no picture, which curation then quarantines."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return ENDINGS.get(picture.format or "", "bin")
    except Exception:  # told of when the picture is read
        return "bin"
