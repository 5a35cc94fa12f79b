"""The room in headless Chromium: two readers read a study to its end, one of them over a kill -9 of the server."""

from __future__ import annotations

from pathlib import Path

import httpx
import pandas as pd
import pytest
from made_browser import MARKS, answer, enter, numbers, open_page, read_on, ready, server_rows
from made_room import Server, make_study

from ultrafm.cli import main
from ultrafm.curation.store import decode_png
from ultrafm.readers.room.registered import load_study, study_truth
from ultrafm.readers.room.schedule import order_of

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = MARKS


def test_two_readers_read_a_study_over_a_kill_and_the_export_is_what_they_typed(
    browser: playwright.Browser, server: Server, tmp_path: Path, capsys
) -> None:
    server.start()
    one, two = open_page(browser), open_page(browser, 768)
    typed = {"R1": numbers(3), "R2": numbers(60)}
    enter(one, server.links["R1"], "R1")
    enter(two, server.links["R2"], "R2")
    read_on(one, typed["R1"][:7])
    read_on(two, typed["R2"][:20], keys=True)
    ready(one)
    one.get_by_label("breast cancer", exact=True).first.fill(str(typed["R1"][7]))
    one.locator("#diagnosis-0" if typed["R1"][7] >= 50 else "#diagnosis-healthy").check()
    server.kill()  # -9, with an answer typed and not sent
    before = one.locator("#stage").get_attribute("data-page")
    one.get_by_role("button", name="Submit").click()
    playwright.expect(one.locator("#state")).to_contain_text("Not kept yet")
    server.start()
    playwright.expect(one.locator(f'form [value="{before}"]')).to_have_count(0, timeout=60_000)
    read_on(one, typed["R1"][8:])
    read_on(two, typed["R2"][20:], keys=True)
    for page in (one, two):
        playwright.expect(page.get_by_role("heading", name="Finished")).to_be_visible()

    office = open_page(browser)
    office.goto(server.links["office"])
    office.get_by_role("button", name="Open").click()
    playwright.expect(office.locator("table").first).to_contain_text("12 of 12")
    with office.expect_download() as loading:
        office.get_by_role("link", name="Export").click()
    loading.value.save_as(tmp_path / "ratings.csv")
    table, study = pd.read_csv(tmp_path / "ratings.csv"), load_study(server.path)
    truth = study_truth(study)
    for code, ratings in typed.items():
        mine = table[table["reader"] == code]
        order = [(part, name) for part in ("unaided", "aided") for name in order_of(study, code, part)]
        expected = [
            (part, name, truth[name, "breast cancer"], rating, "breast cancer" if rating >= 50 else "healthy")
            for (part, name), rating in zip(order, ratings[1:], strict=True)
        ]
        assert (
            list(mine[["modality", "case", "truth", "rating", "diagnosis"]].itertuples(index=False, name=None))
            == expected
        )
    assert len(table) == 48 and (table["seconds"] > 0).all()
    assert main(["readers", "analyse", str(tmp_path / "ratings.csv"), "--cluster", "patient"]) == 0
    assert study.hash in capsys.readouterr().out


def test_every_grey_value_is_shown_as_it_is(browser: playwright.Browser, server: Server) -> None:
    server.start()
    page = open_page(browser)
    enter(page, server.links["R1"], "R1")
    ready(page)
    shown = page.evaluate(
        "() => [...document.querySelector('#picture').getContext('2d').getImageData(0, 0, 48, 40).data]"
    )
    study = load_study(server.path)
    stored = decode_png(next(iter(study.training.values())).frames[0])
    assert [shown[colour::4] for colour in range(3)] == [stored.ravel().tolist()] * 3
    assert len(set(shown[::4])) > 200


def test_the_viewer_zooms_windows_plays_and_marks(browser: playwright.Browser, server: Server) -> None:
    (server.path.parent / "clips").mkdir()
    server.path = make_study(server.path.parent / "clips", cases=2, training=0, clips=2)
    server.start()
    page = open_page(browser)
    enter(page, server.links["R1"], "R1")
    assert ready(page) == 4

    def grey() -> list[int]:
        return page.evaluate(
            "() => [...document.querySelector('#picture').getContext('2d').getImageData(0, 0, 4, 1).data]"
        )

    def style() -> str:
        return page.locator("#picture").evaluate("one => one.style.transform")

    plain, still = grey(), style()
    page.keyboard.press("v")
    page.keyboard.press("+")
    zoomed = style()
    page.keyboard.press("ArrowLeft")
    assert len({still, zoomed, style()}) == 3
    page.keyboard.press("e")
    assert grey() != plain
    page.keyboard.press("0")
    assert grey() == plain and style() == still
    page.get_by_role("button", name="Dragging moves").click()
    middle = page.locator("#stage").bounding_box()
    page.mouse.move(middle["x"] + 200, middle["y"] + 200)
    page.mouse.down()
    page.mouse.move(middle["x"] + 240, middle["y"] + 215, steps=4)
    page.mouse.up()
    assert style() != still and page.locator("#left").input_value() == ""
    page.get_by_role("button", name="Dragging moves").click()
    page.get_by_role("button", name="Fit the picture").click()
    assert style() == still
    page.keyboard.press(".")
    playwright.expect(page.locator("#frame-shown")).to_have_text("2 / 4")
    assert grey() != plain
    page.keyboard.press("k")
    playwright.expect(page.locator("#frame-shown")).not_to_have_text("2 / 4")
    page.keyboard.press("k")
    page.keyboard.press("0")
    shown = page.locator("#frame-shown").text_content()
    around = page.locator("#picture").bounding_box()
    scale = around["width"] / 48
    page.mouse.move(around["x"] + 10 * scale, around["y"] + 8 * scale)
    page.mouse.down()
    page.mouse.move(around["x"] + 30 * scale, around["y"] + 20 * scale)
    page.mouse.up()
    assert [page.locator(f"#{edge}").input_value() for edge in ("left", "top", "right", "bottom")] == [
        "10",
        "8",
        "30",
        "20",
    ]
    playwright.expect(page.locator("#box")).to_be_visible()
    answer(page, 80)
    rows = pd.DataFrame(server_rows(server, "SELECT region FROM readings"))
    frame = int(shown.split(" / ")[0]) - 1
    assert rows[0][0] == f'{{"left": 10, "top": 8, "right": 30, "bottom": 20, "frame": {frame}}}'


@pytest.mark.parametrize("width", [1280, 768])
def test_nothing_is_cut_off_and_every_control_has_a_name(
    browser: playwright.Browser, server: Server, width: int
) -> None:
    server.start()
    page = open_page(browser, width)
    enter(page, server.links["R1"], "R1")
    ready(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    for box in (page.locator("#stage"), page.get_by_role("button", name="Submit"), page.locator("#right")):
        place = box.bounding_box()
        assert place["x"] >= 0 and place["x"] + place["width"] <= width
    controls = page.locator("button:visible, input:visible, [role=application]").all()
    names = [one.evaluate("e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText") for one in controls]
    assert len(names) > 15 and all(name and name.strip() for name in names)
    assert httpx.get(f"http://127.0.0.1:{server.port}/read").status_code == 401
