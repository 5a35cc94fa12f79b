"""The coordinator's side of a secure round: five stages through the same courier as everything else."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from ultrafm.federation.arrays import from_record
from ultrafm.federation.checks import longest_noisy_steps, require_answer
from ultrafm.federation.courier import Courier
from ultrafm.federation.incidents import Fault, RoundFailed
from ultrafm.federation.secure.client import (
    CONSENTS,
    REVEALED,
    SEALED,
    SECURE,
    SURVIVORS,
    session_of,
)
from ultrafm.federation.secure.keys import Advertised
from ultrafm.federation.secure.replies import read_masked, read_values
from ultrafm.federation.secure.ring import LONG, Ring, Sum, decode, reach_of, ring_of, whole_weight
from ultrafm.federation.secure.session import MEND, Session, largest_round
from ultrafm.federation.secure.stages import CONSENT, KEYS, SHARES, UNMASK, Values
from ultrafm.federation.secure.sums import unmask
from ultrafm.federation.strategy import FederatedRounds
from ultrafm.federation.vector import WEIGHTS
from ultrafm.files import read_json, write_json
from ultrafm.pretraining.recipe import Recipe

ATTEMPT_BYTES = 16
SUMMED = "secure_sum.json"  # in the folder of a run: over whom its last round was summed


@dataclass(frozen=True)
class Asking:
    """What all stages of one attempt need: the way to the sites, the strategy, the session, and its record."""

    courier: Courier
    strategy: FederatedRounds
    session: Session
    record: Mapping[str, Any]

    @property
    def number(self) -> int:
        """The round."""
        return self.session.round

    def content(self, **records: Mapping[str, Any]) -> RecordDict:
        """The records of a message: that of the session, and these."""
        named = {SECURE: self.record, **records}
        return RecordDict({name: ConfigRecord(dict(values)) for name, values in named.items()})

    def message(self, site: str, stage: str, content: RecordDict) -> Message:
        """A stage's message to a site."""
        return Message(content, self.strategy.node_of(site), f"query.{stage}", group_id=str(self.number))

    def answers(self, asked: Mapping[str, Message], read: Callable[[str, Message], Any]) -> Iterator[tuple[str, Any]]:
        """Site and what `read` makes of its reply, one after the other; who fails is dropped, or ends the run."""
        for site, reply in zip(asked, self.courier.ask(asked.values(), self.number), strict=True):
            try:
                require_answer(reply)
                yield site, read(site, reply)
            except Fault as fault:
                self.strategy.fault(self.number, site, fault)

    def require_enough(self, sites: Sequence[str] | Mapping[str, Any]) -> None:
        """Raises RoundFailed when fewer sites than the threshold are left."""
        self.strategy.require_sites(self.number, len(sites), self.session.threshold)


def secure_round(
    courier: Courier, strategy: FederatedRounds, number: int, arrays: ArrayRecord, config: ConfigRecord, folder: Path
) -> tuple[ArrayRecord, MetricRecord]:
    """The next global model and the mean loss, from a sum of updates of which none was seen.

    Every call is a new attempt, with fresh keys; of sites that a call before this one had begun to unmask (which
    `folder` tells), the sum is taken again over the same. Raises RoundFailed when the federation stops at faults, when
    fewer sites than the threshold remain, and when what comes out is not the sum of the sites' images.
    """
    asking = begin(courier, strategy, number, config)
    before = summed_before(asking, folder)
    advertised = advertised_keys(asking, before or asking.session.sites)
    sealed = sealed_shares(asking, advertised)
    questions = training_questions(asking, arrays, config, sealed)
    ring = ring_of_round(asking, from_record(arrays)[WEIGHTS], config)
    total, survivors = masked_sum(asking, questions, ring)
    require_same(asking, survivors, before)
    members = list(sealed)
    consents = consents_to(asking, survivors)
    write_json(folder / SUMMED, {"run": asking.session.run, "round": number, "sites": survivors})
    revealed = revealed_shares(asking, members, consents)
    unmask(total, asking.session, advertised, members, survivors, revealed)
    found = decode(ring, total)
    require_expected(asking, found, survivors)
    strategy.site_metrics = {site: MetricRecord({"images": expected(asking, site)}) for site in survivors}
    return strategy.conclude(number, found.mean), MetricRecord({"loss": found.loss})


def begin(courier: Courier, strategy: FederatedRounds, number: int, config: ConfigRecord) -> Asking:
    """A new attempt at a round; how many steps and images no site exceeds is told with it."""
    places = strategy.schedule.sites_of(number)
    record = {key.split("/")[1]: value for key, value in config.items() if key.startswith(f"{SECURE}/")}
    steps, images = (max(column) for column in zip(*(strategy.expected_share(place, number) for place in places)))
    record |= {"run": config["plan/run"], "round": number, "attempt": secrets.token_hex(ATTEMPT_BYTES)}
    record |= {"steps": steps, "images": images} | farthest_noise(strategy, number)
    session = session_of(record, [one.site for one in strategy.sites])
    return Asking(courier, strategy, session, record)


def farthest_noise(strategy: FederatedRounds, number: int) -> dict[str, float]:
    """How far noisy gradients lead one weight at any site of the round, where sites add noise; else nothing."""
    plan = strategy.federation
    if not plan.is_at_sites:
        return {}
    places = strategy.schedule.sites_of(number)
    steps = [(strategy.expected_share(place, number)[0], strategy.sites[place].images) for place in places]
    return {"noisy": max(longest_noisy_steps(plan, count, 1, patients) for count, patients in steps)}


def summed_before(asking: Asking, folder: Path) -> list[str]:
    """Over whom this round was about to be unmasked when the run ended; none when it was not."""
    found = read_json(folder / SUMMED) if (folder / SUMMED).is_file() else {}
    same = (found.get("run"), found.get("round")) == (asking.session.run, asking.number)
    return found["sites"] if same else []


def require_same(asking: Asking, survivors: Sequence[str], before: Sequence[str]) -> None:
    """Raises RoundFailed when a site is missing of a sum that may have been unmasked before."""
    if missing := sorted(set(before) - set(survivors)):
        found = f"no answer of {', '.join(missing)}, in a round that was summed with it before the run ended"
        expected = "the same sites: of two sums, the difference would tell a site's update"
        raise RoundFailed(f"round {asking.number}", found, expected, "start that site and run the same command again")


def advertised_keys(asking: Asking, sites: Sequence[str]) -> dict[str, Advertised]:
    """Stage 1: the public keys of these sites."""
    asked = {site: asking.message(site, KEYS, asking.content()) for site in sites}

    def read(_site: str, reply: Message) -> Advertised:
        return Advertised(**read_values(reply, KEYS, {"sealing", "masking", "signature"}))

    found = dict(asking.answers(asked, read))
    asking.require_enough(found)
    return found


def sealed_shares(asking: Asking, advertised: Mapping[str, Advertised]) -> dict[str, Values]:
    """Stage 2: receiver -> sender -> sealed shares, between all sites that sent some."""
    names = ("sealing", "masking", "signature")
    told_keys = {name: {site: getattr(one, name) for site, one in advertised.items()} for name in names}
    asked = {site: asking.message(site, SHARES, asking.content(**told_keys)) for site in advertised}

    def read(_site: str, reply: Message) -> Values:
        return read_values(reply, SEALED, set(advertised))

    sent = dict(asking.answers(asked, read))
    asking.require_enough(sent)
    return {site: {sender: shares[site] for sender, shares in sent.items()} for site in sent}


def training_questions(
    asking: Asking, arrays: ArrayRecord, config: ConfigRecord, sealed: Mapping[str, Values]
) -> dict[str, Message]:
    """Stage 3: the usual messages for training, with the shares that others sealed for the site."""
    strategy, questions = asking.strategy, {}
    for message in strategy.configure_train(asking.number, arrays, config, asking.courier.grid):
        site = strategy.site_at(message.metadata.dst_node_id)
        if site in sealed:
            message.content[SECURE] = ConfigRecord(dict(asking.record))
            message.content[SEALED] = ConfigRecord(dict(sealed[site]))
            questions[site] = message
    return questions


def ring_of_round(asking: Asking, old: np.ndarray, config: ConfigRecord) -> Ring:
    """The ring of a round, as every site makes it too."""
    plan, sites = asking.strategy.federation, largest_round(asking.strategy.schedule)
    recipe = Recipe(**{key.split("/")[1]: value for key, value in config.items() if key.startswith("recipe/")})
    steps, images = (asking.record[name] for name in ("steps", "images"))
    reach = reach_of(recipe, plan.adaptive, plan.site_step, steps, old, asking.record.get("noisy", 0.0))
    return ring_of(sites, plan.weighting, images, reach)


def masked_sum(asking: Asking, questions: Mapping[str, Message], ring: Ring) -> tuple[np.ndarray, list[str]]:
    """The sum of the masked numbers, added as they come, and whose they are."""
    total = np.zeros(len(from_record(next(iter(questions.values())).content["arrays"])[WEIGHTS]) + LONG, ring.kind)

    survivors, kind, length = [], ring.kind, len(total)
    for site, numbers in asking.answers(questions, lambda _site, reply: read_masked(reply, kind, length)):
        total += numbers
        survivors.append(site)
    asking.require_enough(survivors)
    return total, survivors


def consents_to(asking: Asking, survivors: Sequence[str]) -> dict[str, bytes]:
    """Stage 4: the survivors' signatures of who they are."""
    content = asking.content(**{SURVIVORS: {"sites": list(survivors)}})
    asked = {site: asking.message(site, CONSENT, content) for site in survivors}

    def read(_site: str, reply: Message) -> bytes:
        return read_values(reply, CONSENT, {"signature"})["signature"]

    found = dict(asking.answers(asked, read))
    asking.require_enough(found)
    return found


def revealed_shares(asking: Asking, members: Sequence[str], consents: Mapping[str, bytes]) -> dict[str, Values]:
    """Stage 5: of each site that consented, its shares of the seeds of survivors and the keys of the others."""
    asked = {site: asking.message(site, UNMASK, asking.content(**{CONSENTS: consents})) for site in consents}

    def read(_site: str, reply: Message) -> Values:
        return read_values(reply, REVEALED, set(members))

    found = dict(asking.answers(asked, read))
    asking.require_enough(found)
    return found


def expected(asking: Asking, site: str) -> int:
    """How many images a site's share of the round has."""
    strategy = asking.strategy
    return strategy.expected_share(strategy.nodes.index(strategy.node_of(site)), asking.number)[1]


def require_expected(asking: Asking, found: Sum, survivors: Sequence[str]) -> None:
    """Raises RoundFailed unless the sum's images and weight are those of the survivors' shares of the round.

    No single site can be checked. A sum whose masks did not cancel does not pass, but for one in four billion.
    """
    images = [expected(asking, site) for site in survivors]
    weight = sum(whole_weight(asking.strategy.federation.weighting, one) for one in images)
    if (found.images, found.weight) != (sum(images), weight):
        told_sum = f"a sum of {found.images} images with weight {found.weight}"
        raise RoundFailed(f"round {asking.number}", told_sum, f"{sum(images)} images with weight {weight}", MEND)
