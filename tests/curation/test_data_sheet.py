"""The data sheet, its page and its drawings, against counts done by hand; and the licences that travel."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_archives import SITE, made_manifest, made_source
from PIL import Image

from ultrafm.curation.reasons import LeftOut
from ultrafm.curation.sheets.charts import histogram_chart, spread_chart, stacked_chart
from ultrafm.curation.sheets.counting import MEASURES, draw_spread, histogram, round_up, spread
from ultrafm.curation.sheets.datasheet import count_flow, grey_histogram, make_datasheet
from ultrafm.curation.sheets.flow import flow_chart, flow_steps
from ultrafm.curation.sheets.gallery import MASK_COLOUR, SECTOR_COLOUR, Picture, fetch, outlined
from ultrafm.curation.sheets.licences import (
    all_conditions,
    carried,
    licence_addresses,
    licence_table,
    licences,
    strictest,
)
from ultrafm.curation.sheets.markdown import write_markdown
from ultrafm.curation.sheets.page import choose_examples, write_page
from ultrafm.curation.sheets.rendering import OWN, whole_style
from ultrafm.errors import UltraFMError
from ultrafm.files import write_json
from ultrafm.reporting.figures import PALETTE
from ultrafm.reporting.html import external_references

SETTINGS = {"image_size": 64, "seed": 3}


def table(count: int = 8, **changes: object) -> pd.DataFrame:
    """A curated site of `count` pictures: two of each patient, labels in turn benign, malignant and unknown."""
    numbers = np.arange(count)
    columns = {
        "image_id": [f"{SITE}/{number:016x}" for number in numbers],
        "patient": [f"patient{number // 2:04d}" for number in numbers],
        "label": [("benign", "malignant", None)[number % 3] for number in numbers],
        "organ": "breast", "modality": "B-mode", "scan_mode": "linear", "fold": "train", "simulated": False,
        "colour": False, "area": "rectangle", "mask_outside": None, "pixel_mm": None,
        "crop": [[0, 0, 100, 50]] * count, "blur": 10.0, "contrast": 30.0, "entropy": 6.0,
    }  # fmt: skip
    return pd.DataFrame({**columns, **changes}, index=numbers + 100)


def rebuilt(**changes: object) -> dict:
    """The new columns of a store."""
    return {"confidence": 0.9, "found_scan_mode": "linear", "text_marks": 0, "calipers": 0, "saturated": 0.1,
            "blank": 0.2, "graphics": 0.0, "source_hash": "ab", **changes}  # fmt: skip


def gallery(ids):
    """A dark picture with a sector and a mask for each id."""
    for image_id in ids:
        sector = np.zeros((16, 16), np.uint8)
        sector[:, 4:] = 255
        mask = np.zeros((16, 16), np.uint8)
        mask[6:10, 6:10] = 1
        yield Picture(image_id, np.full((16, 16), 100, np.uint8), sector, mask)


def sheet_of(kept: pd.DataFrame, left_out: list[LeftOut] | None = None, **more: object) -> dict:
    left_out = left_out or []
    source = more.pop("source", made_source())
    flow = count_flow(len(kept) + len(left_out), left_out, len(kept))
    return make_datasheet(made_manifest(source), source, kept, flow, left_out, SETTINGS, **more)


def left(stage: str, kind: str, count: int = 1) -> list[LeftOut]:
    return [LeftOut("Smith_John.png", number, stage, kind, "Smith_John.png: cut") for number in range(count)]


def test_counts_are_those_done_by_hand():
    sheet = sheet_of(table(8))
    assert sheet["patients"] == 4
    assert sheet["counts"]["label"] == {
        "benign": {"images": 3, "patients": 3},
        "malignant": {"images": 3, "patients": 3},
        "unknown": {"images": 2, "patients": 2},
    }
    assert sheet["labels_by_fold"] == {"benign": {"train": 3}, "malignant": {"train": 3}, "unknown": {"train": 2}}
    assert sheet["scan_area"] == {"sector": 0, "rectangle": 8, "whole": 0}
    assert sheet["images"] == "real" and sheet["flow"]["kept"] == 8


@given(st.permutations(range(9)), st.integers(1, 9))
@settings(max_examples=8, deadline=None)
def test_same_rows_in_any_order_give_the_same_json(order, count):
    kept = table(9, **rebuilt()).iloc[:count]
    mixed = kept.iloc[[place for place in order if place < count]]
    text = [json.dumps(sheet_of(rows, gallery=gallery), allow_nan=False) for rows in (kept, mixed)]
    assert text[0] == text[1]


def test_columns_of_an_old_store_are_enough():
    sheet = sheet_of(table())
    assert sheet["text"] is None and sheet["scan_modes"] is None and sheet["confidence"] is None
    assert list(sheet["quality"]) == ["blur", "contrast", "entropy"]
    assert "is not removed" in " ".join(sheet["notes"])


def test_text_and_scan_modes_are_counted():
    kept = table(
        5, scan_mode=["linear", "linear", "convex", "endocavity", "convex"],
        **rebuilt(
            text_marks=[0, 3, 0, 2, 0], calipers=[0, 1, 0, 0, 0],
            found_scan_mode=["linear", "convex", "convex", "convex", "unknown"],
        ),
    )  # fmt: skip
    sheet = sheet_of(kept)
    assert sheet["text"] == {"images": 2, "marks": 5, "images_with_calipers": 1}
    assert (sheet["scan_modes"]["comparable"], sheet["scan_modes"]["agree"]) == (3, 2)
    assert {"stated": "endocavity", "found": "convex", "images": 1} in sheet["scan_modes"]["table"]
    assert "were blacked out" in " ".join(sheet["notes"])
    reported = sheet_of(kept, source=made_source(deidentification={"text": "report", "sign_off": False}))
    assert "left where it is" in " ".join(reported["notes"])
    assert "no signature" in write_markdown(reported)


def test_missing_numbers_never_reach_the_json():
    kept = table(4, **rebuilt(blur=[np.nan] * 4, contrast=[1.0, np.nan, np.inf, 3.0], confidence=np.nan))
    sheet = sheet_of(kept)
    assert "blur" not in sheet["quality"] and sheet["confidence"] is None
    assert sheet["quality"]["contrast"] == {
        "lowest": 1, "lower_quartile": 1.5, "median": 2, "upper_quartile": 2.5, "highest": 3
    }  # fmt: skip
    json.dumps(sheet, allow_nan=False)


def test_depth_is_what_the_pixels_say():
    """A box of 100 x 50 in a picture of 64: the scan is 32 curated pixels deep; at 0.5 mm that is 16 mm."""
    sheet = sheet_of(table(3, pixel_mm=[0.5, None, 1.0]))
    assert sheet["depth_mm"]["known"] == 2
    assert (sheet["depth_mm"]["spread"]["lowest"], sheet["depth_mm"]["spread"]["highest"]) == (16, 32)
    assert sum(sheet["depth_mm"]["histogram"]["counts"]) == 2
    upright = sheet_of(table(1, pixel_mm=[0.5], crop=[[10, 10, 20, 90]]))
    assert upright["depth_mm"]["spread"]["median"] == 32
    assert sheet_of(table(3))["depth_mm"] is None


@given(st.lists(st.floats(0, 1e6) | st.just(float("nan")), max_size=40))
@settings(max_examples=100, deadline=None)
def test_histograms_hold_every_finite_value_once(values):
    found = histogram(pd.Series(values, dtype=float))
    finite = [value for value in values if value == value]
    assert (found is None) == (not finite)
    if found:
        assert sum(found["counts"]) == len(finite)
        assert found["start"] + found["step"] * len(found["counts"]) >= max(finite) * (1 - 1e-9)


@pytest.mark.parametrize(("value", "expected"), [(0, 1), (-3, 1), (1, 1), (1.01, 2), (2.2, 2.5), (7, 10), (0.03, 0.05)])
def test_steps_of_axes_are_round(value, expected):
    assert round_up(value) == pytest.approx(expected)


def test_spread_of_nothing_and_of_one():
    assert spread(pd.Series([], dtype=float)) is None and spread(pd.Series([None, np.nan], dtype=object)) is None
    assert set(spread(pd.Series([2.0])).values()) == {2.0}


def test_flow_tells_every_step_and_adds_up():
    left_out = [
        *left("quarantined", "damaged file", 2), *left("quarantined", "empty file", 3), *left("low_quality", "flat"),
        *left("withdrawn", "patient withdrawn", 4), *left("strange_stage", "odd"),
    ]  # fmt: skip
    sheet = sheet_of(table(5), left_out)
    steps = flow_steps(sheet["flow"], sheet["left_out"])
    assert [(step.name, step.images) for step in steps] == [
        ("listed", 16), ("decoded", 11), ("de-identified", 11), ("no duplicates", 11), ("good enough", 10),
        ("not withdrawn", 6), ("not strange stage", 5), ("kept in the store", 5),
    ]  # fmt: skip
    assert steps[1].leaving == (("empty file", 3), ("damaged file", 2)), "the most frequent reason first"
    assert sheet["flow"]["withdrawn"] == 4
    with pytest.raises(UltraFMError, match="images kept"):
        flow_steps({**sheet["flow"], "kept": 6}, sheet["left_out"])


def test_flow_chart_is_sound_and_shortens_long_lists():
    entries = [{"stage": "quarantined", "kind": f"reason <{n}> & more", "images": 20 - n} for n in range(12)]
    total = sum(entry["images"] for entry in entries)
    drawn = flow_chart(flow_steps({"rows": total + 1, "kept": 1}, entries), "simulated")
    root = ElementTree.fromstring(drawn)
    words = [element.text for element in root.iter("text")]
    assert "reason <0> & more" in words and "reason <11> & more" not in words
    assert "4 more reasons" in words and str(9 + 10 + 11 + 12) in words
    assert "simulated images" in root.get("aria-label")


def test_charts_are_sound_for_awkward_numbers():
    charts = [
        histogram_chart(0, 1, [], "x", "y", "empty"),
        histogram_chart(0, 8, [0] * 32, "x", "y", "zeros"),
        histogram_chart(0, 1, [1e9], "<x>", "y", "one & only"),
        spread_chart({"blur": spread(pd.Series([0.0]))}, MEASURES, "one value"),
        spread_chart({name: spread(pd.Series([-1.0, 1e5])) for name in MEASURES}, MEASURES, "beyond the ends"),
        stacked_chart({}, [], "nothing"),
        stacked_chart({"a <label> of some length": {"train": 3}}, ["train", "test"], "one row"),
    ]
    for chart in charts:
        root = ElementTree.fromstring(chart)
        assert root.get("aria-label")
        numbers = re.findall(r' (?:x|y|width|height|cx)="([^"]+)"', chart)
        assert all(np.isfinite(float(number)) for number in numbers)


def test_bars_are_as_high_as_their_counts():
    root = ElementTree.fromstring(histogram_chart(0, 1, [1, 4, 2], "x", "y", "bars"))
    heights = [float(bar.get("height")) for bar in root.iter("rect")]
    assert heights == pytest.approx([heights[1] / 4, heights[1], heights[1] / 2], abs=0.01)


def test_colours_are_those_of_the_house():
    style = (OWN / "sheet.css").read_text()
    assert {colour.upper() for colour in re.findall(r"fill: (#\w{6})", style)} == set(PALETTE)
    named = [tuple(int(PALETTE[place][digit : digit + 2], 16) for digit in (1, 3, 5)) for place in (1, 4)]
    assert named == [SECTOR_COLOUR, MASK_COLOUR]
    assert "--ink" in whole_style() and ".shown" in whole_style()


def test_grey_values_are_those_inside_the_scan():
    def two(ids):
        for number, image_id in enumerate(ids):
            image = np.zeros((4, 4), np.uint8)
            image[:, 2:] = (8, 255)[number]
            yield Picture(image_id, image, np.where(np.arange(4) < 2, 0, 255) * np.ones((4, 1)))

    found = grey_histogram(table(2), two)
    assert found["pictures"] == 2 and found["shares"][1] == 0.5 and found["shares"][31] == 0.5
    assert sum(found["shares"]) == pytest.approx(1)


def test_only_a_sample_is_fetched_for_the_histogram():
    asked = []

    def counting(ids):
        asked.extend(ids)
        yield from gallery(ids)

    assert grey_histogram(table(900), counting)["pictures"] == 400 == len(set(asked))


def test_header_fields_are_told_by_name():
    sheet = sheet_of(table(), removed_tags={"StudyDate": 2, "PatientName": 5})
    assert list(sheet["removed_tags"].items()) == [("PatientName", 5), ("StudyDate", 2)]
    assert "| PatientName | 5 |" in write_markdown(sheet)


def test_markdown_keeps_its_tables_whole():
    assert "| quarantined | a \\| b | 1 |" in write_markdown(sheet_of(table(), left("quarantined", "a | b")))


def page_of(tmp_path: Path, kept: pd.DataFrame, **more: object) -> str:
    sheet = sheet_of(kept, **more)
    return write_page(tmp_path / "datasheet.html", sheet, kept, gallery).read_text(encoding="utf-8")


def test_page_opens_without_a_network_and_names_nobody(tmp_path):
    kept = table(30, **rebuilt(), pixel_mm=0.3)
    more = {"left_out": left("quarantined", "damaged file", 2), "removed_tags": {"PatientName": 7}, "gallery": gallery}
    html = page_of(tmp_path, kept, **more)
    assert external_references(html) == []
    assert "Smith" not in html and "patient00" not in html
    for words in ("PatientName", "damaged file", "good enough", "real images", "depth in mm", "grey value", "CC0-1.0"):
        assert words in html, words
    assert "simulated" not in html.split("</style>")[1]
    assert html.count('<img src="data:image/png;base64,') == 12
    assert html == page_of(tmp_path / "again", kept, **more)


def test_page_says_simulated_wherever_pictures_are_shown(tmp_path):
    html = page_of(tmp_path, table(6, simulated=True), gallery=gallery)
    assert "no person was scanned" in html
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert len(figures) >= 6 and all("simulated" in figure for figure in figures)


def test_page_escapes_what_the_manifest_says(tmp_path):
    source = made_source(publisher="<script>alert(1)</script> & Sons", citation='"quoted" <b>')
    html = page_of(tmp_path, table(1), source=source)
    assert "<script" not in html and "&lt;script&gt;" in html


def test_page_of_a_single_picture_without_numbers(tmp_path):
    html = page_of(tmp_path, table(1, label=[None], blur=np.nan, contrast=np.nan, entropy=np.nan))
    assert "One patient only" in html and "label unknown" in html


def test_examples_show_every_kind_before_a_second_of_any():
    kept = table(100, label=["benign"] * 97 + ["malignant", None, "cyst"])
    chosen = choose_examples(kept, 6)
    labels = kept.set_index("image_id").loc[chosen, "label"].fillna("none")
    assert sorted(labels[:4]) == ["benign", "cyst", "malignant", "none"] and list(labels[4:]) == ["benign"] * 2
    assert chosen == choose_examples(kept.sample(frac=1, random_state=1), 6)


def test_draws_of_an_empty_table_are_empty():
    assert draw_spread(table(0)["image_id"], table(0)["patient"], 5, "test") == []


def test_outlines_lie_just_inside_scan_and_mask():
    picture = next(iter(gallery(["a"])))
    drawn = outlined(picture)
    assert drawn.shape == (224, 224, 3)
    zoom = 14
    assert tuple(drawn[100, 4 * zoom]) == SECTOR_COLOUR and tuple(drawn[100, 4 * zoom - 1]) == (100, 100, 100)
    assert tuple(drawn[7 * zoom, 6 * zoom]) == MASK_COLOUR and tuple(drawn[7 * zoom, 6 * zoom + 2]) == (100, 100, 100)
    plain = outlined(Picture("b", np.full((1, 1), 7, np.uint8)))
    assert plain.shape == (224, 224, 3) and (plain == 7).all()


def test_wrong_pictures_are_refused():
    assert list(fetch(gallery, [])) == []
    for wrong in (lambda ids: gallery(ids[:-1]), lambda ids: gallery(ids[::-1]), lambda ids: gallery([*ids, "more"])):
        with pytest.raises(UltraFMError, match="pictures of a page"):
            list(fetch(wrong, ["a", "b"]))


@pytest.mark.parametrize(
    ("licence", "stated", "expected"),
    [
        ("CC0-1.0", (), []),
        ("CC BY 4.0", (), ["attribution"]),
        ("CC-BY-NC-SA-4.0", (), ["attribution", "share alike", "non-commercial"]),
        ("BY-NC-ND", (), ["attribution", "non-commercial", "no derivatives"]),
        ("on request, non-commercial", (), ["non-commercial", "on request"]),
        ("unstated", (), ["licence unclear"]),
        ("none formal", ("signed agreement",), ["signed agreement"]),
        ("per file", ("non-commercial", "attribution"), ["attribution", "non-commercial"]),
        ("Apache-2.0", (), ["attribution"]),
        ("", (), ["licence unclear"]),
        ("CC BY-NC 4.0 and CC BY 2.0", (), ["attribution", "non-commercial"]),
    ],
)
def test_conditions_come_from_manifest_and_name(licence, stated, expected):
    assert all_conditions(licence, stated) == expected


def test_union_of_conditions_in_plain_words():
    found = strictest(["non-commercial", "attribution", "non-commercial"])
    assert found["conditions"] == ["attribution", "non-commercial"]
    assert found["sentence"] == "Name the publishers and cite them; no commercial use."
    assert strictest([]) == {"conditions": [], "sentence": "No condition is known."}
    with pytest.raises(UltraFMError, match="secret clause"):
        strictest(["secret clause"])


@given(st.lists(st.sampled_from(["CC0-1.0", "CC BY 4.0", "BY-NC", "BY-ND", "unstated"]), max_size=5))
def test_more_sites_never_loosen_what_weights_carry(names):
    entries = [{"site": str(number), "conditions": all_conditions(name, ())} for number, name in enumerate(names)]
    wider = set(carried(entries)["conditions"])
    assert all(set(entry["conditions"]) <= wider for entry in entries)
    assert set(carried(entries[1:])["conditions"]) <= wider


def test_addresses_of_licences():
    assert licence_addresses("CC BY-NC 4.0 and CC BY 2.0, CC BY 2.0") == [
        "https://creativecommons.org/licenses/by-nc/4.0/", "https://creativecommons.org/licenses/by/2.0/"
    ]  # fmt: skip
    assert licence_addresses("CC0-1.0") == ["https://creativecommons.org/publicdomain/zero/1.0/"]
    assert licence_addresses("see the source") == []


def test_licences_are_read_from_the_data_sheets(tmp_path):
    source = made_source(licence="CC BY-NC 4.0", conditions=["signed agreement"])
    write_json(tmp_path / SITE / "datasheet.json", sheet_of(table(4, simulated=True), source=source))
    (entry,) = licences(tmp_path, [SITE, SITE])
    assert entry == {
        "site": SITE, "publisher": "Testing", "licence": "CC BY-NC 4.0", "checked": False, "citation": "none",
        "conditions": ["attribution", "non-commercial", "signed agreement"], "images": 4, "simulated": True,
    }  # fmt: skip
    (row,) = licence_table([entry]).to_dict("records")
    assert row["conditions"] == "attribution, non-commercial, signed agreement" and row["images"] == "4 simulated"
    (real,) = licence_table([{**entry, "simulated": False, "conditions": []}]).to_dict("records")
    assert (real["licence"], real["conditions"]) == ("CC BY-NC 4.0 (from memory)", "none known")
    assert licence_table([]).empty
    with pytest.raises(UltraFMError, match="site_02_gone"):
        licences(tmp_path, ["site_02_gone"])


def test_pictures_of_a_store_come_in_the_order_asked(tmp_path):
    import pyarrow as pa

    from ultrafm.curation.sheets.gallery import store_gallery

    def png(value: int) -> dict:
        stream = io.BytesIO()
        Image.fromarray(np.full((3, 3), value, np.uint8)).save(stream, "PNG")
        return {"bytes": stream.getvalue(), "path": None}

    rows = [{"image_id": name, "image": png(n), "sector": png(255), "mask": None} for n, name in enumerate("abcd")]
    parts = [pa.Table.from_pylist(rows[:2]), pa.Table.from_pylist(rows[2:])]
    parts[1] = parts[1].cast(parts[0].schema)
    pictures = list(store_gallery(pa.concat_tables(parts))(["d", "a"]))
    assert [(picture.image_id, int(picture.image[0, 0]), picture.mask) for picture in pictures] == [
        ("d", 3, None), ("a", 0, None)
    ]  # fmt: skip
    with pytest.raises(UltraFMError, match="no picture z"):
        list(store_gallery(parts[0])(["a", "z"]))
