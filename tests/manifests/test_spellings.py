"""Which spellings are taken for the same patient, word or file."""

import pytest

from ultrafm.manifests.spellings import alike_patients, file_key, plain, same_word


@pytest.mark.parametrize(
    "patients",
    [
        ["P001", "p001"],
        ["P-001", "P001"],
        ["P 001", "P001"],
        ["(P001)", "P001"],
        ["P001", "P1"],
        ["007", "7"],
        ["0", "00"],
        ["12-34-56", "123456"],
        ["2019-001", "2019001"],
        ["MÜLLER", "Müller"],
    ],
)
def test_one_patient_in_two_spellings_is_found(patients):
    assert alike_patients(patients) == [patients]
    assert alike_patients(reversed(patients)) == [patients]


@pytest.mark.parametrize(
    "patients",
    [
        ["P001", "P002"],
        ["P001", "P010", "P100"],  # only zeros before a number count for nothing
        ["1-11", "11-1"],
        ["1-11", "11-1", "111"],  # short numbers: as likely part and patient as one number with a mark
        ["2019-001", "201-9001"],
        ["A1", "B1"],
        ["P1A", "P1B"],
        ["Muller", "Müller"],
        ["?", "-"],
        ["P001", "P001"],
    ],
)
def test_different_patients_raise_no_alarm(patients):
    assert alike_patients(patients) == []


def test_all_spellings_of_a_patient_are_one_group():
    found = alike_patients(["P001", "P2", "p001", "K7", "P-001", "k7", "P 001"])
    assert found == [["K7", "k7"], ["P 001", "P-001", "P001", "p001"]]


def test_words_are_the_same_but_for_case_and_spaces_only():
    assert same_word(" Viral  Pneumonia", ["normal", "viral pneumonia"]) == "viral pneumonia"
    assert same_word("viralpneumonia", ["viral pneumonia"]) is None
    assert same_word("benin", ["benign"]) is None


def test_names_are_compared_without_accents_marks_and_case():
    assert plain("Modalität_2 (Typ)") == "modalitat2typ"
    assert file_key("Bilder\\Mu\u0308ller.PNG") == file_key("bilder/M\u00fcller.png")
