"""What is not tissue, and how bright tissue is, gives the disease away in a confounded set only."""

import numpy as np
import pytest
from phantom_makers import BOTH, make_device, make_manifest, make_source

from ultrafm.errors import UltraFMError
from ultrafm.manifests import choose_source, load_sites, load_vocabulary
from ultrafm.phantom import write_archive
from ultrafm.phantom.anatomy import ORGANS
from ultrafm.phantom.diseases import DISEASES, findings_of, first_site
from ultrafm.phantom.patients import confounded, draw_patient, take_photo
from ultrafm.phantom.shortcut import features_without_tissue, rank_by, told_without_tissue
from ultrafm.study import REPOSITORY

DEVICE = make_device("linear", picture_width=128, picture_height=128, overlays=("text", "scale", "caliper"))
SITES = load_sites(REPOSITORY / "data_manifests")


def site_with(organ: str):
    """The first site that scans an organ, and its simulated source with pictures of 128 pixels."""
    site = first_site(SITES, organ)
    source = choose_source(site, "phantom")[1]
    return site, source.model_copy(
        update={"device": source.device.model_copy(update={"picture_width": 128, "picture_height": 128})}
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", DISEASES)
def test_border_text_size_and_histogram_tell_no_disease_in_two_thousand_patients(name):
    told = told_without_tissue(*site_with(DISEASES[name].organ), DISEASES[name], 2000, seed=0)
    assert told.patients == 2000 and told.high <= 0.55


@pytest.mark.parametrize("name", ["breast cancer", "COVID-19"])
def test_they_tell_it_in_a_confounded_set(name):
    site, source = site_with(DISEASES[name].organ)
    told = told_without_tissue(site, source.model_copy(update={"shortcut": True}), DISEASES[name], 160, seed=0)
    assert told.low > 0.75


def test_the_classifier_finds_a_clue_where_there_is_one_and_none_in_noise():
    generator = np.random.default_rng(0)
    labels = np.array(["normal", "malignant"] * 200)
    noise = generator.normal(0, 1, (400, 5))
    clue = noise + np.array([0, 0, 2, 0, 0]) * (labels == "malignant")[:, None]
    assert rank_by(noise, labels, "malignant").low < 0.5
    assert rank_by(clue, labels, "malignant").auroc == pytest.approx(0.92, abs=0.05)  # Phi(2 / sqrt 2) = 0.921


def test_the_result_does_not_depend_on_the_number_of_workers():
    site, source = site_with("heart")
    disease = DISEASES["cardiac valve disease"]
    alone, together = (told_without_tissue(site, source, disease, 110, 3, workers) for workers in (1, 2))
    assert alone == together


def test_diseases_are_words_of_the_vocabulary_that_the_phantom_can_draw_at_a_site():
    vocabulary = load_vocabulary(REPOSITORY / "data_manifests")
    for name, disease in DISEASES.items():
        assert name in vocabulary.diseases
        assert {disease.label, *disease.counterparts} <= set(ORGANS[disease.organ].labels)
        assert any(disease.organ in site.organs for site in SITES)
        assert sum(findings_of(disease).values()) == pytest.approx(1) and findings_of(disease)[disease.label] == 0.5


def test_only_gain_and_calipers_differ_in_a_confounded_set():
    benign, malignant = (confounded(DEVICE, label) for label in ("benign", "malignant"))
    assert set(malignant.overlays) - set(benign.overlays) == {"caliper"} and malignant.gain_db > benign.gain_db
    assert benign.model_copy(update={"overlays": malignant.overlays, "gain_db": malignant.gain_db}) == malignant


def test_without_tissue_a_picture_is_its_size_border_ink_and_histogram():
    source = make_source(BOTH, DEVICE, images=1)
    person = draw_patient(make_manifest(source), source, 0, 1)
    image = take_photo(make_manifest(source), source, 0, person, 0).image
    seen = features_without_tissue(image, DEVICE, "B-mode")
    turned = image.copy()
    turned.paste(image.crop((0, 18, 108, 128)).transpose(0), (0, 18))  # the scan mirrored: the same but for its ink
    other = features_without_tissue(turned, DEVICE, "B-mode")
    assert seen[:2].tolist() == [128, 128] and np.square(seen[259:]).sum() == pytest.approx(1)
    np.testing.assert_allclose(np.delete(seen, 258), np.delete(other, 258))


def test_ink_is_seen_in_tinted_pictures_too():
    for tint in ("grey", "sepia"):
        bare, marked = (make_device(tint=tint, overlays=overlays) for overlays in ((), ("caliper",)))
        inks = []
        for device in (bare, marked):
            source = make_source(BOTH, device, images=1)
            people = [draw_patient(make_manifest(source), source, 0, number) for number in range(1, 9)]
            photos = [take_photo(make_manifest(source), source, 0, person, 0) for person in people]
            inks.append(sum(features_without_tissue(photo.image, device, "B-mode")[258] for photo in photos))
        assert inks[1] > inks[0]


def test_too_few_patients_for_the_folds_are_refused():
    with pytest.raises(UltraFMError, match="shortcut_patients: found 6; expected at least 20"):
        told_without_tissue(*site_with("heart"), DISEASES["cardiac valve disease"], 6, seed=0)


def test_names_and_order_of_files_do_not_tell_the_label(tmp_path):
    """Labels follow multiples of the golden ratio in the order of drawing; by name they must look like chance."""
    source = make_source(BOTH, DEVICE, 400, images=1)
    drawn = [draw_patient(make_manifest(source), source, 0, number) for number in range(1, 401)]
    people = sorted(drawn, key=lambda person: person.name)
    assert [person.name for person in people] == [f"P{number:04d}" for number in range(1, 401)]
    sick = np.array([person.label == "malignant" for person in people])
    steps = (np.arange(1, 401) * (5**0.5 - 1) / 2) % 1  # the rule that would tell it
    told = max(abs(((steps - start) % 1 < 0.5)[sick].mean() - 0.5) for start in np.linspace(0, 1, 50))
    assert told < 0.15
    small = source.model_copy(update={"patients": 8})
    write_archive(make_manifest(small), small, tmp_path / "archive", 0)
    files = [line.split(",")[0] for line in (tmp_path / "archive" / "metadata.csv").read_text().splitlines()[1:]]
    assert files == sorted(files)
