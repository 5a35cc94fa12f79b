"""The curated store of a site: a Hugging Face `datasets` folder in shards, whose bytes depend on its content only.

Written with pyarrow in the layout that `datasets.load_from_disk` reads (a test holds the two together): the library
takes a second to import, and a copy of all rows to write.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_file, read_json, write_json

if TYPE_CHECKING:
    import datasets

PICTURES = ("image", "sector", "mask")
COLUMNS = {
    "image_id": "string", "site": "string", "patient": "string", "clip": "string",
    "image": "picture", "sector": "picture", "mask": "picture", "structures": "string",
    "label": "string", "organ": "string", "modality": "string", "scan_mode": "string", "device": "string",
    "measured": "string",
    "fold": "string", "group": "int32", "difficulty": "float32", "pixel_mm": "float32",
    "original_width": "int32", "original_height": "int32", "crop": "whole numbers", "colour": "bool",
    "area": "string", "sector_geometry": "numbers", "found_scan_mode": "string", "confidence": "float32",
    "text_marks": "int32",
    "blur": "float64", "contrast": "float64", "entropy": "float64", "saturated": "float32", "blank": "float32",
    "graphics": "float32", "coloured_share": "float32", "calipers": "int32", "mask_outside": "float32",
    "source_hash": "string", "study_uid": "string", "series_uid": "string", "instance_uid": "string",
    "sha256": "string", "perceptual_hash": "string", "simulated": "bool",
}  # fmt: skip
ROWS_PER_SHARD = 4096
ROWS_PER_BATCH = 256  # what is in memory at a time while writing
PNG_LEVEL = 6


def encode_png(picture: np.ndarray) -> bytes:
    """A grey picture (H, W) uint8 as PNG, without any metadata."""
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1].tobytes()


def decode_png(data: bytes) -> np.ndarray:
    """The grey values (H, W) uint8 of a PNG that `encode_png` made."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def write_store(rows: Iterable[Mapping[str, Any]], count: int, folder: Path, licence: str, citation: str) -> str:
    """Write `count` rows with the keys of COLUMNS (pictures as PNG bytes or None) to `folder`, in their order.

    Beside the pictures' shards, all other columns go to images.parquet in the folder above. Rows are held a batch at a
    time. Returns the SHA-256 of the content, which is the store's fingerprint too.
    """
    folder.mkdir(parents=True)
    rows, digest = iter(rows), hashlib.sha256()
    names = [f"data-{number:05d}-of-{shards_of(count):05d}.arrow" for number in range(shards_of(count))]
    plain = pa.schema([field for field in store_schema() if field.name not in PICTURES])
    with pa.parquet.ParquetWriter(folder.parent / "images.parquet", plain, compression="zstd") as table:
        for name in names:
            _write_shard(islice(rows, ROWS_PER_SHARD), folder / name, table, digest)
    content = digest.hexdigest()
    write_json(folder / "state.json", {
        "_data_files": [{"filename": name} for name in names], "_fingerprint": content[:16], "_format_columns": None,
        "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": None,
    })  # fmt: skip
    information = {"citation": citation, "description": "", "features": features(), "homepage": "", "license": licence}
    write_json(folder / "dataset_info.json", information)
    return content


def shards_of(count: int) -> int:
    """How many shards `count` rows make."""
    return max(1, -(-count // ROWS_PER_SHARD))


def _write_shard(rows: Iterator[Mapping[str, Any]], path: Path, table: Any, digest: Any) -> None:
    schema = store_schema()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        while chunk := list(islice(rows, ROWS_PER_BATCH)):
            for row in chunk:
                digest.update(_row_hash(row))
            columns = [[_cell(name, row[name]) for row in chunk] for name in COLUMNS]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema)]
            batch = pa.record_batch(arrays, schema=schema)
            stream.write_batch(batch)
            table.write_table(pa.Table.from_batches([batch]).drop_columns([*PICTURES]).replace_schema_metadata(None))


def _row_hash(row: Mapping[str, Any]) -> bytes:
    cells = (hashlib.sha256(cell).hexdigest() if isinstance(cell, bytes) else repr(cell) for cell in row.values())
    return " ".join(cells).encode() + b"\n"


def features() -> dict[str, Any]:
    """The columns as the library `datasets` describes them in JSON."""
    kinds = {
        "picture": {"_type": "Image"},
        "whole numbers": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"},
        "numbers": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"},
    }
    return {name: kinds.get(kind) or {"dtype": kind, "_type": "Value"} for name, kind in COLUMNS.items()}


def store_schema() -> pa.Schema:
    """The columns as Arrow types, with the library's description."""
    kinds = {
        "picture": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "whole numbers": pa.list_(pa.int32()),
        "numbers": pa.list_(pa.float32()), "bool": pa.bool_(), "string": pa.string(), "int32": pa.int32(),
        "float32": pa.float32(), "float64": pa.float64(),
    }  # fmt: skip
    described = json.dumps({"info": {"features": features()}})
    return pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()], metadata={"huggingface": described})


def store_files(folder: Path) -> dict[str, str]:
    """Name of each file of a store, in its folder -> SHA-256 of its bytes."""
    return {path.name: hash_once(path) for path in sorted(folder.iterdir()) if path.is_file()}


def changed_files(folder: Path, recorded: Mapping[str, str]) -> list[str]:
    """The files of a store whose bytes are not those recorded by `store_files`, or that are gone.

    A file is read once in a process, and again only when its size or time of change is another. Files that are not
    recorded do not count: no store is read from them.
    """
    paths = {name: folder / name for name in recorded}
    return [name for name, path in paths.items() if not path.is_file() or hash_once(path) != recorded[name]]


def hash_once(path: Path) -> str:
    """SHA-256 of a file's bytes, from memory while its size and time of change stay the same."""
    found = path.stat()
    return _hash_of(path.resolve(), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_of(path: Path, _size: int, _changed: int) -> str:
    return hash_file(path)


def load_store(out: Path, site: str) -> datasets.Dataset:
    """The curated store of a site as a `datasets.Dataset`; its pictures decode to Pillow images.

    Raises UltraFMError when the site has not been curated there.
    """
    folder = store_folder(out, site)
    with _quiet_datasets() as library:
        return library.load_from_disk(str(folder))


def read_table(out: Path, site: str) -> pa.Table:
    """The same store as an Arrow table (memory-mapped), without importing `datasets`, which costs a second.

    Raises UltraFMError when the site has not been curated there.
    """
    folder = store_folder(out, site)
    files = [folder / entry["filename"] for entry in read_json(folder / "state.json")["_data_files"]]
    return pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in files])


def read_plain(images: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of a site's images.parquet, read with as little memory as it takes."""
    return pyarrow.parquet.read_table(images, columns=[*columns], use_threads=False, pre_buffer=False)


def store_folder(out: Path, site: str) -> Path:
    """Where the store of a site lies. Raises UltraFMError when the site has not been curated there."""
    folder = Path(out) / site / "store"
    if not (folder / "state.json").is_file():
        mend = f"`ultrafm curate MANIFEST --out {out}`; in a study, its step 10_curate"
        raise UltraFMError(f"{site}, store {folder}", "no curated store", "a site that was curated there", mend)
    return folder


def _cell(name: str, value: Any) -> Any:
    return {"bytes": value, "path": None} if name in PICTURES and value is not None else value


@contextmanager
def _quiet_datasets() -> Iterator[Any]:
    """The library `datasets`, without network (unless the user decided otherwise) and without progress bars."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        if shown:
            datasets.enable_progress_bars()
