"""What a run spends at each site, and under which assumptions: for reports, model cards and a page on ethics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.federation.plan import Federation, SiteDescription
from ultrafm.federation.privacy.accounting import ERROR, LOOSE, Spending, accountant_name, epsilon_of
from ultrafm.federation.schedule import Schedule, share_of
from ultrafm.pretraining.checkpoint import newest_facts

COLUMNS = ("site", "patients", "sampling_rate", "steps", "noise", "clip", "epsilon", "delta")


def privacy_table(folder: Path, federation: Federation, seed: int) -> pd.DataFrame:
    """What each site of the run in `folder` has spent so far, one row a site with COLUMNS; no rows without privacy.

    Every finished round that asked a site counts, whether or not its answer was used. A round that is going on, or that
    was paid for again since state was lost, stands in the site's ledger alone. `noise` is in multiples of `clip`.
    `patients` are those of the training fold; None with privacy of sites, where `steps` are rounds. Where noise came
    from a seed, epsilon is what it would be with secure noise.
    """
    facts = newest_facts(folder) if federation.is_private else None
    sites = [SiteDescription(**fields) for _node, fields in facts["sites"]] if facts else []
    rows = []
    for place, one in enumerate(sites):
        spent = spending_of(place, one.images, federation, federation.schedule(len(sites), seed), facts["round"])
        patients = one.images if federation.is_at_sites else None
        epsilon = epsilon_of([spent], federation.delta)
        rows.append(
            (one.site, patients, spent.rate, spent.steps, spent.noise, federation.clip, epsilon, federation.delta)
        )
    return pd.DataFrame(rows, columns=[*COLUMNS])


def spending_of(place: int, patients: int, federation: Federation, schedule: Schedule, rounds: int) -> Spending:
    """What site number `place`, with so many training patients, spends in the first `rounds` rounds."""
    asked = [number for number in range(1, rounds + 1) if place in schedule.sites_of(number)]
    if not federation.is_at_sites:
        return Spending(federation.noise, 1.0, len(asked))
    steps_of_pass = -(-patients // federation.site_batch_size)
    parts = [share_of(steps_of_pass, schedule.place(number)[1], schedule.shares) for number in asked]
    steps = sum(part.stop - part.start for part in parts) * schedule.local_epochs
    return Spending(federation.noise, 1 / steps_of_pass, steps)


def assumptions(federation: Federation) -> list[str]:
    """Under which assumptions epsilon and delta hold, and what they do not cover, as sentences."""
    if not federation.is_private:
        return []
    unit = at_patients(federation) if federation.is_at_sites else at_coordinator(federation)
    noise = (
        "Noise and sampling come from the operating system's generator through ChaCha20, and cannot be repeated."
        if federation.secure_noise
        else "Noise and sampling come from a seed, so that the run can be repeated: this is a simulation, and protects "
        "nobody. Epsilon is what secure noise would give."
    )
    return [
        *unit,
        noise,
        f"Epsilon is an upper bound by {accountant_name()}; it may be {ERROR:g} above the exact value, and above "
        f"{LOOSE:g} it is a looser bound, by Rényi divergence.",
        "Finished rounds are counted once. One that was answered anew, since a checkpoint or a kept answer was lost, "
        + ("costs its sites twice; their ledgers tell." if federation.is_at_sites else "costs its sites twice."),
        "No loss, no grey value, no count of organs leaves a site, and no validation loss is asked for. The grey scale "
        f"is the plan's: mean {federation.public_mean:g}, deviation {federation.public_deviation:g}, chosen without "
        "looking at the images.",
        "Not covered: what the last bits of floating-point numbers tell (Mironov 2012), how long a step takes, error "
        "messages, curation, which compares pictures of different patients to find duplicates, and choices that people "
        "make after they have looked at the images, such as the plan's settings.",
    ]


def at_patients(federation: Federation) -> list[str]:
    """The sentences on patients as units."""
    return [
        "Two data sets are neighbours when one training patient of one site is left out of all steps, with all images; "
        "the number of training patients of each site, which sets sampling rate and divisor, is taken to be public.",
        "In each step every patient is drawn with the site's sampling rate, whoever else is (Poisson sampling), and "
        "nobody is told who was.",
        f"A patient's gradient is the mean over at most {federation.patient_images} of the patient's images, clipped "
        f"to length {federation.clip:g}; patients whose images lie at two sites spend at both.",
        "Whoever sees a site's answers is covered, the coordinator too. Patients of validation and test folds are not "
        "trained on and not asked about; what is computed from them after training is not covered.",
        "The ledger counts over all runs on the site's stores, and trusts the people of the site to keep it.",
    ]


def at_coordinator(federation: Federation) -> list[str]:
    """The sentences on sites as units."""
    return [
        "Two federations are neighbours when one site's updates are left out of all rounds; how many sites are asked, "
        "and how many images each has, is taken to be public.",
        f"Each update is clipped to length {federation.clip:g}, all count the same, and the sum is divided by the "
        "number of sites that were asked.",
        "Sites are dealt into rounds without replacement by a known seed, so no amplification by sampling is claimed: "
        "every round that asks a site counts in full.",
        "The model and what is computed from it are covered. The coordinator sees the updates before noise is added, "
        "and must be trusted; single patients are protected from the coordinator by nothing.",
    ]


def privacy_facts(folder: Path, federation: Federation, seed: int) -> dict[str, Any]:
    """`privacy_table` and `assumptions` of the run in `folder` as values for JSON; empty without privacy."""
    if not federation.is_private:
        return {}
    rows = privacy_table(folder, federation, seed).astype(object).to_dict("records")
    return {"privacy": {"unit": federation.privacy, "sites": rows, "assumptions": assumptions(federation)}}
