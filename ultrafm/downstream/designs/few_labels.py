"""A linear probe that is shown the labels of a part of the training patients, at least two of each class."""

from __future__ import annotations

import numpy as np

from ultrafm.downstream.designs.asking import inner_turn, patient_classes
from ultrafm.downstream.designs.choosing import choose_penalty
from ultrafm.downstream.designs.labels import first_of_each, first_share
from ultrafm.downstream.methods.probe import fit_probe
from ultrafm.downstream.tasks import Turn
from ultrafm.errors import UltraFMError

FEWEST = 2  # labelled patients of each class


def labelled_patients(
    truth: np.ndarray, patients: np.ndarray, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Names of the patients whose labels are shown: `share` (above 0, at most 1) of them, at least two of each class.

    truth (K,) 0/1 and patients (K,) names, of training images. Draws with generators in the same state are nested: a
    smaller share is part of a larger one. Raises UltraFMError for a wrong share and for fewer than two patients of a
    class.
    """
    if not 0 < share <= 1:
        raise UltraFMError("share of labels", f"{share:g}", "above 0, at most 1")
    for value in (0, 1):
        if (count := len(set(patients[truth == value]))) < FEWEST:
            raise UltraFMError("labelled patients", f"{count} with truth {value}", f"at least {FEWEST}")
    classes = patient_classes(truth[:, None], patients)
    order = classes.index.to_numpy()[generator.permutation(len(classes))]
    return np.union1d(first_share(order, order, classes, share), first_of_each(order, order, classes, FEWEST))


def labelled_turn(
    truth: np.ndarray, patients: np.ndarray, fold: np.ndarray, share: float, generator: np.random.Generator
) -> Turn:
    """Fit on the labelled patients of the train fold, predict the test fold; see `labelled_patients`.

    The penalty too is chosen among labelled patients, in groups of them, so that no other label is used. The
    validation fold takes no part.
    """
    train, test = (np.flatnonzero(fold == name) for name in ("train", "test"))
    shown = labelled_patients(truth[train], patients[train], share, generator)
    return inner_turn(truth[:, None], patients, train[np.isin(patients[train], shown)], test, "test")


def probe_few_labels(features: np.ndarray, truth: np.ndarray, turn: Turn) -> np.ndarray:
    """(P,) scores of the images of `turn.predict`, by a probe of (N, F) features; nothing else is read of them."""
    penalty = choose_penalty(features, truth[:, None], turn)
    return fit_probe(features[turn.train], truth[turn.train], penalty).score(features[turn.predict])
