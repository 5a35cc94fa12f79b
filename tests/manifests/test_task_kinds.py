"""Tasks of all kinds: what each needs, what it must not have, and what a site must offer for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ultrafm.manifests import load_site, load_vocabulary
from ultrafm.manifests.load import read_folder
from ultrafm.manifests.overview import question
from ultrafm.manifests.question import FROM_MASKS, METRICS
from ultrafm.manifests.schema import Task

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
REAL = Path(__file__).parents[1] / "real_sites"
CLASSES = {"normal": ("normal",), "benign": ("benign",)}
DISEASE = {"disease": "breast cancer", "positive": ("malignant",), "negative": ("benign",)}
ORGANS = {"organ": None, "classes_of": "organ", "classes": {"a": ("liver",), "b": ("lung",)}}
ERROR = "mean_absolute_error"
ANGLE = {"quantity": "angle", "measured_in": "degrees", "from_masks": "angle_of_progression"}


def task(kind: str, **fields: object) -> Task:
    return Task(**{"name": "made", "kind": kind, "organ": "breast", **fields})


WHOLE = {
    "one disease": ("diagnosis", DISEASE, "malignant (breast cancer) against benign", "auroc"),
    "classes": ("diagnosis", {"classes": CLASSES}, "normal, benign", "auroc"),
    "several": ("diagnosis", {"classes": CLASSES, "several": True, "unit": "clip"}, "any of normal, benign", "auroc"),
    "grades": ("severity", {"classes": CLASSES, "metric": "balanced_accuracy"}, "normal < benign", "balanced_accuracy"),
    "plane": ("plane", {"classes": CLASSES, "unit": "patient"}, "normal, benign", "auroc"),
    "organs": ("plane", ORGANS, "a, b", "auroc"),
    "structure": ("segmentation", {"structure": "lesion"}, "outline of lesion", "dice"),
    "structures": ("segmentation", {"structures": ("a", "b"), "metric": "iou"}, "outline of a and b", "iou"),
    "table": ("measurement", {"quantity": "angle", "measured_in": "degrees"}, "angle in degrees", ERROR),
    "masks": ("measurement", {**ANGLE, "structures": ("a", "b")}, "angle in degrees", ERROR),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_whole_tasks_are_understood(case):
    kind, fields, words, headline = WHOLE[case]
    made = task(kind, **fields)
    assert question(made) == words and made.headline == headline
    assert made.organs == (("liver", "lung") if case == "organs" else ("breast",))
    assert Task.model_validate_json(made.model_dump_json()) == made


BROKEN = {
    "nothing asked": ("diagnosis", {}, "needs positive, negative and disease, or classes"),
    "both forms": ("diagnosis", {**DISEASE, "classes": CLASSES}, "either positive and negative, or classes"),
    "several of one disease": ("diagnosis", {**DISEASE, "several": True}, "needs positive, negative and disease"),
    "one class": ("severity", {"classes": {"normal": ("normal",)}}, "at least two classes"),
    "empty class": ("plane", {"classes": {**CLASSES, "other": ()}}, "each with at least one word"),
    "a label of two classes": ("plane", {"classes": {**CLASSES, "other": ("benign",)}}, "'benign' stands for several"),
    "several organs at once": (
        "plane", {**ORGANS, "several": True}, "an image shows one organ",
    ),
    "no organ": ("diagnosis", {**DISEASE, "organ": None}, "needs organ"),
    "organ and classes of organs": ("plane", {**ORGANS, "organ": "liver"}, "unless its classes are organs"),
    "ordered and several": ("severity", {"classes": CLASSES, "several": True}, "a severity task has no several"),
    "outline with labels": ("segmentation", {"structure": "lesion", "positive": ("benign",)}, "has no positive"),
    "outline of a clip": ("segmentation", {"structure": "lesion", "unit": "clip"}, "a segmentation task has no unit"),
    "no structure": ("segmentation", {}, "needs structure, or at least two structures"),
    "one structure of several": ("segmentation", {"structures": ("a",)}, "or at least two structures"),
    "structure and structures": ("segmentation", {"structure": "a", "structures": ("a", "b")}, "needs structure, or"),
    "a structure twice": ("segmentation", {"structures": ("a", "a")}, "the structure 'a' twice"),
    "no unit": ("measurement", {"quantity": "angle"}, "needs quantity and measured_in"),
    "unknown measure": ("measurement", {**ANGLE, "from_masks": "angle_of_progresion"}, "mean 'angle_of_progression'"),
    "too few structures": ("measurement", {**ANGLE, "structures": ("a",)}, "from 2 structures, not from 1"),
    "degrees of a length": (
        "measurement", {**ANGLE, "from_masks": "head_circumference", "structures": ("a",)},
        "head_circumference is measured in mm or pixels, not in degrees",
    ),
    "structures without masks": (
        "measurement", {"quantity": "a", "measured_in": "mm", "structures": ("a",)}, "structures belong to from_masks",
    ),
    "metric of another kind": ("segmentation", {"structure": "lesion", "metric": "auroc"}, "has one of dice"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_tasks_are_refused_with_what_is_wrong(case):
    kind, fields, words = BROKEN[case]
    with pytest.raises(ValidationError) as caught:
        task(kind, **fields)
    assert words in str(caught.value)


def test_every_kind_has_a_usual_measure_and_every_measure_of_masks_a_unit():
    assert set(METRICS) == {"diagnosis", "severity", "plane", "segmentation", "measurement"}
    assert all(METRICS.values()) and all(measure.units for measure in FROM_MASKS.values())


SPOILT = {
    "label of a class": ("[benign], malignant", "[bening], malignant", "classes.benign.0: found", "mean 'benign'"),
    "structure among several": ("[nerve, vessel]", "[nerve, vesel]", "structures: found 'vesel'", "mean 'vessel'"),
    "quantity": ("quantity: fascicle angle", "quantity: fascicle angel", "quantity: found 'fasc", "mean 'fascicle an"),
    "unit of a quantity": ("measured_in: degrees", "measured_in: mm", "measured_in: found 'mm'", "'degrees', as"),
    "organ of a class": ("[appendix]", "[apendix]", "classes.appendix.0: found", "mean 'appendix'"),
}  # fmt: skip
FILES = (
    MANIFESTS / "site_01_palm_breast.yaml", REAL / "site_04_usgra_seg.yaml", REAL / "site_05_timtrack_vastus.yaml",
    REAL / "site_05_timtrack_vastus.yaml", MANIFESTS / "site_11_tulip_emergency.yaml",
)  # fmt: skip


@pytest.mark.parametrize(("case", "file"), zip(SPOILT, FILES), ids=list(SPOILT))
def test_a_spoilt_task_is_told_of_with_field_and_nearest_word(tmp_path, case, file):
    old, new, place, hint = SPOILT[case]
    text = file.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file.name).write_text(text.replace(old, new), encoding="utf-8")
    (tmp_path / "vocabulary.yaml").write_bytes((MANIFESTS / "vocabulary.yaml").read_bytes())
    (problem,) = [str(problem) for problem in read_folder(tmp_path).all_problems()]
    assert place in problem and hint in problem


def test_organs_of_other_sites_are_no_question_to_this_one(tmp_path):
    text = (MANIFESTS / "site_11_tulip_emergency.yaml").read_text(encoding="utf-8")
    asked = "classes: {lung: [lung], gallbladder: [gallbladder], appendix: [appendix]}"
    assert asked in text
    path = tmp_path / "site_11_tulip_emergency.yaml"
    path.write_text(text.replace(asked, "classes: {liver: [liver], brain: [brain]}"), encoding="utf-8")
    with pytest.raises(Exception, match="found none but liver, brain; expected an organ of the site: lung"):
        load_site(path, load_vocabulary(MANIFESTS))
