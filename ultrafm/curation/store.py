"""The curated store of a site: a Hugging Face `datasets` folder whose bytes depend on its content only."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from PIL import Image

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_text, read_json

if TYPE_CHECKING:
    import datasets

PICTURES = ("image", "sector", "mask")
COLUMNS = {
    "image_id": "string", "site": "string", "patient": "string", "clip": "string",
    "image": "picture", "sector": "picture", "mask": "picture", "structures": "string",
    "label": "string", "organ": "string", "modality": "string", "scan_mode": "string",
    "fold": "string", "group": "int32", "difficulty": "float32", "pixel_mm": "float32",
    "original_width": "int32", "original_height": "int32", "crop": "whole numbers", "colour": "bool",
    "blur": "float64", "contrast": "float64", "entropy": "float64",
    "sha256": "string", "perceptual_hash": "string", "simulated": "bool",
}  # fmt: skip


def encode_png(picture: np.ndarray) -> bytes:
    """A grey picture (H, W) uint8 as PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """The grey values (H, W) uint8 of a PNG that `encode_png` made."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


def write_store(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write rows with the keys of COLUMNS (pictures as PNG bytes or None) to `folder`, sorted by image_id."""
    rows = sorted(rows, key=lambda row: row["image_id"])
    with _quiet_datasets() as library:
        features = _features(library)
        columns = {name: [_cell(name, row[name]) for row in rows] for name in COLUMNS}
        dataset = library.Dataset.from_dict(columns, features=features)
        # The library draws a random fingerprint; one made of the content keeps equal stores equal.
        dataset._fingerprint = _content_hash(rows)[:16]
        dataset.save_to_disk(str(folder), num_shards=1)


def load_store(out: Path, site: str) -> datasets.Dataset:
    """The curated store of a site as a `datasets.Dataset`; its pictures decode to Pillow images.

    Raises UltraFMError when the site has not been curated there.
    """
    folder = _store_folder(out, site)
    with _quiet_datasets() as library:
        return library.load_from_disk(str(folder))


def read_table(out: Path, site: str) -> pa.Table:
    """The same store as an Arrow table (memory-mapped), without importing `datasets`, which costs a second.

    Raises UltraFMError when the site has not been curated there.
    """
    folder = _store_folder(out, site)
    files = [folder / entry["filename"] for entry in read_json(folder / "state.json")["_data_files"]]
    return pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in files])


def _store_folder(out: Path, site: str) -> Path:
    folder = Path(out) / site / "store"
    if not (folder / "state.json").is_file():
        expected = "the output of 10_curate"
        raise UltraFMError(f"{site}, store {folder}", "no curated store", expected, "curate the site first")
    return folder


def _cell(name: str, value: Any) -> Any:
    return {"bytes": value, "path": None} if name in PICTURES and value is not None else value


def _features(library: Any) -> datasets.Features:
    kinds = {"picture": library.Image(), "whole numbers": library.List(library.Value("int32"))}
    return library.Features({name: kinds.get(kind) or library.Value(kind) for name, kind in COLUMNS.items()})


def _content_hash(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        cells = (hashlib.sha256(cell).hexdigest() if isinstance(cell, bytes) else repr(cell) for cell in row.values())
        lines.append(" ".join(cells))
    return hash_text("\n".join(lines))


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
