"""Pages: nothing fetched, code folded, everything from outside escaped, failures in plain sight."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from notebook_kit import make_notebook

from ultrafm.reporting.html import Page, external_references, write_page
from ultrafm.reporting.parameters import read_notebook

RUN = {
    "profile": "smoke", "seed": 4, "git_commit": "0123456789abcdef", "git_changed": True,
    "versions": {"python": "3.11.7"}, "device": "cpu",
    "steps": {"30_diagnosis": {"status": "finished", "seconds": 75.2, "peak_memory_bytes": 2**30}},
}  # fmt: skip
PAGES = [
    Page("20_pretrain", "20_pretrain.html"),
    Page("30_diagnosis", "30_diagnosis.html"),
    Page("90_report", "r.html"),
]
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A page with every kind of output, some of them hostile."""
    notebook = make_notebook(tmp_path / "30_diagnosis.ipynb", "secret_call()", "second()")
    book = read_notebook(notebook)
    injected = nbformat.v4.new_code_cell(
        "# Parameters\nseed = 3\nextra = '/srv/someone/reports/smoke'", metadata={"tags": ["injected-parameters"]}
    )
    book.cells.insert(2, injected)
    book.cells[4].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="10%\r50%\r<script>alert(1)</script>\n"),
        nbformat.v4.new_output("display_data", {"image/png": DOT}, metadata={"image/png": {"alt": 'a "dot"'}}),
        nbformat.v4.new_output("display_data", {"image/png": DOT}),
        nbformat.v4.new_output("display_data", {"application/javascript": "fetch('https://evil.example')"}),
        nbformat.v4.new_output("execute_result", {"text/plain": "<Figure & more>"}),
    ]
    nbformat.write(book, notebook)
    return write_page(notebook, tmp_path / "page.html", RUN, PAGES).read_text()


def test_page_fetches_nothing_and_is_light(page: str) -> None:
    assert external_references(page) == []
    assert "<script" not in page and "cdnjs" not in page and "evil.example" not in page
    assert len(page) < 40_000


def test_code_is_folded_not_removed(page: str) -> None:
    folded = BeautifulSoup(page, "html.parser").select("details.code")
    assert ["secret_call" in fold.get_text() for fold in folded] == [True, False]
    assert not any(fold.has_attr("open") for fold in folded)


def test_text_from_outside_is_escaped_and_progress_shows_its_last_state(page: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "50%" not in page
    assert "&lt;Figure &amp; more&gt;" in page


def test_every_picture_has_a_description(page: str) -> None:
    alts = [image["alt"] for image in BeautifulSoup(page, "html.parser").find_all("img")]
    assert alts == ['a "dot"', "Figure in the section “Part 1”"]


def test_parameters_are_a_table_of_what_was_run(page: str) -> None:
    rows = BeautifulSoup(page, "html.parser").select("table.parameters tbody tr")
    cells = {row.th.get_text(): [cell.get_text() for cell in row.find_all("td")] for row in rows}
    assert cells["seed"] == ["3", "0", "the seed"]
    assert cells["share"] == ["0.5", "the same", "a share"]
    assert cells["extra"][0] == "'…/reports/smoke'" and "someone" not in page


def test_page_tells_where_its_numbers_come_from_and_leads_on(page: str) -> None:
    soup = BeautifulSoup(page, "html.parser")
    told = soup.select_one(".provenance").get_text(" ")
    assert all(word in told for word in ("0123456789ab", "not committed", "seed 4", "1 min 15 s", "1.0 GiB", "cpu"))
    links = {link.get("rel", [""])[0]: link["href"] for link in soup.select("body > nav .around a")}
    assert links == {"prev": "20_pretrain.html", "next": "r.html"}
    assert soup.select_one("nav .home")["href"] == "index.html"
    assert soup.title.get_text() == "Title"
    assert [item.get_text() for item in soup.select(".contents li")] == []


def test_long_pages_have_a_list_of_their_sections(tmp_path: Path) -> None:
    notebook = make_notebook(tmp_path / "a.ipynb", "1", "2", "3")
    soup = BeautifulSoup(write_page(notebook, tmp_path / "a.html", {}, []).read_text(), "html.parser")
    for link in soup.select(".contents a"):
        assert soup.find(id=link["href"][1:]) is not None
    assert len(soup.select(".contents a")) == 3
    assert soup.select_one(".provenance") is None


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ('<link href="//fonts.example/a.css">', ["//fonts.example/a.css"]),
        ('<img src="http://x.example/a" srcset="//y.example/b 2x">', ["http://x.example/a", "//y.example/b"]),
        ("<style>@import 'https://a.example/s.css';</style>", ["https://a.example/s.css"]),
        ("<style>b {background: url(https://c.example/d)}</style>", ["https://c.example/d"]),
        ('<p style="background: url(\'https://e.example/f\')">', ["https://e.example/f"]),
        ('<script>import m from "https://m.example/m.mjs"</script>', ["https://m.example/m.mjs"]),
        ('<img src="file:///etc/passwd">', ["file:///etc/passwd"]),
        ('<a href="https://doi.example/1">read</a><img src="data:image/png;base64,AA"><img src="near.png">', []),
    ],
)  # fmt: skip
def test_external_references(html: str, found: list[str]) -> None:
    assert external_references(html) == found


def test_floods_of_text_are_cut(tmp_path: Path) -> None:
    notebook = make_notebook(tmp_path / "a.ipynb", "1")
    book = read_notebook(notebook)
    book.cells[3].outputs = [nbformat.v4.new_output("stream", text="\n".join(f"line {n}." for n in range(1000)))]
    nbformat.write(book, notebook)
    page = write_page(notebook, tmp_path / "a.html", {}, []).read_text()
    assert "line 299." in page and "line 300." not in page and "700 more lines" in page
