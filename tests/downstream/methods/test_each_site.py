from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ultrafm.downstream.methods.each_site import pretrain_each_site
from ultrafm.federation import arms


@dataclass(frozen=True)
class Place:
    folder: Path


@pytest.fixture
def trained(monkeypatch) -> list[tuple]:
    """What would be trained, in place of the training itself."""
    found = []
    monkeypatch.setattr(arms, "count_training_images", lambda curated: {"site_01_a": 10, "site_02_b": 30})
    everyone = ["site_01_a", "site_02_b", "site_03_c"]
    monkeypatch.setattr(arms, "open_workplace", lambda curated, pretrained: (Place(pretrained), "grey", everyone))
    monkeypatch.setattr(arms, "pretrain_arm", lambda *job: found.append(job))
    return found


def test_every_site_is_trained_alone_with_the_budget_of_all(trained, tmp_path):
    made = pretrain_each_site(tmp_path / "sites", tmp_path / "20_pretrain", tmp_path / "alone", 1)
    assert made == {name: tmp_path / "alone" / "encoders" / name for name in ("site_01_a", "site_02_b")}
    everyone = ["site_01_a", "site_02_b", "site_03_c"]
    assert trained == [
        (Place(tmp_path / "alone"), name, [name], everyone, "grey", 40) for name in ("site_01_a", "site_02_b")
    ]


def test_only_the_sites_that_are_asked_for_are_trained(trained, tmp_path):
    made = pretrain_each_site(tmp_path, tmp_path, tmp_path / "alone", 1, ["site_02_b"])
    assert list(made) == ["site_02_b"] and [job[1] for job in trained] == ["site_02_b"]
