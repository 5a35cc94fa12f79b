"""What an update tells of its site: which organ it scans, or how large an organ's share is, guessed from the update.

The attacker has pictures of other patients, makes updates of sites of its own with them, and learns from these
(property inference; Melis et al. 2019, arXiv 1805.04049; shadow models of Ateniese et al. 2015, arXiv 1306.4447).
Only biases and scales of norms are looked at, since each of them gathers over all tokens (on the study's model they
told more than all weights together), through a random projection, the count sketch (Charikar et al. 2002): every one is
added, with a random sign, to one of a few hundred sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ultrafm.curation import load_pictures
from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.rates import mean_interval
from ultrafm.federation.leakage.updates import Case, length, loss_gradients, trained_weights
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, as_batch, scans_of
from ultrafm.pretraining.views import training_view
from ultrafm.seeds import spawn

FEWEST_PATIENTS = 6  # of an organ, half of them the attacker's
MAIN_SHARE = 0.8  # of a site's pictures, of the organ that it mainly scans


@dataclass(frozen=True)
class Sketches:
    """Gradients of N single pictures, projected: sums (N, D), lengths (N,) before, and how many weights a sum holds."""

    sums: np.ndarray
    lengths: np.ndarray
    weights_a_sum: float


def some_pictures(curated: Path, sites: Sequence[str], count: int, seed: int) -> tuple[Scans, pd.DataFrame]:
    """Up to `count` training and validation pictures of these sites, with the organ and patient of each."""
    pictures = load_pictures(curated, sites, ["train", "validation"])
    rows = np.sort(spawn(seed, "pictures of the origin attack").permutation(len(pictures.table))[:count])
    table = pictures.table.iloc[rows].reset_index(drop=True)
    names = table["site"] + "/" + table["patient"].astype(str)
    return scans_of(pictures).rows(rows), pd.DataFrame({"organ": table["organ"], "patient": names})


def sketch_gradients(
    model: MaskedAutoencoder, scans: Scans, grey_scale: GreyScale, recipe: Recipe, generator: torch.Generator,
    width: int = 512,
) -> Sketches:  # fmt: skip
    """The gradient of every picture in a random training view, as `width` sums; lengths are of all weights."""
    count = sum(one.numel() for one in trained_weights(model).values() if one.ndim == 1)
    place = torch.randint(width, (count,), generator=generator)
    sign = 1.0 - 2.0 * torch.randint(2, (count,), generator=generator)
    model.eval()
    sums, lengths = [], []
    for row in range(len(scans)):
        view = training_view(as_batch(scans, np.array([row])), recipe, generator)
        found = loss_gradients(model, view, grey_scale)
        flat = torch.cat([one for one in found.values() if one.ndim == 1])
        sums.append(torch.zeros(width).index_add_(0, place, flat * sign))
        lengths.append(length(found))
    return Sketches(torch.stack(sums).numpy(), np.array(lengths), count / width)


def draw_updates(
    sketches: Sketches, groups: dict[str, np.ndarray], shares: np.ndarray, case: Case, generator: np.random.Generator
) -> np.ndarray:
    """Projected updates of R sites, (R, D), as they are seen in `case`.

    groups: rows of the pictures of each organ. shares: (R, G) of the organs at each site. Of several sites, the others
    have one organ each, drawn at random. All steps are taken at the same weights, so their gradients just add up.
    """
    scale = np.minimum(1.0, case.clip / sketches.lengths)[:, None] if case.noise else 1.0
    each, names, seen = sketches.sums * scale, list(groups), []
    for share in shares:
        mixes = [share, *np.eye(len(names))[generator.integers(len(names), size=case.sites - 1)]]
        updates = []
        for mix in mixes:
            counts = generator.multinomial(case.pictures * case.steps, mix)
            rows = [generator.choice(groups[name], size=count) for name, count in zip(names, counts)]
            updates.append(each[np.concatenate(rows)].mean(axis=0))
        deviation = case.clip * case.noise * np.sqrt(sketches.weights_a_sum * case.steps * case.sites)
        blur = deviation / (case.pictures * case.steps * case.sites)
        seen.append(np.mean(updates, axis=0) + blur * generator.standard_normal(each.shape[1]))
    return np.array(seen)


def guess_main_organ(
    sketches: Sketches, table: pd.DataFrame, case: Case, repeats: int, seed: int, sites: int = 200
) -> pd.DataFrame:
    """How often the organ that a site mainly scans is guessed right, beside chance. One row per repeat.

    table: organ and patient (a name of one site's patient) of each picture. Each repeat deals patients anew into the
    attacker's and the victims', and draws `sites` sites of each. Columns: case, repeat, accuracy, chance, organs.
    """
    rows = []
    for repeat in range(repeats):
        generator = spawn(seed, "origin", case.name, repeat)
        ours, theirs = deal_patients(table, generator)
        names = list(ours)
        given, asked = (generator.integers(len(names), size=sites) for _side in range(2))
        learn, attack = (
            draw_updates(sketches, side, main_shares(truth, len(names)), case, generator)
            for side, truth in ((ours, given), (theirs, asked))
        )
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(learn, given)
        accuracy = float(np.mean(model.predict(attack) == asked))
        rows.append((case.name, repeat, accuracy, 1 / len(names), len(names)))
    return pd.DataFrame(rows, columns=["case", "repeat", "accuracy", "chance", "organs"])


def guess_share(
    sketches: Sketches, table: pd.DataFrame, case: Case, organ: str, repeats: int, seed: int, sites: int = 200
) -> pd.DataFrame:
    """How well the share of one organ at a site is guessed: correlation of guess and truth; 0 when nothing is told.

    The rest of a site's pictures is of another organ, drawn for each site. One row per repeat: case, repeat, organ,
    correlation.
    """
    rows = []
    for repeat in range(repeats):
        generator = spawn(seed, "origin share", case.name, repeat)
        ours, theirs = deal_patients(table, generator)
        names = list(ours)
        if organ not in names:
            raise UltraFMError("organ of the attack", repr(organ), f"one of {', '.join(names)}")
        place = names.index(organ)
        mixes = [random_shares(place, len(names), sites, generator) for _side in range(2)]
        learn, attack = (draw_updates(sketches, side, mix, case, generator) for side, mix in zip((ours, theirs), mixes))
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 5, 9))).fit(learn, mixes[0][:, place])
        guessed = model.predict(attack)
        flat = guessed.std() < 1e-9
        found = 0.0 if flat else float(np.corrcoef(guessed, mixes[1][:, place])[0, 1])
        rows.append((case.name, repeat, organ, found))
    return pd.DataFrame(rows, columns=["case", "repeat", "organ", "correlation"])


def commonest_organ(table: pd.DataFrame) -> str:
    """The organ of most patients, the first by name among equals."""
    counts = table.groupby("organ")["patient"].nunique()
    return str(counts.sort_index().idxmax())


def deal_patients(
    table: pd.DataFrame, generator: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rows of each organ's pictures, the attacker's and the victims', of different patients.

    Organs with fewer than FEWEST_PATIENTS are left out. Raises UltraFMError when fewer than two are left.
    """
    organs, patients = table["organ"].to_numpy(), table["patient"].to_numpy()
    sides: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})
    for organ in np.unique(organs):
        names = generator.permutation(np.unique(patients[organs == organ]))
        if len(names) < FEWEST_PATIENTS:
            continue
        for side, some in zip(sides, (names[: len(names) // 2], names[len(names) // 2 :])):
            side[str(organ)] = np.flatnonzero((organs == organ) & np.isin(patients, some))
    if len(sides[0]) < 2:
        expected = f"two organs with {FEWEST_PATIENTS} patients each"
        raise UltraFMError("inference of a site's organ", f"{len(sides[0])} organs", expected)
    return sides


def main_shares(organs: np.ndarray, count: int) -> np.ndarray:
    """(R, G): MAIN_SHARE of the pictures are of the site's own organ, the rest of the others alike."""
    shares = np.full((len(organs), count), (1 - MAIN_SHARE) / max(count - 1, 1))
    shares[np.arange(len(organs)), organs] = MAIN_SHARE
    return shares


def random_shares(place: int, count: int, sites: int, generator: np.random.Generator) -> np.ndarray:
    """(R, G): a uniform share of the organ at `place`, the rest of one other organ."""
    shares, other = np.zeros((sites, count)), generator.integers(count - 1, size=sites)
    share = generator.random(sites)
    shares[np.arange(sites), other + (other >= place)] = 1 - share
    shares[:, place] = share
    return shares


def summary(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean over repeats of each case with Student's interval, cut to what is possible: columns case to repeats."""
    rows = [
        (case, *mean_interval(part.groupby("repeat")[column].mean()), part["repeat"].nunique())
        for case, part in table.groupby("case", sort=False)
    ]
    found = pd.DataFrame(rows, columns=["case", "estimate", "low", "high", "repeats"])
    least = 0.0 if column == "accuracy" else -1.0
    return found.assign(low=found["low"].clip(least, 1), high=found["high"].clip(least, 1))
