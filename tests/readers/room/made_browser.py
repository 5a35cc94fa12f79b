"""What tests do in a browser: open the room, enter, answer by mouse or by keys."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from made_room import Server

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no Chromium at {CHROMIUM} (apt-get install chromium)"),
]


def open_page(browser: playwright.Browser, width: int = 1280) -> playwright.Page:
    """A tab of a browser of its own, in which any error of the page's script fails the test."""
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"script: {error}"))
    return page


def enter(page: playwright.Page, link: str, code: str) -> None:
    """Type the identity code and consent."""
    page.goto(link)
    page.get_by_label("Your identity code").fill(code)
    if page.locator("#consent").count():
        page.locator("#consent").check()
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url("**/read")


def ready(page: playwright.Page) -> int:
    """Wait for all frames of a case; how many."""
    count = page.locator("#stage").get_attribute("data-frames")
    playwright.expect(page.locator("#stage")).to_have_attribute("data-loaded", count)
    return int(count)


def answer(page: playwright.Page, rating: int, keys: bool = False) -> None:
    """Answer the case, by mouse or by keys alone, and wait for what comes next."""
    ready(page)
    before = page.locator("#stage").get_attribute("data-page")
    if keys:
        page.keyboard.press("v")
        page.keyboard.press("r")
        page.keyboard.type(str(rating))
        page.keyboard.press("d")
        page.keyboard.press("Space")
        if rating < 50:
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    else:
        page.get_by_label("breast cancer", exact=True).first.fill(str(rating))
        page.locator("#diagnosis-0" if rating >= 50 else "#diagnosis-healthy").check()
        page.get_by_role("button", name="Submit").click()
    playwright.expect(page.locator(f'form [value="{before}"]')).to_have_count(0, timeout=60_000)


def read_on(page: playwright.Page, ratings: list[int], keys: bool = False) -> None:
    """Answer case after case; after a training case go on from its feedback."""
    for rating in ratings:
        answer(page, rating, keys)
        page.wait_for_load_state()
        if "what it was" in page.title():
            page.keyboard.press("Enter") if keys and page.locator("#next:focus").count() else page.locator(
                "#next"
            ).click()
            page.wait_for_url("**/read")


def numbers(start: int) -> list[int]:
    """25 ratings: training, 12 unaided, 12 aided."""
    return [(start + 37 * place) % 101 for place in range(25)]


def server_rows(server: Server, query: str) -> list[tuple]:
    """What a running room's file holds."""
    return sqlite3.connect(server.path.with_suffix(".sqlite")).execute(query).fetchall()
