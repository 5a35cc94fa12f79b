"""From the room's file to the ratings table that `ultrafm readers analyse` takes. Only here readings meet the truth."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd

from ultrafm.errors import UltraFMError
from ultrafm.files import replacing
from ultrafm.readers.ratings import AI_MODALITY, AI_NAME
from ultrafm.readers.room.protocol import HEALTHY, TRAINING
from ultrafm.readers.room.readings import withdrawn
from ultrafm.readers.room.registered import Study, study_truth
from ultrafm.readers.room.registration import require_known
from ultrafm.readers.room.store import Store

COLUMNS = (
    *("reader", "modality", "case", "truth", "rating", "disease", "level", "years", "patient", "site", "diagnosis"),
    *("seconds", "session", "region", "at", "simulated", "images", "protocol", "deviation"),
)
QUERY = """
SELECT readings.*, disease, rating,
    (SELECT count(*) FROM sessions AS earlier WHERE earlier.who = sessions.who AND earlier.id <= sessions.id) AS entry
FROM readings JOIN ratings ON ratings.reading = readings.id JOIN sessions ON sessions.id = readings.session
WHERE part != ? ORDER BY readings.id, disease
"""


def export_ratings(store: Store, study: Study, path: Path) -> pd.DataFrame:
    """Write the ratings table as CSV that its owner alone may read. Raises UltraFMError as `ratings_table` does."""
    table = ratings_table(store, study)
    with replacing(Path(path)) as temporary:
        temporary.touch(mode=0o600)  # it holds the truth
        temporary.write_text(table.to_csv(index=False), encoding="utf-8")
    return table


def ratings_table(store: Store, study: Study) -> pd.DataFrame:
    """One row per reader, modality, case and disease, and where the study compares with the AI its rows too.

    session: number of the reader's sign-in. seconds: see `timing`. region: left, top, right, bottom, frame, in pixels
    of the store's picture, as JSON. at: when it was kept (UTC). simulated: "yes" in a demonstration, whose readings
    count for nobody's. protocol: hash under which it was read; deviation: why that is not the registered one. Readers
    who withdrew are left out.
    Raises UltraFMError before the first reading, and for a study that is neither registered nor an accepted deviation.
    """
    require_known(store, study)
    gone = withdrawn(store)
    rows = [row for row in store.rows(QUERY, TRAINING) if row["reader"] not in gone]
    if not rows:
        raise UltraFMError(str(store.path), "no reading yet", "at least one, training aside")
    truth = study_truth(study)
    made = [_row(dict(row), study, truth) for row in rows]
    if study.protocol.analysis.against_ai:
        made += _ai_rows(study, truth)
    return pd.DataFrame(made, columns=[*COLUMNS])


def _row(row: dict, study: Study, truth: dict[tuple[str, str], int]) -> dict:
    reader, case = study.protocol.reader(row["reader"]), study.cases.get(row["item"])
    if reader is None or case is None or (case.name, row["disease"]) not in truth:
        found = f"a reading of {row['reader']!r}, case {row['item']!r}, {row['disease']!r}"
        mend = "export with the STUDY.yaml under which it was made"
        raise UltraFMError(str(study.path), f"nothing of {found}, which the room's file has", "all that was read", mend)
    return _about_case(study, case.name, truth, row["disease"]) | {
        "reader": row["reader"], "modality": row["part"], "rating": row["rating"], "level": reader.level,
        "years": reader.years, "diagnosis": row["diagnosis"], "seconds": round(row["seconds"], 1),
        "session": row["entry"], "region": _region(row["region"]), "at": _utc(row["at"]),
        "simulated": "yes" if study.protocol.demonstration else "no", "protocol": row["protocol"],
        "deviation": row["deviation"] or "",
    }  # fmt: skip


def _about_case(study: Study, name: str, truth: dict[tuple[str, str], int], disease: str) -> dict:
    case = study.cases[name]
    images = "simulated" if case.simulated else "real"
    about = {"case": name, "patient": case.patient, "site": case.site, "images": images}
    return about | {"disease": disease, "truth": truth[name, disease]}


def _ai_rows(study: Study, truth: dict[tuple[str, str], int]) -> list[dict]:
    """The AI's score of every case, as rating from 0 to 100; its diagnosis is the highest score above its threshold."""
    ai = study.protocol.ai
    if ai is None:
        return []
    fixed = {"reader": ai.name, "modality": AI_MODALITY, "level": AI_NAME, "simulated": "no", "protocol": study.hash}
    rows = []
    for (name, disease), score in study.scores.items():
        scores = {key[1]: value for key, value in study.scores.items() if key[0] == name}
        highest = max(scores, key=lambda one: scores[one])
        diagnosis = highest if scores[highest] >= ai.threshold else HEALTHY
        about = _about_case(study, name, truth, disease)
        rows.append(about | fixed | {"rating": 100 * score, "diagnosis": diagnosis, "deviation": ""})
    return rows


def _region(text: str | None) -> str:
    if text is None:
        return ""
    box = json.loads(text)
    return json.dumps([box[name] for name in ("left", "top", "right", "bottom", "frame")])


def _utc(at: float) -> str:
    return pd.Timestamp(at, unit="s").strftime("%Y-%m-%dT%H:%M:%SZ")


def analyse_command(study: Study, ratings: str) -> str:
    """The registered analysis as the command line that runs it."""
    chosen, ai = study.protocol.analysis, study.protocol.ai
    words = ["ultrafm", "readers", "analyse", ratings, "--covariance", chosen.covariance, "--endpoint", chosen.endpoint]
    if chosen.against_ai and ai is not None:
        words += ["--ai", ai.name]
        if chosen.threshold is not None:
            words += ["--ai-threshold", f"{100 * ai.threshold:g}"]
    for name in ("cluster", "margin", "equivalence", "by", "threshold", "min_specificity"):
        value = getattr(chosen, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else value]
    for claim in chosen.claims:
        words += ["--claim", claim]
    return shlex.join(words)
