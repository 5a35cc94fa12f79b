"""Load on the reading room: readers who read at once, while the server is killed. `python -m tests.bench_room`.

Every reader reads 50 cases unaided and aided as fast as the room answers (no time to think), which is far more than
people do. After each run the store is compared with what was sent.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.readers.room.made_room import Server, fields_of, free_port, make_store, make_study, write_fields

READERS, CASES, KILLS = 20, 50, 5
GIVE_UP = 120.0  # seconds without an answer


@dataclass
class Patient:
    """One reader who sends everything again until it is answered, and remembers what was answered and how fast."""

    code: str
    base: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"page": [], "picture": [], "submit": []})
    sent: list[int] = field(default_factory=list)
    repeats: int = 0

    def ask(self, client: httpx.Client, kind: str, method: str, path: str, **more) -> httpx.Response:
        """Ask until the server answers."""
        started = time.monotonic()
        while time.monotonic() - started < GIVE_UP:
            begun = time.monotonic()
            try:
                reply = client.request(method, path, **more)
            except httpx.TransportError:
                self.repeats += 1
                time.sleep(0.2)
                continue
            self.seconds[kind].append(time.monotonic() - begun)
            return reply
        raise TimeoutError(f"{self.code}: no answer from {path}")

    def read(self, secret: str, think: float) -> None:
        """Read until there is no case left."""
        with httpx.Client(base_url=self.base, timeout=30) as client:
            self.ask(client, "page", "POST", f"/enter/{secret}", data={"code": self.code, "consent": "yes"})
            while True:
                page = self.ask(client, "page", "GET", "/read").text
                if 'data-page="' not in page:
                    return
                token = page.split('data-page="', 1)[1].split('"', 1)[0]
                self.ask(client, "picture", "GET", f"/picture/{token}/0")
                time.sleep(think)
                rating = (len(self.sent) * 7 + int(self.code[1:])) % 101
                data = {"page": token, "rating-0": str(rating), "diagnosis": "healthy"}
                headers = {"accept": "application/json"}
                reply = self.ask(client, "submit", "POST", "/submit", data=data, headers=headers)
                if reply.json()["next"] == "/read":
                    self.sent.append(rating)


def run_load(folder: Path, readers: int = READERS, cases: int = CASES, kills: int = KILLS, think: float = 0.0) -> dict:
    """Let readers read a made study, kill the server, compare; numbers of readings sent, kept, lost and doubled."""
    path = make_study(folder, cases=3, training=0, clips=0)
    images, _clips = make_store(folder / "curated", cases, 0, "site_02_load")
    scores = [f"{name},breast cancer,0.5" for name in images]
    (folder / "scores.csv").write_text("\n".join(["case,disease,score", *scores]))
    people = [{"code": f"R{number}", "level": "expert", "years": 1} for number in range(readers)]
    write_fields(path, fields_of(images, [], []) | {"readers": people})
    server = Server(path, free_port())
    server.start()
    patients = [Patient(f"R{number}", f"http://127.0.0.1:{server.port}") for number in range(readers)]
    started = time.monotonic()
    done = threading.Event()
    with ThreadPoolExecutor(readers + 1) as pool:
        killing = pool.submit(_kill_often, server, patients, 2 * cases * readers, kills, done)
        tasks = [pool.submit(one.read, server.links[one.code].rsplit("/", 1)[1], think) for one in patients]
        for task in tasks:
            task.result()
        done.set()
        killed = killing.result()
    wall = time.monotonic() - started
    server.kill()
    return _compared(path, patients, 2 * cases, killed, wall)


def _kill_often(server: Server, patients: list[Patient], expected: int, kills: int, done: threading.Event) -> int:
    """Kill the server and start it again whenever a further part of all readings was sent; how often."""
    for turn in range(1, kills + 1):
        while sum(len(one.sent) for one in patients) < expected * turn / (kills + 1):
            if done.wait(0.02):
                return turn - 1
        server.kill()
        server.start()
    return kills


def _compared(path: Path, patients: list[Patient], each: int, killed: int, wall: float) -> dict:
    """The store beside what was sent."""
    store = sqlite3.connect(path.with_suffix(".sqlite"))
    query = "SELECT rating FROM readings JOIN ratings ON reading = id WHERE reader = ? ORDER BY id"
    kept = {one.code: [row[0] for row in store.execute(query, (one.code,))] for one in patients}
    doubled = "SELECT count(*) - count(DISTINCT reader || '/' || part || '/' || item) FROM readings"
    times = {kind: [value for one in patients for value in one.seconds[kind]] for kind in patients[0].seconds}
    return {
        "readers": len(patients), "submissions_each": each, "kills": killed,
        "sent": sum(len(one.sent) for one in patients), "kept": sum(map(len, kept.values())),
        "differing_readers": sum(kept[one.code] != one.sent for one in patients),
        "lost": sum(max(0, len(one.sent) - len(kept[one.code])) for one in patients),
        "doubled": store.execute(doubled).fetchone()[0], "repeated_requests": sum(one.repeats for one in patients),
        "median_ms": {kind: round(1000 * statistics.median(values), 1) for kind, values in times.items()},
        "p95_ms": {kind: round(1000 * statistics.quantiles(values, n=20)[18], 1) for kind, values in times.items()},
        "integrity": store.execute("PRAGMA integrity_check").fetchone()[0], "seconds": round(wall, 1),
    }  # fmt: skip


def main() -> None:
    """Without time to think, and with half a second of it."""
    for think in (0.0, 0.5):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{think:g} s to think:", json.dumps(run_load(Path(folder), think=think), indent=1))


if __name__ == "__main__":
    main()
