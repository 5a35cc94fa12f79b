"""Across sites: what a site is worth to which no label went, and what is learnt at one site tells at another.

Asked are the images on which the study reports: those of the test fold, or of the evaluation fold in
cross-validation. Encoders may have seen unlabelled training images of the site that is left out: what is left out are
its labels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ultrafm.downstream.designs.asking import (
    Look,
    ask_inner,
    joined,
    prediction_rows,
    why_not_trainable,
)
from ultrafm.downstream.tasks import FIXED_FOLDS, TaskData, turns

LEFT_OUT_COLUMNS = ("held_out_site", "trained_on", "labelled")
MATRIX_COLUMNS = ("train_site", "test_site", "labelled")
OTHERS, ALL = "other sites", "all sites"


def sites_of(data: TaskData) -> np.ndarray:
    """The sorted names of a task's sites."""
    return np.unique(data.table["site"].to_numpy(dtype=str))


def learning(data: TaskData) -> np.ndarray:
    """(N,) True for images that may train: of the train fold, or, in cross-validation, all."""
    return (data.table["fold"] == "train").to_numpy() if data.design == FIXED_FOLDS else np.ones(len(data.table), bool)


def asked_images(data: TaskData) -> np.ndarray:
    """(N,) True for images that are asked about: of the test fold, or of the evaluation fold in cross-validation."""
    return data.table["fold"].isin(["test", "evaluation"]).to_numpy()


def why_not_site(data: TaskData, site: str) -> str | None:
    """None when a site has two patients with and without each answer, to learn from and to be asked about."""
    answers, here = data.answer_truth, (data.table["site"] == site).to_numpy()
    parts = [("to train on", np.flatnonzero(learning(data))), ("to be asked about", np.flatnonzero(asked_images(data)))]
    parts += [("to train on in a turn", turn.train) for turn in turns(data)]
    for words, rows in parts:
        rows = rows[here[rows]]
        if reason := why_not_trainable(answers[rows], data.patients[rows]):
            return f"{words}: {reason}"
    return None


def both_classes(data: TaskData) -> list[str]:
    """The sites with which a design across sites can be made; fewer than two make none."""
    found = [site for site in sites_of(data) if why_not_site(data, site) is None]
    return found if len(found) > 1 else []


def left_out_sites(data: TaskData) -> dict[str, str]:
    """Sites, or the task as a whole, that the designs across sites cannot ask -> why."""
    if len(sites_of(data)) == 1:
        return {"designs across sites": "one site only"}
    found = {site: why for site in sites_of(data) if (why := why_not_site(data, site))}
    if len(sites_of(data)) - len(found) < 2:
        found["designs across sites"] = "fewer than two sites with enough patients of both classes"
    return found


def leave_one_site_out(look: Look) -> pd.DataFrame:
    """Predictions for each site by a probe of all other sites ("other sites"), beside one that knows it ("all sites").

    Both are asked about the same images of the site and train on the training images of all other sites; the second on
    those of the site too. In cross-validation it is fitted as the study does, on the other groups of patients of every
    site, so it has fewer of the other sites than the first.
    Columns of `asking`, then held_out_site, trained_on, labelled (patients).
    """
    data, sites, parts = look.data, look.data.table["site"].to_numpy(dtype=str), []
    asked = asked_images(data)
    for site in both_classes(data):
        train = np.flatnonzero(learning(data) & (sites != site))
        predict = np.flatnonzero(asked & (sites == site))
        parts.append(_rows(look, train, predict, held_out_site=site, trained_on=OTHERS))
        for turn in turns(data):
            train = turn.train[learning(data)[turn.train]]
            predict = turn.predict[sites[turn.predict] == site]
            if len(predict):
                parts.append(_rows(look, train, predict, held_out_site=site, trained_on=ALL))
    return joined(parts, LEFT_OUT_COLUMNS)


def site_matrix(look: Look) -> pd.DataFrame:
    """Predictions for each site by a probe of each site alone.

    On the diagonal, other patients of the same site train: its own train fold, or, in cross-validation, its other
    groups. Columns of `asking`, then train_site, test_site, labelled (patients).
    """
    data, sites, parts = look.data, look.data.table["site"].to_numpy(dtype=str), []
    asked, usable = asked_images(data), both_classes(data)
    for train_site in usable:
        train = np.flatnonzero(learning(data) & (sites == train_site))
        for test_site in usable:
            predict = np.flatnonzero(asked & (sites == test_site))
            own = {"train_site": train_site, "test_site": test_site}
            if train_site != test_site or data.design == FIXED_FOLDS:
                parts.append(_rows(look, train, predict, **own))
                continue
            for turn in turns(data):
                here = turn.predict[sites[turn.predict] == test_site]
                if len(here):
                    parts.append(_rows(look, turn.train[sites[turn.train] == train_site], here, **own))
    return joined(parts, MATRIX_COLUMNS)


def _rows(look: Look, train: np.ndarray, predict: np.ndarray, **own: str) -> pd.DataFrame:
    patients = look.data.patients
    fold = "test" if look.data.design == FIXED_FOLDS else "cross-validation"
    scores = ask_inner(look, train, predict, fold)
    return prediction_rows(look, predict, scores, fold, **own, labelled=len(set(patients[train])))
