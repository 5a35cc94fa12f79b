"""The room in headless Chromium: second tab, going back, pauses, a server that is away, a region that is not whole."""

from __future__ import annotations

import re

import pytest
from made_browser import MARKS, answer, enter, open_page, read_on, ready, server_rows
from made_room import Server

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = MARKS


def test_a_second_tab_going_back_and_a_pause(browser: playwright.Browser, server: Server) -> None:
    server.start()
    older = open_page(browser)
    enter(older, server.links["R1"], "R1")
    ready(older)
    newer = older.context.new_page()
    newer.goto(older.url)
    older.get_by_label("breast cancer", exact=True).first.fill("11")
    older.locator("#diagnosis-healthy").check()
    older.get_by_role("button", name="Submit").click()
    playwright.expect(older.get_by_role("heading", name="opened again elsewhere")).to_be_visible()
    assert server_rows(server, "SELECT count(*) FROM readings") == [(0,)]
    older.close()
    read_on(newer, [22, 33])
    ready(newer)
    title = newer.title()
    newer.go_back()
    newer.wait_for_load_state()
    newer.goto(re.sub(r"/[^/]*$", "/read", newer.url))
    ready(newer)
    assert newer.title() == title == "Case 2 of 12"
    newer.get_by_role("button", name="Pause").click()
    playwright.expect(newer.get_by_role("heading", name="Paused")).to_be_visible()
    assert newer.locator("#picture").evaluate("one => getComputedStyle(one).visibility") == "hidden"
    newer.wait_for_timeout(2500)
    newer.get_by_role("button", name="Resume").click()
    playwright.expect(newer.get_by_role("heading", name="Paused")).to_be_hidden()
    newer.evaluate("() => Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    newer.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")  # as if put behind another tab
    playwright.expect(newer.get_by_role("heading", name="Paused")).to_be_visible()
    newer.evaluate("() => { delete document.hidden; }")
    newer.keyboard.press("p")
    playwright.expect(newer.get_by_role("heading", name="Paused")).to_be_hidden()
    read_on(newer, [44])
    assert server_rows(server, "SELECT rating FROM ratings ORDER BY reading") == [(22,), (33,), (44,)]
    kinds = [
        row[0] for row in server_rows(server, "SELECT kind FROM events WHERE kind IN ('paused', 'resumed') ORDER BY id")
    ]
    assert kinds == ["paused", "resumed"] * 2
    started, ended, seconds = server_rows(
        server, "SELECT pages.at, readings.at, seconds FROM readings JOIN pages ON pages.id = page ORDER BY readings.id"
    )[-1]
    assert seconds <= ended - started - 2.5


def test_pauses_are_told_when_the_server_is_back_and_a_closed_lid_pauses(
    browser: playwright.Browser, server: Server
) -> None:
    server.start()
    page = open_page(browser)
    enter(page, server.links["R1"], "R1")
    ready(page)
    server.kill()
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(1200)
    page.get_by_role("button", name="Resume").click()
    page.wait_for_timeout(1500)
    playwright.expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    server.start()
    playwright.expect(page.get_by_role("heading", name="Paused")).to_be_hidden(timeout=15_000)
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 3_600_000; }")  # as if it had slept an hour
    playwright.expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    playwright.expect(page.get_by_role("heading", name="Paused")).to_be_hidden()
    kinds = [row[0] for row in server_rows(server, "SELECT kind FROM events WHERE page IS NOT NULL ORDER BY id")]
    assert kinds == ["asleep", "resumed"] * 2
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Sign out").click()
    playwright.expect(page.get_by_role("heading", name="personal link")).to_be_visible()
    page.goto(f"http://127.0.0.1:{server.port}/read")
    playwright.expect(page.get_by_role("heading", name="personal link")).to_be_visible()


def test_a_region_that_is_not_whole_is_told_before_anything_is_sent(
    browser: playwright.Browser, server: Server
) -> None:
    server.start()
    page = open_page(browser)
    enter(page, server.links["R1"], "R1")
    ready(page)
    page.get_by_label("breast cancer", exact=True).first.fill("30")
    page.locator("#diagnosis-healthy").check()
    page.locator("#left").fill("20")
    for right, bottom in (("", ""), ("20", "9"), ("25", "5")):
        page.locator("#top").fill("5")
        page.locator("#right").fill(right)
        page.locator("#bottom").fill(bottom)
        page.get_by_role("button", name="Submit").click()
        page.wait_for_timeout(200)
        assert page.locator("#rating-0").input_value() == "30" and page.locator("#submit").is_enabled()
    assert server_rows(server, "SELECT count(*) FROM readings") == [(0,)]
    page.get_by_role("button", name="Remove").click()
    stage = page.locator("#stage").bounding_box()
    for kind, across in (("pointerdown", 200), ("pointermove", 300), ("pointerup", 300)):  # a second finger
        where = {"clientX": stage["x"] + across, "clientY": stage["y"] + across, "pointerId": 7, "isPrimary": False}
        page.locator("#stage").dispatch_event(kind, where)
    page.mouse.move(stage["x"] + 200, stage["y"] + 200)
    page.mouse.down(button="right")
    page.mouse.move(stage["x"] + 300, stage["y"] + 300)
    page.mouse.up(button="right")
    answer(page, 30)
    assert server_rows(server, "SELECT region FROM readings") == [(None,)]
