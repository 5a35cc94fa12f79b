from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_predictions import made_predictions
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.records import (
    diagnosis_records,
    measurement_records,
    pooled_records,
    pooled_table,
    segmentation_records,
    subgroup_records,
)
from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import merge_records

DESCRIBED = {name: {"images": "simulated", "kind": "diagnosis"} for name in ("mass", "nodule", "third")}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    generator = np.random.default_rng(1)
    parts = [
        made_predictions(generator, "mass"),
        made_predictions(generator, "nodule", site="site_02_b"),
        made_predictions(generator, "third", site="site_03_c", patients=90),
    ]
    return pd.concat(parts, ignore_index=True)


def by_id(records: list[dict]) -> dict[str, dict]:
    merge_records([records])  # ids are unique, and every row is a record
    return {row["id"]: row for row in records}


def area(rows: pd.DataFrame) -> float:
    return roc_auc_score(rows["truth"], rows["score"])


def test_subgroups_and_their_heterogeneity(predictions):
    images = sorted(set(predictions["image_id"]))
    device = pd.Series(
        {name: ["A", "B", "C", None][number // 4 % 4] for number, name in enumerate(images)}, name="device"
    )
    device[device.index.str.startswith("site_03")] = "A"
    found = by_id(subgroup_records(predictions, DESCRIBED, device, rng(), 200))
    rows = predictions[(predictions["task"] == "mass") & (predictions["encoder"] == "federated")]
    part = rows[rows["image_id"].map(device) == "B"]
    row = found["subgroups/mass/linear_probe-federated/-/auroc/test/device-b"]
    assert row["estimate"] == pytest.approx(area(part)) and row["n"] == len(part) == 32
    assert "subgroups/mass/linear_probe-federated/-/auroc/test/device-unknown" in found
    share = found["subgroups/mass/linear_probe-federated/-/auroc_i2/test/device"]
    assert 0 <= share["ci_low"] <= share["estimate"] <= share["ci_high"] <= 1
    assert "of 4 subgroups" in share["ci_method"]
    assert not any(name.startswith("subgroups/third/") for name in found)  # all of one device
    with pytest.raises(UltraFMError, match="no subgroup for image"):
        subgroup_records(predictions, DESCRIBED, device.iloc[1:], rng(), 20)


def test_a_perfect_subgroup_has_the_score_interval(predictions):
    rows = predictions[(predictions["task"] == "third")].copy()
    rows["score"] = np.where(rows["image_id"].str[-1].isin(["1", "2", "3"]), rows["truth"], rows["score"])
    group = pd.Series({name: name[-1] in "123" for name in set(rows["image_id"])}, name="easy")
    found = by_id(subgroup_records(rows, DESCRIBED, group, rng(), 100))
    row = found["subgroups/third/linear_probe-federated/-/auroc/test/easy-true"]
    assert row["estimate"] == 1 and 0.8 < row["ci_low"] < 1 and "perfect ranking" in row["ci_method"]


def test_over_tasks_the_table_and_the_records_agree(predictions):
    table = pooled_table(predictions, DESCRIBED, rng())
    rows = table[table["encoder"] == "random"]
    assert rows["kind"].tolist() == ["task"] * 3 + ["mean over tasks", "random effects", "a further task"]
    assert rows["weight"].sum() == pytest.approx(1)
    found = by_id(pooled_records(predictions, DESCRIBED, rng()))
    row = found["diagnosis/macro_average/linear_probe-random/-/auroc_random_effects/test/-"]
    line = rows[rows["kind"] == "random effects"].iloc[0]
    assert (row["estimate"], row["ci_low"], row["ci_high"]) == (line["estimate"], line["ci_low"], line["ci_high"])
    beyond = found["diagnosis/macro_average/linear_probe-random/-/auroc_prediction/test/-"]
    assert beyond["ci_low"] <= row["ci_low"] and beyond["ci_high"] >= row["ci_high"]
    plain = by_id(diagnosis_records(predictions, DESCRIBED, rng(), 20))
    mean = plain["diagnosis/macro_average/linear_probe-random/-/auroc/test/-"]["estimate"]
    assert rows[rows["kind"] == "mean over tasks"]["estimate"].iloc[0] == mean


def test_one_task_is_not_pooled(predictions):
    found = pooled_records(predictions[predictions["task"] == "mass"], DESCRIBED, rng())
    assert found and all(row["estimate"] is None and "two needed" in row["ci_method"] for row in found)


def outlined(unit: str, task: str, site: str) -> pd.DataFrame:
    generator = np.random.default_rng(len(task))
    rows = made_predictions(generator, task, ("lesion", "rest"), site, patients=20).drop(columns=["truth", "score"])
    values = {name: generator.uniform(0.3, 1, len(rows)) for name in ("dice", "iou", "nsd")}
    return rows.assign(**values, hd95=generator.uniform(1, 9, len(rows)), unit=unit)


def test_records_of_masks_name_their_unit_and_do_not_mix_them():
    scores = pd.concat([outlined("mm", "mass", "site_01_a"), outlined("pixels", "third", "site_03_c")])
    found = by_id(segmentation_records(scores.reset_index(drop=True), DESCRIBED, rng(), 50))
    start = "linear_probe-federated/-"
    rows = scores[(scores["task"] == "mass") & (scores["encoder"] == "federated")]
    row = found[f"segmentation/mass/{start}/hd95/test/-"]
    assert row["estimate"] == pytest.approx(rows["hd95"].mean()) and row["unit"] == "mm" and row["n"] == 40
    assert found[f"segmentation/third/{start}/hd95/test/-"]["unit"] == "pixels"
    assert found[f"segmentation/mass/{start}/nsd/test/-"]["unit"] == "share within 2 mm"
    macro = found[f"segmentation/macro_average/{start}/hd95/test/-"]
    assert macro["estimate"] is None and "images in mm and in pixels" in macro["ci_method"]
    assert found[f"segmentation/macro_average/{start}/dice/test/-"]["ci_low"] > 0.3
    lesion = rows[rows["answer"] == "lesion"]["dice"].mean()
    assert found[f"segmentation/mass/{start}/dice/test/answer-lesion"]["estimate"] == pytest.approx(lesion)


def test_records_of_dice_alone_need_no_other_column():
    scores = outlined("mm", "mass", "site_01_a").drop(columns=["iou", "nsd", "hd95", "unit"])
    assert {row["metric"] for row in segmentation_records(scores, DESCRIBED, rng(), 20)} == {"dice"}


def measured() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = made_predictions(generator, "mass", ("thickness",), patients=30)
    truth = rows["image_id"].map({name: generator.normal(20, 3) for name in sorted(set(rows["image_id"]))})
    error = np.where(rows["encoder"] == "federated", 0.5, 2.0) * generator.normal(size=len(rows))
    return rows.assign(truth=truth, score=truth + 0.3 + error)


def test_records_of_measurements():
    rows = measured()
    found = by_id(measurement_records(rows, DESCRIBED, {"mass": "mm"}, rng(), 200))
    start = "measurement/mass/linear_probe-federated/-"
    away = (rows["score"] - rows["truth"])[rows["encoder"] == "federated"]
    error = found[f"{start}/mean_absolute_error/test/-"]
    assert error["estimate"] == pytest.approx(away.abs().mean()) and error["unit"] == "mm"
    bias, low, high = (found[f"{start}/{name}/test/-"] for name in ("bias", "limit_lower", "limit_upper"))
    assert bias["estimate"] == pytest.approx(away.mean()) and bias["ci_low"] < bias["estimate"] < bias["ci_high"]
    assert low["estimate"] < bias["estimate"] < high["estimate"] and high["ci_low"] < high["estimate"]
    assert found[f"{start}/intraclass_correlation/test/-"]["unit"] is None
    paired = found["measurement/mass/linear_probe-federated/linear_probe-random/mean_absolute_error/test/-"]
    assert paired["ci_high"] < 0
    one = rows[rows["patient"] == "test000"]
    found = by_id(measurement_records(one, DESCRIBED, {"mass": "mm"}, rng(), 20))
    assert found[f"{start}/bias/test/-"]["estimate"] is None
    assert found[f"{start}/mean_absolute_error/test/-"]["ci_low"] is None
