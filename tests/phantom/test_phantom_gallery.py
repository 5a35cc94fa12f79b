"""Galleries show what their titles say."""

import numpy as np
import pandas as pd

from ultrafm.manifests import load_sites
from ultrafm.phantom import figures, gallery
from ultrafm.phantom.anatomy import ORGANS
from ultrafm.phantom.diseases import DISEASES
from ultrafm.phantom.modalities import MODALITIES
from ultrafm.phantom.records import phantom_records
from ultrafm.phantom.shortcut import Told
from ultrafm.study import REPOSITORY

SITES = load_sites(REPOSITORY / "data_manifests")


def test_every_organ_modality_site_and_disease_is_shown():
    organs, modalities, sites, diseases = (
        make(SITES, 0)[1] for make in (gallery.by_organ, gallery.by_modality, gallery.by_site, gallery.by_disease)
    )
    assert [title.splitlines()[0] for title in organs] == [organ for organ in ORGANS for _twice in range(2)]
    assert [title.splitlines()[0] for title in modalities] == list(MODALITIES)
    assert [title.splitlines()[0] for title in sites] == [site.site[:7] for site in SITES]
    assert [title.splitlines()[1] for title in diseases][2::3] == list(DISEASES)


def test_a_gallery_of_few_sites_shows_what_they_have():
    pictures, titles = gallery.by_organ(SITES[:1], 0)
    assert titles == ["breast\nnormal", "breast\nmalignant"] and len(pictures) == 2
    assert "simulated" in figures.gallery((pictures, titles), "Organs", 2).alt


def test_a_row_of_the_diseases_is_one_patient():
    pictures, titles = gallery.by_disease(SITES[:1], 3)
    assert titles == ["breast\nnormal", "breast\nbenign", "breast\nbreast cancer"]
    margins = [np.asarray(picture)[:18] for picture in pictures]
    assert np.array_equal(margins[0], margins[1]) and np.array_equal(margins[1], margins[2])


def test_tables_and_records_say_what_was_told():
    table = figures.shortcut_table({"fair": {"COVID-19": Told(0.51, 0.45, 0.57, 300)}})
    likeness = pd.DataFrame([("lung", "convex", "contrast", 1.0, 2.0, 0.75, 48)], columns=[
        "organ", "scan_mode", "measure", "real", "simulated", "apart", "scans"])  # fmt: skip
    told, apart = phantom_records(table, likeness)
    assert (told["estimate"], told["ci_low"], told["ci_high"], told["n_patients"]) == (0.51, 0.45, 0.57, 300)
    assert (apart["estimate"], apart["task"], apart["n"]) == (0.75, "lung, convex", 48)
    assert "COVID-19" in figures.shortcut_figure(table).alt and figures.apart_figure(likeness).alt
    assert figures.difficulty_figure({0.5: 0.9}).alt
