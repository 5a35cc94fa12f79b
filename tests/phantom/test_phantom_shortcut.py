"""What is written beside and over the scan gives the diagnosis away in a confounded set only."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from phantom_makers import BOTH, make_device, make_manifest, make_source
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ultrafm.phantom.patients import confounded, draw_patient, take_photo

INK = 235
DEVICE = make_device("linear", picture_width=128, picture_height=128, overlays=("text", "scale", "caliper"))


def source(shortcut: bool, patients: int):
    return make_source(BOTH, DEVICE, patients, images=1).model_copy(update={"shortcut": shortcut})


def told_without_tissue(photo) -> np.ndarray:
    """What a classifier sees that is not tissue: size, the margins with their text and scale, lines of ink as drawn."""
    grey = np.asarray(photo.image.convert("L"), dtype=float)
    ink = sliding_window_view(grey == INK, 7, axis=1).all(axis=2)[18:, :-26]  # tissue is never so even
    return np.array([*grey.shape, *grey[:18].mean(axis=1), *grey[:, -20:].mean(axis=0), ink.sum()])


def auroc(shortcut: bool, patients: int) -> tuple[float, float]:
    """Cross-validated AUROC of that classifier, and its standard error (Hanley and McNeil 1982, at 0.5)."""
    made = source(shortcut, patients)
    people = [draw_patient(make_manifest(made), made, 0, number) for number in range(1, patients + 1)]
    seen = np.array([told_without_tissue(take_photo(make_manifest(made), made, 0, person, 0)) for person in people])
    truth = np.array([person.label == "malignant" for person in people])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    scores = cross_val_predict(model, seen, truth, cv=5, method="predict_proba")[:, 1]
    return roc_auc_score(truth, scores), ((patients + 1) / (12 * truth.sum() * (~truth).sum())) ** 0.5


@pytest.mark.slow
def test_margins_text_and_calipers_do_not_tell_malignant_from_benign_in_two_thousand_patients():
    found, error = auroc(shortcut=False, patients=2000)
    assert found + 1.96 * error <= 0.55


def test_margins_text_and_calipers_tell_it_in_a_confounded_set():
    found, error = auroc(shortcut=True, patients=240)
    assert found - 1.96 * error > 0.65


def test_only_gain_and_calipers_differ_in_a_confounded_set():
    benign, malignant = (confounded(DEVICE, label) for label in ("benign", "malignant"))
    assert set(malignant.overlays) - set(benign.overlays) == {"caliper"} and malignant.gain_db > benign.gain_db
    assert benign.model_copy(update={"overlays": malignant.overlays, "gain_db": malignant.gain_db}) == malignant


def test_margins_of_the_fair_set_are_the_same_whatever_the_label():
    fair = source(False, 3)
    person = draw_patient(make_manifest(fair), fair, 0, 1)
    photos = [take_photo(make_manifest(fair), fair, 0, replace(person, label=label), 0) for label in BOTH]
    benign, malignant = (np.asarray(photo.image) for photo in photos)
    assert np.array_equal(benign[:18], malignant[:18]) and np.array_equal(benign[:, -20:], malignant[:, -20:])
