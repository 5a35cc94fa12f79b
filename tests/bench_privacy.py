"""What privacy of patients costs: processor seconds and memory of a noisy step beside a plain one, same pictures.

python -m tests.bench_privacy    writes reports/bench/privacy.json (one thread; a minute or two)
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ultrafm.federation.privacy.accounting import Spending, epsilon_of, is_affordable
from ultrafm.federation.privacy.draws import SecureDraws
from ultrafm.federation.privacy.gradients import clipped_sum, patient_gradients
from ultrafm.federation.privacy.protection import Protection
from ultrafm.federation.privacy.training import train_privately
from ultrafm.federation.privacy.views import PatientView, Roster, patient_view
from ultrafm.files import write_json
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model, recipe_of_size
from ultrafm.pretraining.scans import Scans, as_scans
from ultrafm.seeds import spawn, spawn_torch
from ultrafm.study import REPOSITORY

EACH = 2  # images of a patient
PROTECTION = Protection(privacy="patients", noise=1.0, clip=1.0, delta=1e-4, patient_images=EACH)
GREY = GreyScale(PROTECTION.public_mean, PROTECTION.public_deviation)
SMALL = {"image_size": 64}
SIZES: dict[str, dict[str, Any]] = {"laptop": SMALL}


@dataclass(frozen=True)
class Material:
    """What steps are made of."""

    model: MaskedAutoencoder
    scans: Scans
    roster: Roster
    recipe: Recipe


def steps_of(recipe: Recipe, patients: int) -> tuple[dict[str, Callable[[], object]], Material]:
    """One plain step and one noisy step over the same number of pictures, both in fp32 with plain gradient descent."""
    model, images, side = build_model(recipe, 0), EACH * patients, recipe.image_size
    pictures = spawn(0, "bench privacy").integers(0, 256, (images, side, side)).astype(np.uint8)
    scans = as_scans(pictures, np.ones(pictures.shape, bool))
    roster = Roster({str(one): np.arange(EACH * one, EACH * (one + 1)) for one in range(patients)}, True)
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.0)
    draws, whole = SecureDraws(), [np.arange(images)]

    def plain() -> None:
        train(model, optimizer, scans, whole, lambda _step: 0.1, GREY, recipe, spawn_torch(0, "plain"))

    def noisy() -> None:
        look = partial(spawn_torch, 0)
        train_privately(
            model, optimizer, scans, roster, recipe, PROTECTION, 1, 1, 0.1, draws, lambda one, step: look(one)
        )

    return {"plain": plain, "noisy": noisy}, Material(model, scans, roster, recipe)


def parts_of(material: Material) -> dict[str, Callable[[], object]]:
    """The parts of a noisy step, each by itself."""
    model, view, draws = material.model, look_at(material), SecureDraws()
    gradients = patient_gradients(model, view, GREY)
    numbers = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return {
        "of_which_views": lambda: look_at(material), "of_which_gradients": lambda: patient_gradients(model, view, GREY),
        "of_which_clipped_sum": lambda: clipped_sum(gradients, 1.0), "of_which_noise": lambda: draws.normal(numbers),
    }  # fmt: skip


def look_at(material: Material) -> PatientView:
    """What is shown of all patients in a step."""
    patients, cpu = list(material.roster.rows), torch.device("cpu")
    return patient_view(material.scans, material.roster, patients, EACH, material.recipe, partial(spawn_torch, 0), cpu)


def bench_time(size: str, patients: int = 16, repeats: int = 5) -> dict[str, float]:
    """Median processor seconds of each, taken in turn, and the median of the ratios noisy / plain."""
    steps, material = steps_of(recipe_of_size(size, **SIZES[size]), patients)
    steps |= parts_of(material)
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    found = {f"{name}_seconds": statistics.median(values) for name, values in seconds.items()}
    ratios = [noisy / plain for noisy, plain in zip(seconds["noisy"], seconds["plain"])]
    return found | {"noisy_over_plain": statistics.median(ratios)}


def peak_memory(size: str, kind: str, patients: int) -> float:
    """MiB that three steps need beyond what the process had before, by the kernel's account of its peak."""
    command = [sys.executable, "-m", "tests.bench_privacy", "--one", size, kind, str(patients)]
    return json.loads(subprocess.check_output(command, cwd=REPOSITORY, text=True))


def growth_of(size: str, kind: str, patients: int) -> float:
    """The same in this process. A first step with one patient is before the count, since torch keeps what it loads."""
    recipe = recipe_of_size(size, **SIZES[size])
    steps_of(recipe, 1)[0][kind]()
    steps, _material = steps_of(recipe, patients)
    before = resident("VmRSS")
    for _ in range(3):
        steps[kind]()
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """Kilobytes, from the kernel."""
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def bench_accountant() -> dict[str, float]:
    """Seconds for epsilon of a run, and for a round that is far from its budget."""
    epsilon_of([Spending(1.0, 0.5, 1)], 1e-5)  # imports the library
    found = {}
    for name, ask in (
        ("epsilon_of_300_steps", lambda: epsilon_of([Spending(1.0, 16 / 1024, 300)], 1e-5)),
        ("a_round_far_from_its_budget", lambda: is_affordable([Spending(1.01, 16 / 1024, 300)], 8.0, 1e-5)),
    ):
        start = time.process_time()
        ask()
        found[name] = time.process_time() - start
    return found


def bench_privacy(patients: int = 16) -> dict[str, Any]:
    """All of it; see the functions."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {"patients_in_a_step": patients, "images_of_a_patient": EACH, "threads": 1}
    for size in SIZES:
        weights = sum(one.numel() for one in build_model(recipe_of_size(size, **SIZES[size]), 0).parameters())
        memory = {kind: peak_memory(size, kind, patients) for kind in ("plain", "noisy")}
        found[size] = {"weights": weights, **bench_time(size, patients), "peak_mib": memory}
    return found | {"accountant_seconds": bench_accountant()}


def main() -> None:
    """Run it, print it and keep it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", nargs=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        size, kind, patients = options.one
        print(json.dumps(growth_of(size, kind, int(patients))))
        return
    found = bench_privacy()
    write_json(REPOSITORY / "reports" / "bench" / "privacy.json", found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
