"""Mistakes: which calls were wrong, and the surest of them in both directions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import choose_threshold
from ultrafm.downstream.tasks import patient_names
from ultrafm.errors import UltraFMError

FALSE_ALARM, MISSED = "false alarm", "missed"
KEYS = ["task", "method", "encoder", "answer", "turn"]


def turn_thresholds(predictions: pd.DataFrame, validation: pd.DataFrame) -> np.ndarray:
    """(N,) the threshold of each row of `predictions`: Youden's, on the validation scores of the very same model.

    Both as `evaluate.Evaluation` holds them. One half for a model whose validation images have one class.
    """
    found = {}
    for key, rows in validation.groupby(KEYS, sort=False):
        truth = rows["truth"].to_numpy(dtype=int)
        if len(set(truth.tolist())) == 2:
            found[key] = choose_threshold(rows["score"].to_numpy(dtype=float), truth).value
    return np.array([found.get(key, 0.5) for key in predictions[KEYS].itertuples(index=False, name=None)])


def with_calls(predictions: pd.DataFrame, thresholds: float | np.ndarray) -> pd.DataFrame:
    """Rows of one task, method, encoder and answer with their call and whether it is wrong.

    predictions: columns image_id, site, patient, truth (0 or 1), score. A score of at least its threshold (one for all,
    or one a row), which should come from validation images, is a positive call. Adds threshold, call (0 or 1), error
    (bool) and patient_name ("site/patient"). Raises UltraFMError for a score that is no number, or for several rows of
    one image.
    """
    scores = predictions["score"].to_numpy(dtype=float)
    where = f"task {predictions['task'].iloc[0]}" if len(predictions) and "task" in predictions else "predictions"
    if np.isnan(scores).any():
        first = predictions.loc[np.isnan(scores), "image_id"].iloc[0]
        raise UltraFMError(where, f"no score for {first}", "a score for every image")
    if predictions["image_id"].duplicated().any():
        raise UltraFMError(where, "several rows of one image", "rows of one method, encoder and answer")
    call = (scores >= thresholds).astype(int)
    wrong = call != predictions["truth"].to_numpy(dtype=int)
    names = patient_names(predictions)
    return predictions.assign(threshold=thresholds, call=call, error=wrong, patient_name=names)


def surest_mistakes(called: pd.DataFrame, each: int = 4) -> pd.DataFrame:
    """At most `each` false alarms and as many missed cases, the surest first, every patient at most once.

    called: what `with_calls` gives. Adds direction, and sureness: how far the score is from the threshold, as a share
    of the way to 1 (false alarm) or to 0 (missed), so that a threshold far from one half favours neither direction.
    """
    wrong = called[called["error"]].copy()
    alarm = wrong["call"].to_numpy() == 1
    wrong["direction"] = np.where(alarm, FALSE_ALARM, MISSED)
    threshold = wrong["threshold"].to_numpy(dtype=float)
    room = np.where(alarm, 1 - threshold, threshold)
    distance = np.abs(wrong["score"].to_numpy(dtype=float) - threshold)
    wrong["sureness"] = np.divide(distance, room, out=np.zeros(len(wrong)), where=room > 0)
    wrong = wrong.sort_values(["direction", "sureness", "image_id"], ascending=[True, False, True])
    return wrong.drop_duplicates(["direction", "patient_name"]).groupby("direction", sort=True).head(each)
