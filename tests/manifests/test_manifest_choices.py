"""Choosing a source and gathering tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultrafm.errors import UltraFMError
from ultrafm.manifests import choose_source, gather_tasks, load_sites
from ultrafm.manifests.check import count_totals
from ultrafm.manifests.schema import FolderSource, SiteManifest, Sources, Task

ROOT = Path(__file__).parents[2]
LOCAL = FolderSource(
    kind="folder", publisher="Our clinic", country="not stated", licence="stays in the house", citation="none"
)


@pytest.fixture(scope="module")
def manifests() -> list[SiteManifest]:
    return load_sites(ROOT / "data_manifests")


def with_sources(manifest: SiteManifest, sources: Sources, default: str | None) -> SiteManifest:
    return manifest.model_copy(update={"sources": sources, "default_source": default})


def test_a_source_is_chosen_by_name_or_by_default(manifests: list[SiteManifest]) -> None:
    both = Sources(phantom=manifests[0].sources.phantom, local=LOCAL)
    site = with_sources(manifests[0], both, "phantom")
    assert choose_source(site, "local") == ("local", LOCAL)
    assert choose_source(site, "default") == ("phantom", manifests[0].sources.phantom)
    assert choose_source(with_sources(site, both, "local"), "default") == ("local", LOCAL)
    assert choose_source(with_sources(site, Sources(local=LOCAL), None), "default") == ("local", LOCAL)


def test_a_choice_that_cannot_be_made_is_explained(manifests: list[SiteManifest]) -> None:
    site = manifests[0]
    both = Sources(phantom=site.sources.phantom, local=LOCAL)
    with pytest.raises(UltraFMError, match=r"site_01_palm_breast, source: found 'fantom'.*did you mean 'phantom'"):
        choose_source(site, "fantom")
    with pytest.raises(UltraFMError, match=r"no source 'local'; expected one of phantom, open"):
        choose_source(site, "local")
    with pytest.raises(UltraFMError, match=r"2 sources \(phantom, local\) and no default_source"):
        choose_source(with_sources(site, both, None), "default")
    with pytest.raises(UltraFMError, match="no source 'open'"):
        choose_source(with_sources(site, both, "open"), "default")
    with pytest.raises(UltraFMError, match="0 sources"):
        choose_source(with_sources(site, Sources(), None), "default")


def test_tasks_are_gathered_in_any_order_of_sites(manifests: list[SiteManifest]) -> None:
    tasks = gather_tasks(manifests)
    assert tasks == gather_tasks(manifests[::-1])
    assert tasks["liver_mass"].sites == ("site_07_jade_liver", "site_08_amber_liver", "site_09_linden_liver")
    assert tasks["liver_mass"].task.positive == ("malignant",)
    assert gather_tasks([]) == {}
    assert gather_tasks(manifests[11:]) == {}


def test_sites_that_disagree_on_a_task_are_refused(manifests: list[SiteManifest]) -> None:
    other = Task(name="breast_mass", kind="diagnosis", organ="breast", disease="breast cancer",
                 positive=("malignant", "benign"), negative=("normal",))  # fmt: skip
    strange = manifests[2].model_copy(update={"tasks": (manifests[2].tasks[1], other)})
    with pytest.raises(
        UltraFMError, match=r"site_03_olive_breast, field tasks.1.positive: found \('malignant', 'benign'\)"
    ):
        gather_tasks([strange, *manifests[:2]])


def test_totals_count_each_country_organ_and_modality_once(manifests: list[SiteManifest]) -> None:
    assert count_totals(manifests[:3]) == {"sites": 3, "countries": 3, "organs": 1, "modalities": 2}
    assert count_totals(manifests[3:5]) == {"sites": 2, "countries": 1, "organs": 1, "modalities": 1}
    unstated = with_sources(manifests[0], Sources(local=LOCAL), None)
    assert count_totals([unstated])["countries"] == 0
    assert count_totals([])["sites"] == 0
