"""What secure sums cost beside plain ones: the coordinator's seconds, a site's seconds, bytes of each stage.

python -m tests.bench_secure     10 million weights, 16 sites; writes reports/bench/secure.json
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from ultrafm.federation.aggregation import StreamingMean
from ultrafm.federation.compression import Update
from ultrafm.federation.secure.keys import Advertised, Secrets, advertise, new_secrets
from ultrafm.federation.secure.masks import add_masks
from ultrafm.federation.secure.ring import LONG, Ring, decode, encode
from ultrafm.federation.secure.sealing import open_shares, seal_shares
from ultrafm.federation.secure.session import Session, threshold_of
from ultrafm.federation.secure.sums import mask, reveal, unmask
from ultrafm.federation.secure.traffic import secure_traffic
from ultrafm.federation.vector import WEIGHTS
from ultrafm.files import write_json
from ultrafm.study import REPOSITORY

SITES, NUMBERS, REPEATS = 16, 10_000_000, 3
IMAGES = 8


@dataclass
class Held:
    """A session in which all sites hold the shares of all."""

    session: Session
    secrets: dict[str, Secrets]
    advertised: dict[str, Advertised]
    shares: dict[str, dict[str, bytes]]


def share_all(sites: int) -> tuple[Held, float]:
    """Keys and shares of all sites, and a site's mean seconds for both."""
    names = tuple(f"site_{place:02d}" for place in range(sites))
    session = Session("bench", 1, "attempt", names, threshold_of(0, sites))
    keys = {site: ec.generate_private_key(ec.SECP384R1()) for site in names}
    start = time.perf_counter()
    secrets = {site: new_secrets() for site in names}
    advertised = {site: advertise(session, site, secrets[site], keys[site]) for site in names}
    sealed = {site: seal_shares(session, site, secrets[site], advertised) for site in names}
    shares = {
        site: open_shares(session, site, secrets[site], advertised, {other: sealed[other][site] for other in names})
        for site in names
    }
    return Held(session, secrets, advertised, shares), (time.perf_counter() - start) / sites


def plain_seconds(old: np.ndarray, new: np.ndarray) -> float:
    """A plain round's aggregation: `StreamingMean` over the updates of all sites."""
    start, mean = time.perf_counter(), StreamingMean(len(old))
    for _ in range(SITES):
        mean.add(Update(old, {WEIGHTS: new}), IMAGES)
    mean.joined()
    return time.perf_counter() - start


def masked_vectors(held: Held, ring: Ring, old: np.ndarray, new: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    """Every site's masked numbers, and the median of its seconds for them."""
    vectors, seconds = {}, []
    for site in held.session.sites:
        start = time.perf_counter()
        vectors[site] = encode(ring, Update(old, {WEIGHTS: new}), IMAGES, IMAGES, 1.0)
        mask(vectors[site], held.session, site, held.secrets[site], held.advertised, held.session.sites)
        seconds.append(time.perf_counter() - start)
    return vectors, statistics.median(seconds)


def secure_seconds(held: Held, ring: Ring, vectors: dict[str, np.ndarray], dropped: int) -> tuple[float, np.ndarray]:
    """A secure round's sum and its unmasking, and the mean that comes out; so many sites sent nothing."""
    survivors = list(held.session.sites[dropped:])
    revealed = {site: reveal(held.shares[site], survivors) for site in survivors}
    start, total = time.perf_counter(), np.zeros(NUMBERS + LONG, ring.kind)
    for site in survivors:
        total += vectors[site]
    unmask(total, held.session, held.advertised, held.session.sites, survivors, revealed)
    mean = decode(ring, total).mean
    return time.perf_counter() - start, mean


def keystream_rate() -> float:
    """Gigabytes of masks a second that are made and added."""
    numbers, start = np.zeros(NUMBERS, np.uint32), time.perf_counter()
    add_masks(numbers, [(bytes(31) + bytes([one]), 1) for one in range(8)])
    return 8 * numbers.nbytes / (time.perf_counter() - start) / 1e9


def bench_secure() -> dict[str, Any]:
    """Plain and secure rounds in turn, with nobody and with as many as may dropping out."""
    generator = np.random.default_rng(0)
    old = generator.normal(size=NUMBERS).astype(np.float32)
    new = old + generator.uniform(-0.1, 0.1, NUMBERS).astype(np.float32)
    held, sharing = share_all(SITES)
    ring, most = Ring(SITES, IMAGES, IMAGES, 0.2), SITES - held.session.threshold
    vectors, masking = masked_vectors(held, ring, old, new)
    seconds: dict[str, list[float]] = {"plain": [], "none": [], "most": []}
    for _ in range(REPEATS):
        seconds["plain"].append(plain_seconds(old, new))
        for name, dropped in (("none", 0), ("most", most)):
            spent, mean = secure_seconds(held, ring, vectors, dropped)
            seconds[name].append(spent)
            worst = float(np.abs(mean - (new.astype(np.float64) - old)).max())
            if worst > ring.reach / ring.limit * ring.weight * SITES / 2 / IMAGES:
                raise ValueError(f"off by {worst}")
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    stages = secure_traffic(SITES, NUMBERS).drop(columns="purpose").to_dict("records")
    return {
        "sites": SITES, "weights": NUMBERS, "threshold": held.session.threshold, "bits": ring.bits,
        "coordinator_seconds_plain": middle["plain"],
        "coordinator_seconds_nobody_drops_out": middle["none"],
        "ratio_nobody_drops_out": middle["none"] / middle["plain"],
        "most_that_drop_out": most, "coordinator_seconds_most_drop_out": middle["most"],
        "ratio_most_drop_out": middle["most"] / middle["plain"],
        "masks_nobody_drops_out": SITES, "masks_most_drop_out": (SITES - most) * (1 + most),
        "site_seconds_keys_and_shares": sharing, "site_seconds_masking": masking, "site_masks": SITES,
        "masks_gigabytes_per_second": keystream_rate(), "traffic_of_a_site": stages,
        "all_seconds": seconds,
    }  # fmt: skip


def main() -> None:
    """Run it, print it, keep it."""
    found = bench_secure()
    write_json(REPOSITORY / "reports" / "bench" / "secure.json", found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
