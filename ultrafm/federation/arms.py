"""The four encoders that the study compares: random, one site alone, all sites pooled, federated.

All have the same network, the same initial weights, the same grey normalisation and (but for random) see the same
number of pictures under the same schedule.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.std import tqdm

from ultrafm.curation import load_pictures
from ultrafm.curation.sheets.licences import carried, licences
from ultrafm.errors import UltraFMError
from ultrafm.federation.courier import Courier
from ultrafm.federation.driver import common_grey_scale, federate, meet_sites, open_grid
from ultrafm.federation.encoder import site_numbers, write_encoder
from ultrafm.federation.grid import start_worker
from ultrafm.federation.incidents import Incident
from ultrafm.federation.plan import Federation
from ultrafm.federation.site import site_scans
from ultrafm.federation.vector import WEIGHTS, as_views, load_vector
from ultrafm.files import write_json
from ultrafm.pretraining.central import newest, pretrain_centrally, trained_model
from ultrafm.pretraining.checkpoint import newest_facts, part_of
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import image_losses
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import scans_of
from ultrafm.pretraining.weights import describe_encoder, load_encoder
from ultrafm.progress import progress
from ultrafm.reporting.records import FEWEST_PATIENTS, record
from ultrafm.seeds import spawn_torch
from ultrafm.workers import worker_pool

ARMS = ("random", "one_site", "pooled", "federated")


@dataclass(frozen=True)
class Workplace:
    """Where an arm finds the curated stores and puts its results, and what all arms share."""

    curated: Path
    folder: Path
    recipe: Recipe
    federation: Federation
    seed: int


def count_training_images(curated: Path) -> dict[str, int]:
    """Number of training images of each curated site that has any; sites without cannot take part."""
    sites = sorted(store.parent.name for store in curated.glob("*/store"))
    counts = {site: len(site_scans(str(curated), site, "train")) for site in sites}
    return {site: count for site, count in counts.items() if count}


def image_origin(curated: Path, sites: list[str]) -> str:
    """'real', or 'simulated' as soon as one site's images are."""
    return "simulated" if load_pictures(curated, sites, ["train"]).table["simulated"].any() else "real"


def picture_size(curated: Path, sites: list[str]) -> int:
    """Side of the curated pictures in pixels, the same at every site."""
    sizes = {site_scans(str(curated), site, "train").images.shape[1] for site in sites}
    if len(sizes) != 1:
        found = f"pictures of {', '.join(map(str, sorted(sizes)))} pixels"
        raise UltraFMError(str(curated), found, "one picture size at all sites", "curate all sites with one image_size")
    return sizes.pop()


def largest_site(counts: dict[str, int]) -> str:
    """The site that stands for 'one site alone': the one with most training images, the first by name among equals."""
    return min(counts, key=lambda site: (-counts[site], site))


def keep_encoder(
    place: Workplace,
    arm: str,
    model: MaskedAutoencoder,
    grey_scale: GreyScale,
    sites: list[str],
    numbers: dict[str, dict[str, float]] | None = None,
) -> Path:
    """Write an arm's encoder as a timm folder, with a model card, and beside it the whole autoencoder.

    `numbers`: what is known of each site, such as {"images": 116, "validation_loss": 0.7}.
    """
    about: dict[str, Any] = {
        "arm": arm, "sites": sites, "seed": place.seed, "licences": carried(licences(place.curated, sites)),
        "numbers": numbers or {},
    }  # fmt: skip
    if sites:
        about["images"] = image_origin(place.curated, sites)
    target = place.folder / "encoders" / arm
    return write_encoder(target, model, grey_scale, place.recipe, place.federation, about)


def agree_on_grey_scale(place: Workplace, sites: list[str]) -> GreyScale:
    """The grey normalisation of all sites together, from three numbers that each of them tells."""
    grid = open_grid(place.curated, sites, place.folder / "federated" / "sites", workers=1)
    courier = Courier(grid, {}, timeout=600.0)
    return common_grey_scale(meet_sites(courier, sites, place.folder / "federated", place.federation))


def pretrain_arms(
    place: Workplace, sites: list[str], grey_scale: GreyScale, workers: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train all arms, in `workers` processes side by side, and write their encoders; shows a progress bar.

    Returns the federation's log (one row per pass and site, see `federate`) and one row per central arm and pass: arm,
    pass, loss, validation_loss. An arm that was interrupted continues after its last finished round.
    """
    counts = {site: len(site_scans(str(place.curated), site, "train")) for site in sites}
    pictures = sum(counts.values())
    jobs = {
        "federated": partial(pretrain_federated, place, sites, max(workers - 2, 1)),
        "pooled": partial(pretrain_arm, place, "pooled", sites, sites, grey_scale, pictures),
        "one_site": partial(pretrain_arm, place, "one_site", [largest_site(counts)], sites, grey_scale, pictures),
    }
    keep_encoder(place, "random", build_model(place.recipe, place.seed), grey_scale, [])
    with progress(total=len(jobs) * place.federation.passes, unit="pass", title="three arms") as bar:
        histories = run_jobs(place, jobs, workers, bar)
    shutil.rmtree(place.folder / "federated" / "sites", ignore_errors=True)  # moments serve between rounds only
    write_json(place.folder / "log.json", histories)
    central = [pd.DataFrame(rows).assign(arm=arm) for arm, rows in histories.items() if arm != "federated"]
    return pd.DataFrame(histories["federated"]), pd.concat(central, ignore_index=True)


def pretrain_federated(place: Workplace, sites: list[str], workers: int) -> list[dict]:
    """The federated arm; returns its log."""
    torch.set_num_threads(1)
    made = federate(
        place.curated, sites, place.folder / "federated", place.recipe, place.federation, place.seed, workers
    )
    numbers = site_numbers({one.site: one.images for one in made.sites}, made.history, place.federation.passes)
    keep_encoder(place, "federated", made.model, made.grey_scale, sites, numbers)
    return made.history


def pretrain_arm(
    place: Workplace, arm: str, sites: list[str], everyone: list[str], grey_scale: GreyScale, pictures: int
) -> list[dict]:
    """A central arm on the images of `sites`, `pictures` per pass; returns its log.

    Its validation loss is over the validation folds of `everyone`, so that arms can be compared.
    """
    torch.set_num_threads(1)
    training = scans_of(load_pictures(place.curated, sites, ["train"]))
    held_out = scans_of(load_pictures(place.curated, everyone, ["validation"]))
    model, history = pretrain_centrally(
        arm, place.folder / arm, place.recipe, training, held_out, grey_scale, place.federation.passes, pictures,
        place.seed,
    )  # fmt: skip
    numbers: dict[str, dict[str, float]] = {
        site: {"images": len(site_scans(str(place.curated), site, "train"))} for site in sites
    }
    keep_encoder(place, arm, model, grey_scale, sites, numbers)
    return [{"pass": row["round"], **row} for row in history]


def incidents(place: Workplace) -> list[Incident]:
    """What went wrong between coordinator and sites while the federated arm was trained."""
    facts = newest_facts(place.folder / "federated") or {}
    return [Incident(**one) for one in facts.get("incidents", [])]


def run_jobs(
    place: Workplace, jobs: dict[str, Callable[[], list[dict]]], workers: int, bar: tqdm
) -> dict[str, list[dict]]:
    """Run the arms' jobs, here one after the other or in processes of their own: arm -> its log.

    The first job that fails ends the others; what they have finished is kept in their checkpoints.
    """
    if workers <= 1:
        return {arm: run_here(place, arm, job, bar) for arm, job in jobs.items()}
    with worker_pool(min(workers, len(jobs)), start_worker) as pool:
        running = {arm: pool.submit(job) for arm, job in jobs.items()}
        while (state := wait(running.values(), timeout=1, return_when=FIRST_EXCEPTION)).not_done:
            bar.update(sum(passes_done(place, arm) for arm in jobs) - bar.n)
            if failed := [job for job in state.done if job.exception()]:
                for worker in multiprocessing.active_children():
                    worker.terminate()
                failed[0].result()
        return {arm: job.result() for arm, job in running.items()}


def run_here(place: Workplace, arm: str, job: Callable[[], list[dict]], bar: tqdm) -> list[dict]:
    """Run one arm's job in this process."""
    history = job()
    bar.update(place.federation.passes)
    return history


def passes_done(place: Workplace, arm: str) -> int:
    """Passes over all images that an arm has finished so far, read from its newest checkpoint."""
    if (facts := newest_facts(place.folder / arm)) is None:
        return 0
    return facts["round"] * place.federation.passes // facts.get("rounds", place.federation.passes)


def load_model(place: Workplace, arm: str) -> MaskedAutoencoder:
    """An arm's whole autoencoder, decoder included, after its last round; 'random' is before the first."""
    if arm not in ("random", "federated"):
        return trained_model(place.folder / arm, place.recipe, place.seed)
    model = build_model(place.recipe, place.seed)
    if arm == "federated":
        weights = part_of(newest(place.folder / arm)[0], "model")
        load_vector(as_views(model, place.federation.local_patterns), weights[WEIGHTS].numpy())
    return model


def open_workplace(curated: Path, folder: Path) -> tuple[Workplace, GreyScale, list[str]]:
    """A finished workplace, its grey normalisation and its sites, as the federated encoder's description tells them."""
    encoder = folder / "encoders" / "federated"
    told = describe_encoder(encoder)
    configuration = load_encoder(encoder).pretrained_cfg
    place = Workplace(curated, folder, Recipe(**told["recipe"]), Federation(**told["federation"]), told["seed"])
    return place, GreyScale(configuration["mean"][0], configuration["std"][0]), told["sites"]


def validation_losses(
    place: Workplace, sites: list[str], grey_scale: GreyScale, arms: Sequence[str] = ARMS
) -> pd.DataFrame:
    """Reconstruction loss of every validation image under the arms' models, all with the same masks.

    One row per arm and image: arm, site, patient, simulated, loss.
    """
    held_out = load_pictures(place.curated, sites, ["validation"])
    table = held_out.table[["site", "patient", "simulated"]]
    scans = scans_of(held_out)
    losses = {
        arm: image_losses(
            load_model(place, arm), scans, grey_scale, place.recipe, spawn_torch(place.seed, "comparison masks")
        )
        for arm in arms
    }
    return pd.concat([table.assign(arm=arm, loss=loss) for arm, loss in losses.items()], ignore_index=True)


def loss_records(losses: pd.DataFrame, task: str = "reconstruction") -> list[dict[str, Any]]:
    """Mean validation loss of each arm with a patient-clustered interval, as records."""
    records = []
    for arm, table in losses.groupby("arm", sort=False):
        deviations = (table["loss"] - table["loss"].mean()).groupby([table["site"], table["patient"]]).sum()
        patients = len(deviations)
        error = (deviations**2).sum() ** 0.5 / len(table) * (patients / max(patients - 1, 1)) ** 0.5
        mean = float(table["loss"].mean())
        low, high, how = mean - 1.96 * error, mean + 1.96 * error, "normal, clustered by patient"
        if patients < FEWEST_PATIENTS:
            low, high, how = None, None, f"not defined: too few patients ({patients})"
        records.append(
            record(
                section="pretraining", task=task, method=str(arm), metric="normalised_squared_error",
                fold="validation", estimate=mean, ci_low=low, ci_high=high, ci_method=how,
                n=len(table), n_patients=patients, unit="patch variance",
                images="simulated" if table["simulated"].any() else "real",
            )
        )  # fmt: skip
    return records
