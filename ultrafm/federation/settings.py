"""Which way of working together learns best: settings of the federation side by side, judged on validation folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from ultrafm.errors import UltraFMError
from ultrafm.federation.arms import Workplace, count_training_images, pretrain_federated, run_jobs, validation_losses
from ultrafm.federation.figures import pass_losses
from ultrafm.federation.plan import Federation
from ultrafm.pretraining.grey import GreyScale
from ultrafm.progress import progress


def read_setting(text: str, base: Federation) -> Federation:
    """ "server 20 4" as a federation: where the adaptive optimizer is, shares of a pass, sites a round (0: all)."""
    words = text.split()
    if len(words) != 3 or not all(word.isdigit() for word in words[1:]):
        raise UltraFMError("setting", repr(text), "three words such as 'server 20 4'")
    return replace(base, adaptive=words[0], shares=int(words[1]), sites_per_round=int(words[2]))


def describe_setting(federation: Federation, sites: int) -> str:
    """A setting in words: "server, 80 rounds, 4 sites"."""
    schedule = federation.schedule(sites, seed=0)
    rounds = schedule.shares * schedule.rounds_per_turn
    return f"{federation.adaptive}, {rounds} round{'s' * (rounds > 1)}, {federation.sites_per_round or sites} sites"


def compare_settings(
    place: Workplace, settings: Sequence[str], grey_scale: GreyScale, workers: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train one federated model under each setting from the same start; shows a progress bar, resumes after rounds.

    Returns the validation loss by pass (setting, pass, validation_loss), and that of each validation image after
    training (arm, site, patient, simulated, loss), where `arm` is the setting.
    """
    sites = list(count_training_images(place.curated))
    chosen = {text: read_setting(text, place.federation) for text in settings}
    names = {text: describe_setting(federation, len(sites)) for text, federation in chosen.items()}
    places = {
        text: replace(place, folder=place.folder / text.replace(" ", "-"), federation=federation)
        for text, federation in chosen.items()
    }
    jobs = {f"{at.folder.name}/federated": partial(pretrain_federated, at, sites, 1) for at in places.values()}
    with progress(total=len(jobs) * place.federation.passes, unit="pass", title=f"{len(jobs)} settings") as bar:
        logs = run_jobs(place, jobs, workers, bar)
    curves = [pass_losses(pd.DataFrame(log)).assign(setting=name) for name, log in zip(names.values(), logs.values())]
    losses = [
        validation_losses(at, sites, grey_scale, ("federated",)).assign(arm=names[text]) for text, at in places.items()
    ]
    return pd.concat(curves, ignore_index=True), pd.concat(losses, ignore_index=True)
