"""A small curated store and study, made in a moment; a room in this process or in one of its own; a reader by HTTP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml
from fastapi.testclient import TestClient

from ultrafm.curation.identity.release import Release, write_release
from ultrafm.curation.store import COLUMNS, encode_png, store_files, write_store
from ultrafm.readers.room.access import Knocks, make_links, reader_name
from ultrafm.readers.room.app import Room, create_app
from ultrafm.readers.room.registered import load_study
from ultrafm.readers.room.registration import Watch, register
from ultrafm.readers.room.store import Store
from ultrafm.study import REPOSITORY

SITE, SIZE, FRAMES = "site_01_made", 40, 4
EMPTY = {"string": "", "int32": 0, "float32": 0.0, "float64": 0.0, "bool": False, "picture": None}


def row_of(number: int, place: int, clip: str | None, generator: np.random.Generator, site: str) -> dict[str, Any]:
    """A row of the store; patients are numbered, even ones are ill."""
    cells = {name: [] if "numbers" in kind else EMPTY[kind] for name, kind in COLUMNS.items()}
    picture = encode_png(generator.integers(0, 256, (SIZE, SIZE + 8), dtype=np.uint8))
    name = f"{site}/{number:03d}{place}"
    cells |= {"image_id": name, "site": site, "patient": f"p{number}", "clip": clip, "image": picture}
    cells |= {"sector": picture, "structures": "{}", "label": ("malignant", "benign")[number % 2], "organ": "breast"}
    return cells | {"fold": "test", "sha256": f"{number:03d}{place}", "simulated": True}


def make_store(curated: Path, cases: int, clips: int = 1, site: str = SITE) -> tuple[list[str], list[str]]:
    """Write a store of `cases` single pictures and `clips` clips; their names. Frames lie backwards in the store."""
    generator = np.random.default_rng(3)
    rows = [row_of(number, 0, None, generator, site) for number in range(cases)]
    frames = []
    for number in range(cases, cases + clips):
        made = [row_of(number, place, f"clip{number}", generator, site) for place in range(FRAMES)]
        frames += [(one["image_id"], FRAMES - place) for place, one in enumerate(made)]
        rows += made
    folder = curated / site
    content = write_store(rows, len(rows), folder / "store", "CC0", "none")
    write_release(folder, Release(content, False, files=store_files(folder / "store")))
    (folder / "house").mkdir()
    lines = [f"{name},x.avi,{frame},1" for name, frame in frames]
    (folder / "house" / "files.csv").write_text("\n".join(["image_id,file,frame,row", *lines]) + "\n")
    return [row["image_id"] for row in rows[:cases]], [f"clip{number}" for number in range(cases, cases + clips)]


def fields_of(images: list[str], clips: list[str], training: list[str]) -> dict[str, Any]:
    """A demonstration with two readers, both parts and no washout."""
    return {
        "title": "Made study", "demonstration": True, "seed": 4, "curated": "curated",
        "cases": {"images": images, "clips": clips}, "training": {"images": training},
        "diseases": [{"name": "breast cancer", "positive": ["malignant"], "negative": ["benign"]}],
        "truth": {"reference": "the maker"},
        "readers": [{"code": "R1", "level": "junior", "years": 2}, {"code": "R2", "level": "expert", "years": 15}],
        "design": {"parts": ["unaided", "aided"], "washout_days": 0},
        "ai": {"scores": "scores.csv", "threshold": 0.5},
        "analysis": {"primary": "AUROC, aided minus unaided"},
    }  # fmt: skip


def make_study(folder: Path, cases: int = 12, training: int = 1, clips: int = 1, **changes: Any) -> Path:
    """Write store, scores and STUDY.yaml; `cases` counts the clips too. changes: top-level fields."""
    images, moving = make_store(folder / "curated", cases - clips + training, clips)
    shown, practice = images[: cases - clips], images[cases - clips :]
    lines = [f"{name},breast cancer,{0.05 + 0.9 * place / cases:.3f}" for place, name in enumerate([*shown, *moving])]
    (folder / "scores.csv").write_text("\n".join(["case,disease,score", *lines]) + "\n")
    return write_fields(folder / "STUDY.yaml", fields_of(shown, moving, practice) | changes)


def write_fields(path: Path, fields: dict[str, Any]) -> Path:
    """Write STUDY.yaml."""
    path.write_text(yaml.safe_dump(fields, sort_keys=False))
    return path


def change_fields(path: Path, **changes: Any) -> Path:
    """Change top-level fields of STUDY.yaml; None takes one out."""
    fields = {name: value for name, value in (yaml.safe_load(path.read_text()) | changes).items() if value is not None}
    return write_fields(path, fields)


@dataclass
class Clock:
    """A clock that stands until it is told to go on."""

    at: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class MadeRoom:
    """A room in this process: browsers by `browser()`, secrets by who."""

    room: Room
    secrets: dict[str, str]
    clock: Clock
    app: Any = field(repr=False)

    def browser(self) -> TestClient:
        return TestClient(self.app, base_url="http://127.0.0.1", follow_redirects=False)

    def reader(self, code: str) -> Reader:
        """A browser that is let in."""
        reader = Reader(self.browser(), code)
        assert reader.enter(self.secrets[reader_name(code)]).headers["location"] == "/read"
        return reader

    def office(self) -> TestClient:
        browser = self.browser()
        assert browser.post(f"/enter/{self.secrets['office']}").headers["location"] == "/office"
        return browser


def open_room(path: Path, reason: str | None = None) -> MadeRoom:
    """The room of a study, with new links."""
    clock = Clock()
    study, store = load_study(path), Store(path.with_suffix(".sqlite"), clock)
    deviation = register(store, study, reason)
    whom = ["office", *(reader_name(one.code) for one in study.protocol.readers)]
    secrets = make_links(store, whom, whom)
    room = Room(study, store, Watch(study), deviation, knocks=Knocks(clock))
    return MadeRoom(room, secrets, clock, create_app(room, ["127.0.0.1"]))


@dataclass
class Reader:
    """Reads by HTTP as the page's script does."""

    browser: httpx.Client
    code: str

    def enter(self, secret: str) -> httpx.Response:
        return self.browser.post(f"/enter/{secret}", data={"code": self.code, "consent": "yes"})

    def token(self) -> str | None:
        """Open the current case; the token of its page, None when there is none."""
        reply = self.browser.get("/read")
        assert reply.status_code == 200, reply.text
        found = re.search(r'data-page="([^"]+)"', reply.text)
        return found.group(1) if found else None

    def send(self, token: str, rating: object = 70, diagnosis: str = "breast cancer", **fields: object) -> str:
        """Submit; where the room says to go on."""
        data = {"page": token, "rating-0": str(rating), "diagnosis": diagnosis}
        data |= {name: str(value) for name, value in fields.items()}
        reply = self.browser.post("/submit", data=data, headers={"accept": "application/json"})
        assert reply.status_code == 200, reply.text
        return reply.json()["next"]


def read_all(reader: Reader, made: MadeRoom, start: int = 0, most: int = 99) -> list[int]:
    """Read case after case; the ratings sent."""
    sent = []
    while len(sent) < most and (token := reader.token()):
        made.clock.at += 7
        rating = (start + 13 * len(sent)) % 101
        reader.send(token, rating, "breast cancer" if rating >= 50 else "healthy")
        sent.append(rating)
    return sent


def readings(made: MadeRoom) -> list[tuple]:
    """What the store holds of answers."""
    columns = "reader, part, item, diagnosis, region, disease, rating"
    query = f"SELECT {columns} FROM readings JOIN ratings ON reading = readings.id"
    return [tuple(row) for row in made.room.store.rows(query)]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """The room as a process of its own, started by the command."""

    path: Path
    port: int
    process: subprocess.Popen[str] | None = None
    links: dict[str, str] = field(default_factory=dict)

    def start(self, *more: str) -> None:
        """Start it and wait until it answers; remembers the links that it tells."""
        words = [sys.executable, "-m", "ultrafm", "readers", "room", str(self.path), "--port", str(self.port), *more]
        log = self.path.with_suffix(".log").open("w")
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(words, stdout=log, stderr=log, text=True, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/static/room.css", timeout=1)
                break
            except httpx.TransportError:
                assert self.process.poll() is None, self.path.with_suffix(".log").read_text()
                time.sleep(0.05)
        told = re.findall(r"^(\S+)\s+(http\S+/enter/\S+)$", self.path.with_suffix(".log").read_text(), re.MULTILINE)
        self.links |= dict(told)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
