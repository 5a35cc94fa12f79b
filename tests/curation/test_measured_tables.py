"""Measurements of observers: read from a table of their own, carried by the store as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from made_archives import SITE, made_manifest, made_source, write_plain

from ultrafm.curation.curate import curate_site
from ultrafm.curation.reading.rows import read_rows
from ultrafm.curation.store import read_table
from ultrafm.errors import UltraFMError

QUANTITIES = {
    "muscle thickness": {"column": "thickness_px", "unit": "pixels"},
    "fascicle angle": {"column": "angle", "unit": "degrees"},
}
ASKED = {"table": "measured.csv", "observer": "reader", "quantities": QUANTITIES}
FIRST, SECOND = "pictures/Smith_000.png", "pictures/Smith_001.png"
ROWS = [
    (FIRST, "Miller", "218.0", "9.86"), (FIRST, "Baker", "220", ""), (SECOND, "Miller", "100", "10"),
    ("elsewhere.png", "Miller", "1", "1"),
]  # fmt: skip


def written(folder: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    """An archive with these rows of measurements."""
    write_plain(folder)
    table = pd.DataFrame(rows, columns=["file", "reader", "thickness_px", "angle"])
    table.to_csv(folder / "measured.csv", index=False)
    return folder


def measured(folder: Path, **changes: object) -> dict[str, str]:
    source = made_source(measured={**ASKED, **changes})
    return {row.file: row.measured for row in read_rows(made_manifest(source), source, folder)}


def test_each_file_bears_what_was_measured_in_it_and_observers_are_numbered(tmp_path):
    found = measured(written(tmp_path, ROWS))
    assert json.loads(found[FIRST]) == {"muscle thickness": {"1": 220.0, "2": 218.0}, "fascicle angle": {"2": 9.86}}
    assert json.loads(found[SECOND]) == {"muscle thickness": {"2": 100.0}, "fascicle angle": {"2": 10.0}}
    assert found["pictures/Smith_002.png"] == "" and "elsewhere.png" not in found


def test_numbered_observers_keep_the_order_of_their_numbers(tmp_path):
    rows = [(FIRST, reader, reader, "1") for reader in ("10", "9", "1")]
    assert json.loads(measured(written(tmp_path, rows))[FIRST])["muscle thickness"] == {"1": 1.0, "2": 9.0, "3": 10.0}


def test_one_observer_needs_no_column(tmp_path):
    found = measured(written(tmp_path, [ROWS[0]]), observer=None)
    assert json.loads(found[FIRST]) == {"muscle thickness": {"1": 218.0}, "fascicle angle": {"1": 9.86}}


def test_files_that_are_called_otherwise_are_renamed(tmp_path):
    rows = [(name.replace(".png", ".dcm"), *rest) for name, *rest in ROWS]
    with pytest.raises(UltraFMError, match="none of the site's files; expected files such as"):
        measured(written(tmp_path, rows))
    found = measured(tmp_path, renamed={"pattern": r"\.dcm$", "becomes": ".png"})
    assert json.loads(found[SECOND])["muscle thickness"] == {"2": 100.0}


@pytest.mark.parametrize(
    ("row", "changes", "words"),
    [
        ((FIRST, "Miller", "wide", "1"), {}, "row 2, column thickness_px: found 'wide'; expected a number"),
        ((FIRST, "Miller", "nan", "1"), {}, "row 2, column thickness_px: found 'nan'"),
        (ROWS[0], {"observer": "raeder"}, "no column 'raeder'; expected one of .*mean 'reader'.*measured.observer"),
        (ROWS[0], {"table": "other.csv"}, "table other.csv: found no such file"),
    ],
)
def test_a_table_that_does_not_fit_is_told_of_with_its_place(tmp_path, row, changes, words):
    with pytest.raises(UltraFMError, match=words):
        measured(written(tmp_path, [row]), **changes)


def test_two_values_of_one_observer_are_refused(tmp_path):
    with pytest.raises(UltraFMError, match="row 3: found a second muscle thickness of 'pictures"):
        measured(written(tmp_path, [ROWS[0], ROWS[0]]))


def test_the_store_carries_the_values_and_no_name_of_an_observer(tmp_path):
    archive = written(tmp_path / "archive", ROWS)
    source = made_source(measured=ASKED)
    curate_site(made_manifest(source), source, tmp_path / "out", archive, seed=0, image_size=32)
    table = read_table(tmp_path / "out", SITE).select(["measured", "crop", "device"]).to_pandas()
    told = [json.loads(text)["muscle thickness"] for text in table["measured"].dropna()]
    assert sorted(told, key=len) == [{"2": 100.0}, {"1": 220.0, "2": 218.0}]
    assert table["measured"].isna().sum() == len(table) - 2 and table["device"].isna().all()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "out" / SITE / "store").iterdir())
    assert b"Miller" not in stored and b"Baker" not in stored


def test_the_device_goes_into_the_store_as_the_table_states_it(tmp_path):
    rows = write_plain(tmp_path / "archive")
    table = pd.DataFrame(rows).assign(scanner="Logiq E9")
    table.to_csv(tmp_path / "archive" / "metadata.csv", index=False)
    columns = {"file": "file", "patient": "patient", "device": "scanner"}
    source = made_source(columns=columns)
    curate_site(made_manifest(source), source, tmp_path / "out", tmp_path / "archive", seed=0, image_size=32)
    assert set(read_table(tmp_path / "out", SITE)["device"].to_pylist()) == {"Logiq E9"}
