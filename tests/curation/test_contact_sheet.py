"""The contact sheet: nothing suspicious is forgotten, what is not shown is told, and memory stays small."""

from __future__ import annotations

import base64
import io
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ultrafm.curation.sheets.contact_sheet import CALM, DOUBTS, choose_shown, find_doubts, write_contact_sheet
from ultrafm.curation.sheets.gallery import Picture
from ultrafm.errors import UltraFMError
from ultrafm.reporting.html import external_references

SITE = "site_01_test"


def table(count: int, **changes: object) -> pd.DataFrame:
    """A store of `count` unsuspicious pictures, four of each patient."""
    numbers = np.arange(count)
    columns = {
        "image_id": [f"{SITE}/{number:016x}" for number in numbers],
        "patient": [f"patient{number // 4:05d}" for number in numbers],
        "area": "sector", "confidence": 0.9, "colour": False, "mask_outside": None, "text_marks": 0,
    }  # fmt: skip
    return pd.DataFrame({**columns, **changes})


def marked(count: int, where: int, value: object, other: object) -> list:
    """`value` in the first `where` rows, `other` in the rest."""
    return [value] * where + [other] * (count - where)


def sheet(images: str = "real", sign: bool = True) -> dict:
    return {"site": SITE, "images": images, "deidentification": {"sign_off": sign}}


def gallery(ids):
    for image_id in ids:
        yield Picture(image_id, np.full((6, 9), int(image_id[-2:], 16), np.uint8))


def written(tmp_path: Path, kept: pd.DataFrame, **more: object) -> str:
    target = tmp_path / "contact_sheet.html"
    write_contact_sheet(target, sheet(**more), kept, gallery, "data manifests/a.yaml", "curated")
    return target.read_text(encoding="utf-8")


def test_each_doubt_is_noticed_on_its_own():
    kept = table(6)
    kept.loc[0, "text_marks"] = 2
    kept.loc[1, "area"] = "whole"
    kept.loc[2, "confidence"] = 0.2
    kept["mask_outside"] = [None, None, 0.0, 0.3, 0.001, None]
    kept.loc[4, "colour"] = True
    assert (find_doubts(kept)[:5] == np.eye(5, dtype=bool)).all() and not find_doubts(kept)[5].any()


def test_columns_that_are_missing_raise_no_doubt():
    kept = table(3).drop(columns=["text_marks", "confidence", "mask_outside"])
    assert not find_doubts(kept).any()
    assert [group.words for group in choose_shown(kept).groups] == [CALM]


@pytest.mark.parametrize("count", [1, 399, 400])
def test_small_store_is_shown_whole(count):
    kept = table(count, colour=marked(count, count // 2, True, False))
    chosen = choose_shown(kept)
    assert chosen.whole and sorted(chosen.shown) == sorted(kept["image_id"])


def test_large_store_shows_all_that_is_suspicious_and_a_sample():
    kept = table(5000, text_marks=marked(5000, 90, 1, 0), area=marked(5000, 100, "whole", "sector"))
    chosen = choose_shown(kept)
    text, whole, calm = chosen.groups
    assert (text.images, len(text.ids), whole.images, len(whole.ids)) == (90, 90, 10, 10)
    assert (calm.images, len(calm.ids)) == (4900, 200) and not chosen.whole
    assert len(set(chosen.shown)) == 300
    patients = kept.set_index("image_id").loc[list(calm.ids), "patient"]
    assert patients.nunique() == 200 == chosen.sample_patients, "one of each patient while there are enough"


def test_one_more_than_shown_whole_is_sampled():
    assert len(choose_shown(table(401)).shown) == 200


def test_rare_doubts_are_not_crowded_out():
    kept = table(3000, colour=True, text_marks=marked(3000, 5, 1, 0))
    chosen = choose_shown(kept)
    text, colour = chosen.groups
    assert (len(text.ids), len(colour.ids), colour.images) == (5, 395, 2995)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60), st.integers(0, 20), st.randoms())
@settings(max_examples=40, deadline=None)
def test_choice_is_within_limits_and_does_not_depend_on_the_order(marks, limit, random):
    kept = table(len(marks), colour=[one for one, _ in marks], text_marks=[int(other) for _, other in marks])
    order = list(range(len(kept)))
    random.shuffle(order)
    chosen = choose_shown(kept, 10, limit, limit)
    assert chosen == choose_shown(kept.iloc[order], 10, limit, limit)
    assert sum(group.images for group in chosen.groups) == len(kept) == chosen.images
    suspicious = sum(len(group.ids) for group in chosen.groups if group.words != CALM)
    there = sum(one or other for one, other in marks)
    assert suspicious == (there if chosen.whole else min(limit, there))


def test_page_tells_rule_numbers_and_command(tmp_path):
    html = written(tmp_path, table(5000, colour=marked(5000, 700, True, False)))
    words = re.sub(r"<[^>]+>|\s+", " ", html.split("</style>")[1])
    words = re.sub(r" +", " ", words)
    assert "600 of 5,000 pictures; 4,400 are not shown" in words
    assert "at most 400 suspicious pictures" in words and "200 of the others" in words
    assert "up to 1.5% of such pictures" in words
    assert "ultrafm sign &#39;data manifests/a.yaml&#39; --out curated --by &#34;NAME&#34;" in words
    assert external_references(html) == []
    assert html.count('<img loading="lazy" decoding="async"') == 600
    assert "patient0" not in html
    assert not list(tmp_path.glob(".*"))


def test_page_is_the_same_every_time(tmp_path):
    assert written(tmp_path, table(30)) == written(tmp_path / "again", table(30).iloc[::-1])


def test_every_picture_has_its_name_its_size_and_its_other_doubts(tmp_path):
    kept = table(2, text_marks=[1, 0], colour=[True, False])
    html = written(tmp_path, kept, images="simulated")
    figures = re.findall(r"<figure>.*?</figure>", html, re.DOTALL)
    assert len(figures) == 2 and all("simulated picture" in figure for figure in figures)
    assert f"<code>{SITE}/{0:016x}</code>" in figures[0] and f"also: {DOUBTS[4].words}" in figures[0]
    assert "also" not in figures[1] and 'width="9" height="6"' in figures[1]
    data = re.search(r"base64,([^\"]+)", figures[1])[1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert picture.shape == (6, 9) and np.abs(picture.astype(int) - 1).max() <= 1
    assert "no person was scanned" in html


def test_site_without_signature_says_so(tmp_path):
    html = written(tmp_path, table(1), sign=False)
    assert "asks for no signature" in html and "no training reads the store" not in html
    assert "no training reads the store" in written(tmp_path, table(1))


def test_fault_in_the_middle_leaves_nothing_behind(tmp_path):
    def broken(ids):
        yield from gallery(ids[:3])
        raise OSError("the disk is gone")

    target = tmp_path / "contact_sheet.html"
    with pytest.raises(OSError, match="the disk is gone"):
        write_contact_sheet(target, sheet(), table(9), broken, "m.yaml", "out")
    with pytest.raises(UltraFMError, match="9 pictures"):
        write_contact_sheet(target, sheet(), table(9), lambda ids: gallery(ids[:3]), "m.yaml", "out")
    assert list(tmp_path.iterdir()) == []


def test_pictures_pass_through_memory_one_at_a_time(tmp_path):
    generator = np.random.default_rng(0)

    def noisy(ids):
        for image_id in ids:
            yield Picture(image_id, generator.integers(0, 256, (256, 192), dtype=np.uint8))

    target, kept = tmp_path / "contact_sheet.html", table(400)
    write_contact_sheet(target, sheet(), kept.head(1), noisy, "m.yaml", "out")  # loads templates
    tracemalloc.start()
    write_contact_sheet(target, sheet(), kept, noisy, "m.yaml", "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert target.stat().st_size > 12e6 and peak < 3e6
