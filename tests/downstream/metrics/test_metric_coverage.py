"""Do 95 % intervals of AUROC cover the true one 93 to 97 % of the time? A simulation; its numbers are printed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ultrafm.downstream.metrics import Cases, auroc, auroc_bootstrap, draw_patients, interval

SIMULATIONS, REPLICATES = 2000, 2000
MONTE_CARLO = np.sqrt(0.95 * 0.05 / SIMULATIONS)  # 0.5 %: the standard error of a coverage of 95 %
ONE = np.ones(1)


def clustered(generator: np.random.Generator, patients: int, area: float) -> Cases:
    """Patients of 1 to 5 images, 40 % diseased; half of the variance of scores lies between patients.

    Any two images, of one class each, come from two patients, so the AUROC of the binormal model is `area`.
    """
    units = np.repeat(np.arange(patients), generator.integers(1, 6, patients))
    truth = (units < 0.4 * patients).astype(int)
    between, within = generator.normal(size=patients)[units], generator.normal(size=len(units))
    scores = np.sqrt(2) * norm.ppf(area) * truth + np.sqrt(0.5) * (between + within)
    return Cases(scores[None], truth, np.array([f"a/{unit:04d}" for unit in units]))


def coverage(patients: int, area: float) -> dict[str, float]:
    """Share of simulations whose interval holds `area`; ten simulations in a row share their draws of patients."""
    generator = np.random.default_rng([patients, round(100 * area)])
    names = [f"a/{unit:04d}" for unit in range(patients)]
    classes = (np.arange(patients) < 0.4 * patients).astype(int)
    hits = {"bootstrap": 0, "delong": 0}
    for number in range(SIMULATIONS):
        if number % 10 == 0:
            draws = draw_patients(names, REPLICATES, generator, classes)
        cases = clustered(generator, patients, area)
        for name, estimates in (("bootstrap", auroc_bootstrap([cases], draws)), ("delong", auroc([cases]))):
            found = interval(estimates, ONE)
            hits[name] += found.low <= area <= found.high
    return {name: count / SIMULATIONS for name, count in hits.items()}


def test_the_simulation_has_the_auroc_that_it_claims():
    generator = np.random.default_rng(0)
    found = [auroc([clustered(generator, 400, 0.75)]).values[0] for _ in range(100)]
    assert np.mean(found) == pytest.approx(0.75, abs=4 * np.std(found) / 10) and np.std(found) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "area"), [(100, 0.75), (100, 0.9), (400, 0.75), (400, 0.9)])
def test_intervals_of_auroc_cover_as_promised(patients: int, area: float):
    found = coverage(patients, area)
    print(f"{patients} patients, AUROC {area}: {found}, Monte-Carlo standard error {MONTE_CARLO:.4f}")
    assert 0.93 <= found["bootstrap"] <= 0.97
    assert 0.93 <= found["delong"] <= 0.97
