"""The site's side of a secure round as Flower's messages: `client_app.py` registers these beside its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

from ultrafm.errors import UltraFMError
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.compression import Update
from ultrafm.federation.deployment.gate import accepted_terms, hash_terms
from ultrafm.federation.deployment.keys import read_private_key
from ultrafm.federation.secure.keys import ROSTER, SIGNING_KEY, Advertised, read_roster
from ultrafm.federation.secure.ring import Ring, encode, reach_of, ring_of, whole_weight
from ultrafm.federation.secure.session import MEND, Session, largest_round, schedule_of, threshold_of
from ultrafm.federation.secure.stages import CONSENT, KEYS, MASKED, SHARES, UNMASK, SiteRound
from ultrafm.federation.secure.vault import Vault
from ultrafm.federation.site import RoundOutcome
from ultrafm.federation.vector import WEIGHTS
from ultrafm.pretraining.recipe import Recipe

SECURE, SEALED, SURVIVORS, CONSENTS, REVEALED = "secure", "sealed", "survivors", "consents", "revealed"  # records
OF_ONE_SITE = {"last_round", "kept_rounds"}  # of the record `plan`: what sites are asked differently


def session_of(secure: Mapping[str, Any], sites: Collection[str]) -> Session:
    """The session that the record `secure` tells of; `sites` are those of the plan, in its order.

    Who takes part follows from the plan's seed, so that a coordinator cannot choose.
    """
    every, number = list(sites), int(secure["round"])
    named = tuple(every[place] for place in schedule_of(secure, len(every)).sites_of(number))
    threshold = threshold_of(float(secure["threshold"]), len(named))
    return Session(str(secure["run"]), number, str(secure["attempt"]), named, threshold)


def open_round(message: Message, context: Context) -> SiteRound:
    """This site's round. Raises UltraFMError for a node without keys, and when the round is not of this site."""
    known = context.node_config
    site = str(known["site"])
    if missing := [name for name in (SIGNING_KEY, ROSTER) if name not in known]:
        raise UltraFMError(f"site {site}", f"a node without {missing[0]}", "keys for secure aggregation")
    roster = read_roster(Path(str(known[ROSTER])))
    session = session_of(message.content[SECURE], roster)
    session.number(site)
    key = read_private_key(Path(str(known[SIGNING_KEY])), f"site {site}")
    agreement = hash_terms(accepted_terms(str(known["acceptance"]))) if "acceptance" in known else ""
    return SiteRound(session, site, key, roster, Vault(Path(str(known["folder"]))), agreement=agreement)


def advertise_keys(message: Message, context: Context) -> Message:
    """Fresh public keys of this attempt."""
    values = open_round(message, context).advertise(fingerprint(describe(message.content)))
    return reply_with(message, KEYS, values)


def share_secrets(message: Message, context: Context) -> Message:
    """Shares of this site's secrets, sealed for the sites whose keys the message carries."""
    told = {name: values_of(message, name) for name in ("sealing", "masking", "signature")}
    if {frozenset(one) for one in told.values()} != {frozenset(told["sealing"])}:
        raise UltraFMError(
            "secure aggregation, keys", "a site without all of its keys", "two keys and a signature each"
        )
    advertised = {site: Advertised(*(one[site] for one in told.values())) for site in told["sealing"]}
    values = open_round(message, context).share(fingerprint(describe(message.content)), advertised)
    return reply_with(message, SEALED, values)


def masked_update(message: Message, context: Context, train: Callable[[], RoundOutcome]) -> Message:
    """The masked numbers of what `train` gives; it is not called when the same was asked before."""
    here, old = open_round(message, context), from_record(message.content["arrays"])[WEIGHTS]
    require_one_round(message.content["plan"], message.content[SECURE], len(here.roster))
    ring, weighting = ring_at_site(message, here, old), str(message.content[SECURE]["weighting"])

    def numbers() -> np.ndarray:
        outcome = train()
        weight = whole_weight(weighting, outcome.images)
        return encode(ring, Update(old, outcome.arrays), weight, outcome.images, outcome.loss)

    told = describe(message.content)
    sealed = values_of(message, SEALED)
    own = f"last round {message.content['plan']['last_round']}"  # from which its moments and its own weights are
    vector = here.masked(fingerprint(told), fingerprint(common(told)), sealed, numbers, ring.kind, own)
    metrics = MetricRecord({"round": here.session.round})
    return Message(RecordDict({"arrays": to_record({MASKED: vector}), "metrics": metrics}), reply_to=message)


def require_one_round(plan: Mapping[str, Any], secure: Mapping[str, Any], sites: int) -> None:
    """Raises UltraFMError when the round that is trained is not the one that is summed, by the sites' schedule.

    Else a coordinator could have one round's training summed under the names of two.
    """
    epochs, number = int(plan["local_epochs"]), int(secure["round"])
    schedule = replace(schedule_of(secure, sites), passes=epochs, shares=int(plan["shares"]), local_epochs=epochs)
    pass_number, share = schedule.place(number)
    due = {"run": secure["run"], "round": number, "pass_number": pass_number, "share": share}
    for name, value in due.items():
        if plan[name] != value:
            where = f"secure aggregation, round {number}, plan, {name}"
            raise UltraFMError(where, repr(plan[name]), f"{value!r}, as the schedule of this round has it", MEND)


def ring_at_site(message: Message, here: SiteRound, old: np.ndarray) -> Ring:
    """The ring of a round, from what a site was asked; the coordinator makes the same."""
    secure, plan, recipe = message.content[SECURE], message.content["plan"], Recipe(**dict(message.content["recipe"]))
    sites = largest_round(schedule_of(secure, len(here.roster)))
    reach = reach_of(
        recipe, plan["adaptive"], plan["site_step"], int(secure["steps"]), old, float(secure.get("noisy", 0))
    )
    return ring_of(sites, secure["weighting"], int(secure["images"]), reach)


def give_consent(message: Message, context: Context) -> Message:
    """A signature of whose sum is unmasked."""
    survivors = list(message.content[SURVIVORS]["sites"])
    values = open_round(message, context).consent(fingerprint(describe(message.content)), survivors)
    return reply_with(message, CONSENT, values)


def unmask_sum(message: Message, context: Context) -> Message:
    """One share of every site's secrets."""
    values = open_round(message, context).unmask(fingerprint(describe(message.content)), values_of(message, CONSENTS))
    return reply_with(message, REVEALED, values)


QUERIES = {KEYS: advertise_keys, SHARES: share_secrets, CONSENT: give_consent, UNMASK: unmask_sum}


def values_of(message: Message, name: str) -> dict[str, bytes]:
    """A record of bytes by site. Raises UltraFMError when it is missing or holds something else."""
    record = dict(message.content[name]) if name in message.content else {}
    if not record or not all(isinstance(one, bytes) for one in record.values()):
        raise UltraFMError("secure aggregation", f"no bytes in the record {name!r}", "some for every site")
    return record


def reply_with(message: Message, name: str, values: dict[str, bytes]) -> Message:
    """An answer of bytes by name."""
    return Message(RecordDict({name: ConfigRecord(dict(values))}), reply_to=message)


def describe(content: RecordDict) -> dict[str, dict[str, Any]]:
    """A message's records as plain values; arrays by their SHA-256."""
    told: dict[str, dict[str, Any]] = {}
    for name, record in content.items():
        if isinstance(record, ArrayRecord):
            told[name] = {key: hashlib.sha256(array.data).hexdigest() for key, array in record.items()}
        else:
            told[name] = {key: value.hex() if isinstance(value, bytes) else value for key, value in record.items()}
    return told


def common(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of a question for training, what every site must be asked alike, in every attempt: weights, recipe, plan."""
    plan = {key: value for key, value in told["plan"].items() if key not in OF_ONE_SITE}
    secure = {key: value for key, value in told[SECURE].items() if key != "attempt"}
    return {**{name: record for name, record in told.items() if name != SEALED}, "plan": plan, SECURE: secure}


def fingerprint(told: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever order their names are in."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
