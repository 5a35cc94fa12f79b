"""What a plan may say of privacy, and that nothing changes without it."""

import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from scipy import stats

from ultrafm.errors import UltraFMError
from ultrafm.federation.checks import longest_noisy_steps, longest_update
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy.protection import Protection, without_unused
from ultrafm.pretraining.recipe import Recipe

PATIENTS = {"privacy": "patients", "noise": 1.0, "clip": 0.5, "delta": 1e-3}
AT_COORDINATOR = PATIENTS | {"privacy": "sites", "weighting": "equal"}


@pytest.mark.parametrize(("changes", "told"), [
    ({"privacy": "patient"}, r"privacy: found 'patient'.*did you mean 'patients'"),
    (PATIENTS | {"noise": 0.0}, "noise: found 0; expected a finite number above 0"),
    (PATIENTS | {"noise": math.nan}, "noise: found nan"),
    (PATIENTS | {"clip": 0.0}, "clip: found 0"),
    (PATIENTS | {"clip": math.inf}, "clip: found inf"),
    (PATIENTS | {"delta": 0.0}, "delta: found 0; expected above 0"),
    (PATIENTS | {"delta": 1.0}, "delta: found 1"),
    (PATIENTS | {"epsilon": -1.0}, "privacy: found epsilon -1"),
    (PATIENTS | {"patient_images": 0}, "patient_images 0"),
    (PATIENTS | {"public_deviation": 0.0}, "public_deviation: found 0"),
    (PATIENTS | {"public_mean": 2.0}, "public_mean 2"),
    (PATIENTS | {"adaptive": "kept"}, "adaptive: found 'kept' with privacy of patients; expected 'server'"),
    (PATIENTS | {"adaptive": "reset"}, "adaptive: found 'reset'"),
    (PATIENTS | {"weighting": "organs"}, "weighting: found organs with privacy"),
    (AT_COORDINATOR | {"weighting": "images"}, "weighting: found 'images' with privacy of sites; expected 'equal'"),
    (AT_COORDINATOR | {"aggregation": "median"}, "aggregation: found 'median' with privacy of sites"),
    (AT_COORDINATOR | {"aggregation": "krum"}, "aggregation: found 'krum' with privacy of sites"),
    ({"noise": 1.0}, "noise: found 1 without privacy; expected nothing"),
    ({"epsilon": 3.0}, "epsilon: found 3 without privacy"),
])  # fmt: skip
def test_senseless_plans_are_refused(changes, told):
    with pytest.raises(UltraFMError, match=told):
        Federation(passes=1, **changes)


@pytest.mark.parametrize("changes", [
    PATIENTS, PATIENTS | {"aggregation": "median"}, PATIENTS | {"compression": "int8", "local_weights": "decoder*"},
    PATIENTS | {"weighting": "root"}, AT_COORDINATOR, AT_COORDINATOR | {"adaptive": "kept", "compression": "bf16"},
])  # fmt: skip
def test_what_comes_after_the_noise_may_be_anything(changes):
    federation = Federation(passes=1, **changes)
    assert federation.is_private and federation.is_at_sites == (changes["privacy"] == "patients")
    assert set(federation.privacy_settings()) == {one.name for one in fields(Protection)}


def test_without_privacy_nothing_of_it_is_sent_or_written_down():
    plain = Federation(passes=3)
    assert plain.privacy_settings() == {}
    told = without_unused(plain)
    assert not set(told) & {one.name for one in fields(Protection)} and next(iter(told)) == "passes"
    assert without_unused(Federation(passes=3, **PATIENTS)) == asdict(Federation(passes=3, **PATIENTS))


def test_an_honest_noisy_update_is_not_refused_and_one_twice_as_long_is():
    """The noise of many numbers has nearly always the length that it is expected to have."""
    federation = Federation(passes=1, site_batch_size=4, **PATIENTS)
    numbers, steps, patients = 20_000, 3, 16
    longest = longest_noisy_steps(federation, steps, numbers, patients)
    draws, expected = np.random.default_rng(1), 4.0
    for _ in range(30):
        noise = draws.normal(0, federation.noise * federation.clip, (steps, numbers)).sum(axis=0)
        came = sum(draws.binomial(patients, 0.25) for _ in range(steps))
        length = (np.linalg.norm(noise) + came * federation.clip) / expected
        assert length < longest < 2 * length
    whole = longest_update(Recipe(), federation, steps, np.zeros(numbers, np.float32), patients)
    assert whole == pytest.approx(1.01 * federation.site_step * longest)


def test_the_bound_covers_the_number_of_patients_who_come():
    quiet = replace(Federation(passes=1, site_batch_size=4, **PATIENTS), noise=1e-9)
    longest = longest_noisy_steps(quiet, steps=50, numbers=1, patients=1000) * 4 / quiet.clip
    assert stats.binom(50 * 1000, 1 / 250).sf(longest) < 1e-20 and longest < 50 * 1000
    assert longest_noisy_steps(quiet, 2, 1, 3) == pytest.approx(0.5 * 6 / 3)  # all three patients in both steps
