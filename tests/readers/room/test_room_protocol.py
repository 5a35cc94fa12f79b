"""STUDY.yaml: what is refused and how it is told; what the hash depends on, and what not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from made_room import SITE, change_fields, make_study
from pydantic import ValidationError

from ultrafm.curation.identity.release import Release, write_release
from ultrafm.curation.store import decode_png, encode_png, read_table, write_store
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_text
from ultrafm.readers.room.protocol import Protocol
from ultrafm.readers.room.registered import changed_fields, load_study, study_truth


def test_a_study_loads_with_its_cases_scores_and_truth(study_path: Path) -> None:
    study = load_study(study_path)
    assert len(study.cases) == 12 and len(study.training) == 1 and len(study.scores) == 12
    clip = study.cases["clip12"]
    assert len(clip.frames) == 4 and (clip.width, clip.height) == (48, 40)
    assert study.images == "simulated" and study.hash == hash_text(study.registered)
    truth = study_truth(study)
    assert sum(truth.values()) == 7 and truth["clip12", "breast cancer"] == 1
    assert set(study.feedback) == {(next(iter(study.training)), "breast cancer")}


def test_frames_of_a_clip_come_in_the_order_of_the_list_that_stays_in_the_house(study_path: Path) -> None:
    frames = load_study(study_path).cases["clip12"].frames
    house = study_path.parent / "curated" / SITE / "house" / "files.csv"
    lines = house.read_text().splitlines()
    turned = [lines[0], *(f"{line.split(',')[0]},x.avi,{place},1" for place, line in enumerate(lines[1:]))]
    house.write_text("\n".join(turned))
    assert load_study(study_path).cases["clip12"].frames == frames[::-1]
    house.unlink()
    with pytest.raises(UltraFMError, match="order of frames"):
        load_study(study_path)


def test_the_hash_ignores_comments_order_of_fields_and_places(study_path: Path, tmp_path: Path) -> None:
    before = load_study(study_path).hash
    fields = yaml.safe_load(study_path.read_text())
    study_path.write_text("# a comment\n" + yaml.safe_dump(fields, sort_keys=True, default_flow_style=True))
    assert load_study(study_path).hash == before
    shutil.move(tmp_path / "curated", tmp_path / "elsewhere")
    shutil.move(tmp_path / "scores.csv", tmp_path / "moved.csv")
    change_fields(study_path, curated="elsewhere", ai={"scores": "moved.csv", "threshold": 0.5})
    assert load_study(study_path).hash == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": "Another"}, "title"),
        ({"seed": 5}, "seed"),
        ({"design": {"parts": ["unaided", "aided"], "washout_days": 1}}, "design"),
        ({"analysis": {"primary": "AUROC, aided minus unaided", "by": "level"}}, "analysis"),
        ({"ai": {"scores": "scores.csv", "threshold": 0.4}}, "ai"),
    ],
)
def test_the_hash_changes_with_what_is_registered(study_path: Path, change: dict, field: str) -> None:
    before = load_study(study_path)
    after = load_study(change_fields(study_path, **change))
    assert after.hash != before.hash and changed_fields(before.registered, after.registered) == [field]


def test_the_hash_changes_with_scores_and_truth(study_path: Path, tmp_path: Path) -> None:
    before = load_study(study_path)
    (tmp_path / "scores.csv").write_text((tmp_path / "scores.csv").read_text().replace("0.050", "0.051"))
    after = load_study(study_path)
    assert changed_fields(before.registered, after.registered) == ["scores of the AI"]
    rows = [f"{name},{disease},{1 - truth}" for (name, disease), truth in study_truth(before).items()]
    rows += [f"{name},breast cancer,1" for name in before.training]
    (tmp_path / "truth.csv").write_text("\n".join(["case,disease,truth", *rows]))
    change_fields(study_path, truth={"source": "file", "file": "truth.csv", "reference": "the maker"})
    other = load_study(study_path)
    assert changed_fields(after.registered, other.registered) == ["truth", "truth of cases"]
    assert study_truth(other) == {key: 1 - value for key, value in study_truth(before).items()}


def rewrite(folder: Path, change: Callable[[dict], dict]) -> None:
    """Write the store anew with every row changed."""
    rows = [change(row) for row in read_table(folder / "curated", SITE).to_pylist()]
    written = [row | {name: row[name] and row[name]["bytes"] for name in ("image", "sector")} for row in rows]
    shutil.rmtree(folder / "curated" / SITE / "store")
    write_store(written, len(rows), folder / "curated" / SITE / "store", "CC0", "none")


def test_the_hash_is_of_the_pictures_that_are_shown_and_of_the_patients(study_path: Path, tmp_path: Path) -> None:
    before = load_study(study_path)
    name = next(iter(before.cases))

    def smaller(row: dict) -> dict:
        picture = {"bytes": encode_png(decode_png(row["image"]["bytes"])[::2, ::2]), "path": None}
        return row | ({"image": picture} if row["image_id"] == name else {})

    rewrite(tmp_path, dict)
    assert load_study(study_path).hash == before.hash
    rewrite(tmp_path, smaller)
    after = load_study(study_path)
    assert changed_fields(before.registered, after.registered) == ["pictures and patients"]
    assert (after.cases[name].width, before.cases[name].width) == (24, 48)
    rewrite(tmp_path, lambda row: row | {"patient": f"{row['patient']}x"})
    assert load_study(study_path).hash not in (before.hash, after.hash)


def test_a_clip_whose_frames_have_several_labels_has_no_truth_from_them(study_path: Path, tmp_path: Path) -> None:
    rewrite(tmp_path, lambda row: row | ({"label": "benign"} if row["image_id"] == f"{SITE}/0122" else {}))
    with pytest.raises(UltraFMError, match=r"'clip12'.*found label 'benign and malignant'"):
        load_study(study_path)


BAD = {
    "titel": ({"titel": "x"}, "titel"),
    "washout": ({"demonstration": False}, "washout_days: 0 is for a demonstration only"),
    "no ai": ({"ai": None}, "need its scores"),
    "order": ({"design": {"parts": ["aided", "unaided"]}}, "in this order"),
    "healthy": ({"diseases": [{"name": "Healthy"}]}, "no disease can be called healthy"),
    "labels": ({"diseases": [{"name": "breast cancer", "positive": ["malignant"]}]}, "needs positive and negative"),
    "code": ({"readers": [{"code": "a b", "level": "x", "years": 1}]}, "readers.0.code"),
    "twice": ({"readers": [{"code": "a", "level": "x", "years": years} for years in (1, 2)]}, "'a' is listed twice"),
    "named AI": ({"readers": [{"code": "AI", "level": "x", "years": 1}]}, "both called 'AI'"),
    "office": ({"readers": [{"code": "office", "level": "x", "years": 1}]}, "no reader can be called 'office'"),
    "margin": ({"analysis": {"primary": "x", "margin": 0.05}}, "against_ai: true as well"),
    "claim": ({"analysis": {"primary": "x", "against_ai": True, "claims": ["better:all"]}}, "superiority"),
    "unknown": ({"cases": {"images": [f"{SITE}/9990"]}}, "cases.images"),
    "none": ({"cases": {"images": []}}, "no case"),
    "no clip": ({"cases": {"clips": ["clip"]}}, "cases.clips: found 'clip'"),
    "both": ({"training": {"images": [f"{SITE}/0000"]}}, "whose patient is a case of the study too"),
    "nowhere": ({"curated": "nowhere"}, "no curated store"),
    "unlabelled": (
        {"diseases": [{"name": "breast cancer", "positive": ["malignant"], "negative": ["normal"]}]},
        "found label 'benign'",
    ),
    "truth": ({"truth": {"source": "file", "reference": "x"}}, "source: file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_told_in_words(study_path: Path, name: str) -> None:
    change, told = BAD[name]
    with pytest.raises(UltraFMError) as raised:
        load_study(change_fields(study_path, **change))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("0.050", "1.2", "found the score 1.2"),
        ("0.050", "high", "found 'high'; expected a number"),
        ("score", "scores", "no column 'score'"),
        (f"{SITE}/0010,", f"{SITE}/0000,", "twice"),
        (f"{SITE}/0010,", "other,", "no score of case"),
    ],
)
def test_bad_scores_are_told_with_their_place(study_path: Path, tmp_path: Path, old: str, new: str, told: str) -> None:
    (tmp_path / "scores.csv").write_text((tmp_path / "scores.csv").read_text().replace(old, new, 1))
    with pytest.raises(UltraFMError, match=told):
        load_study(study_path)


def test_a_store_that_nobody_signed_is_not_shown(study_path: Path, tmp_path: Path) -> None:
    write_release(tmp_path / "curated" / SITE, Release("x", needs_signature=True))
    with pytest.raises(UltraFMError, match="nobody has signed"):
        load_study(study_path)


def test_types_are_strict_and_a_loaded_protocol_cannot_change(study_path: Path) -> None:
    with pytest.raises(UltraFMError, match="seed"):
        load_study(change_fields(study_path, seed="4"))
    protocol: Protocol = load_study(change_fields(study_path, seed=4)).protocol
    with pytest.raises(ValidationError):
        protocol.title = "another"  # type: ignore[misc]


def test_diseases_are_asked_by_organ_alone(tmp_path: Path) -> None:
    diseases = [
        {"name": "breast cancer", "positive": ["malignant"], "negative": ["benign"], "organ": "breast"},
        {"name": "liver cancer", "positive": ["malignant"], "negative": ["benign"], "organ": "liver"},
    ]
    study = load_study(make_study(tmp_path, diseases=diseases))
    assert [one.name for one in study.protocol.diseases_of("breast")] == ["breast cancer"]
    assert {disease for _case, disease in study_truth(study)} == {"breast cancer"}
