"""A linear probe that is shown the labels of a part of the training patients only."""

from __future__ import annotations

import math

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ultrafm.downstream.methods.probe import probe_turn
from ultrafm.downstream.tasks import Turn
from ultrafm.errors import UltraFMError

FEWEST = 2  # labelled patients of each class
INNER_GROUPS = 4  # of labelled patients, to choose the penalty on


def labelled_patients(
    truth: np.ndarray, patients: np.ndarray, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Names of the patients whose labels are shown: `share` (above 0, at most 1) of each class, at least two.

    truth (K,) 0/1 and patients (K,) names, of training images; a patient with any positive image counts as positive.
    Draws with generators in the same state are nested: a smaller share is part of a larger one. Raises UltraFMError for
    a wrong share and for fewer than two patients of a class.
    """
    if not 0 < share <= 1:
        raise UltraFMError("share of labels", f"{share:g}", "above 0, at most 1")
    names, places = np.unique(patients.astype(str), return_inverse=True)
    positive = np.zeros(len(names), dtype=bool)
    np.logical_or.at(positive, places, truth == 1)
    order = generator.permutation(len(names))
    chosen = []
    for members in (order[positive[order]], order[~positive[order]]):
        if len(members) < FEWEST:
            raise UltraFMError("labelled patients", f"{len(members)} of a class", f"at least {FEWEST} of each")
        chosen += list(members[: max(math.ceil(share * len(members) - 1e-9), FEWEST)])
    return names[np.sort(chosen)]


def labelled_turn(
    truth: np.ndarray, patients: np.ndarray, fold: np.ndarray, share: float, generator: np.random.Generator
) -> Turn:
    """Fit on the labelled patients of the train fold, predict the test fold; see `labelled_patients`.

    The penalty too is chosen among labelled patients, in groups of them, so that no other label is used. The
    validation fold takes no part.
    """
    train, test = (np.flatnonzero(fold == name) for name in ("train", "test"))
    shown = labelled_patients(truth[train], patients[train], share, generator)
    rows = train[np.isin(patients[train].astype(str), shown)]
    split = int(generator.integers(2**31))
    positive = len(set(patients[rows][truth[rows] == 1]))
    groups = min(INNER_GROUPS, positive, len(shown) - positive)
    splitter = StratifiedGroupKFold(groups, shuffle=True, random_state=split)
    pairs = splitter.split(rows, truth[rows], patients[rows].astype(str))
    return Turn(rows, tuple((rows[fit], rows[held]) for fit, held in pairs), test, "test")


def probe_few_labels(features: np.ndarray, truth: np.ndarray, turn: Turn) -> np.ndarray:
    """(P,) scores of the images of `turn.predict`, by a probe of (N, F) features; nothing else is read of them."""
    return probe_turn(features, truth, turn).score(features[turn.predict])
