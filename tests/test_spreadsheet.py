"""Tables as hospitals export them are read whole or refused; nothing is cut off in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultrafm.errors import UltraFMError
from ultrafm.spreadsheet import read_spreadsheet


def written(folder: Path, data: bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_usual_separators_and_encodings(tmp_path, mark, encoding):
    text = f"file{mark} label \na.png{mark}bösartig\n\nb.png{mark}\n"
    table = read_spreadsheet(written(tmp_path, text.encode(encoding)), "here")
    assert table.to_dict("list") == {"file": ["a.png", "b.png"], "label": ["bösartig", ""]}
    assert list(table.index) == [0, 2]


@pytest.mark.parametrize(
    "rows",
    ["a,m,0,0,0,5\nb,m,0,0,1,5\n", "a,m,0,0,0.5\nb,m,0,0,1,5\n", "a,m,0,0,0,5\nb,m,0,0,1.5\n"],
    ids=["all rows", "a later row", "the first row"],
)
def test_cells_beyond_the_last_column_are_refused(tmp_path, rows):
    """A comma for the decimal point makes a cell too many; its fraction must not be dropped."""
    path = written(tmp_path, f"reader,modality,case,truth,rating\n{rows}".encode())
    with pytest.raises(UltraFMError, match="here: found a file that cannot be read as a table"):
        read_spreadsheet(path, "here")


@pytest.mark.parametrize("data", ["reader,case\na,1\n".encode("utf-16"), b"PK\x03\x04\x00\x00"])
def test_what_is_no_text_is_refused(tmp_path, data):
    with pytest.raises(UltraFMError, match=r"zero bytes.*save it as CSV, UTF-8"):
        read_spreadsheet(written(tmp_path, data), "here")
