"""The lock of a site: what is written comes back, the same bytes each time, and damage is told."""

import pytest

from ultrafm.errors import UltraFMError
from ultrafm.manifests.lock import Lock, LockedPlace, lock_path, read_lock, write_lock

LOCK = Lock(
    archives={"https://b": "22", "https://a": "11"},
    patients={"ff": LockedPlace(fold="train"), "aa": LockedPlace(fold="evaluation", group=2)},
    withdrawn=("ee", "cc"),
)


def test_without_a_file_nothing_is_locked(tmp_path):
    assert read_lock(tmp_path, "site_01_a") == Lock()


def test_what_is_written_comes_back_and_order_does_not_matter(tmp_path):
    path = write_lock(tmp_path, "site_01_a", LOCK)
    first = path.read_bytes()
    again = read_lock(tmp_path, "site_01_a")
    assert again.archives == LOCK.archives and again.patients == LOCK.patients
    assert set(again.withdrawn) == set(LOCK.withdrawn)
    turned = Lock(
        archives=dict(reversed(LOCK.archives.items())), patients=dict(reversed(LOCK.patients.items())),
        withdrawn=LOCK.withdrawn[::-1],
    )  # fmt: skip
    assert write_lock(tmp_path, "site_01_a", turned).read_bytes() == first


@pytest.mark.parametrize("text", ["", "{", '{"patients": {"aa": {"fold": "holdout"}}}', '{"folds": {}}', "[]"])
def test_a_damaged_lock_is_an_error_that_names_the_file(tmp_path, text):
    path = lock_path(tmp_path, "site_01_a")
    path.write_text(text)
    with pytest.raises(UltraFMError, match=r"site_01_a\.lock\.json"):
        read_lock(tmp_path, "site_01_a")
