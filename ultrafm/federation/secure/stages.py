"""A site's answers in the five stages of a secure round; it gives each once, in their order, and no other ever after.

The same question again gets the same answer, so that a message may be lost; another question is refused. So masks,
which hide one vector only, are never put on two: whoever wants another sum begins another attempt, with fresh keys.
Questions that come at once, as of two runs, wait for each other.

Of one round, though, a site helps to unmask one sum only: two sums that differ by a site would tell its update. A round
may be repeated, after a crash, over the same sites, from the same weights and from the same memory of each site: that
tells nothing new.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from ultrafm.errors import UltraFMError
from ultrafm.federation.secure.keys import (
    HASH,
    Advertised,
    Secrets,
    advertise,
    new_secrets,
    require_genuine,
    require_signature,
)
from ultrafm.federation.secure.sealing import open_shares, seal_shares
from ultrafm.federation.secure.session import MEND, Session
from ultrafm.federation.secure.shamir import Random
from ultrafm.federation.secure.sums import mask, reveal
from ultrafm.federation.secure.vault import Answer, Held, Vault

KEYS, SHARES, MASKED, CONSENT, UNMASK = "keys", "shares", "masked", "consent", "unmask"
STAGES = (KEYS, SHARES, MASKED, CONSENT, UNMASK)
ANEW = (
    "go on with the run that was begun; if it is to begin anew, and the sites agree that its rounds may be told twice, "
    "each puts secure/sums.json of its state away"
)
Values = dict[str, bytes]


@dataclass(frozen=True)
class SiteRound:
    """One site in one session: its key, everybody's public keys, and where it keeps what it holds.

    `agreement` is a fingerprint of the terms that the site accepted; of a round under them it helps to unmask one sum,
    whatever the coordinator calls the run. Without terms, of a round of a run.
    """

    session: Session
    site: str
    key: ec.EllipticCurvePrivateKey
    roster: Mapping[str, bytes]
    vault: Vault
    random: Random = os.urandom
    agreement: str = ""

    def advertise(self, question: str) -> Values:
        """Stage 1: fresh public keys, signed. What was held of another attempt is deleted first."""
        name = self._name()

        def make(held: Held) -> tuple[Held, Values]:
            told = advertise(self.session, self.site, secrets_of(held), self.key)
            return held, {"sealing": told.sealing, "masking": told.masking, "signature": told.signature}

        with self.vault.alone():
            if (held := self.vault.read()) is None or held.session != name:
                self.vault.clear()
                self.vault.write(Held(name, new_secrets(self.random)))
            return self._once(KEYS, question, make)

    def share(self, question: str, advertised: Mapping[str, Advertised]) -> Values:
        """Stage 2: for every site that advertised keys, sealed shares of this site's two secrets."""

        def make(held: Held) -> tuple[Held, Values]:
            self._require_keys(advertised, held)
            sealed = seal_shares(self.session, self.site, secrets_of(held), advertised, self.random)
            return replace(held, advertised=dict(advertised)), sealed

        with self.vault.alone():
            return self._once(SHARES, question, make)

    def masked(
        self,
        question: str,
        common: str,
        sealed: Values,
        numbers: Callable[[], np.ndarray],
        kind: np.dtype,
        own: str = "",
    ) -> np.ndarray:
        """Stage 3: this site's numbers (made by `numbers`, of this kind), masked towards all who sealed shares for it.

        `common` is the fingerprint of what every site of the round must have been asked alike; `own` what this site
        alone is asked, which must not change either when the round is repeated.
        """

        def make(held: Held) -> tuple[Held, Values]:
            members = self._require_among(sealed, held.advertised, "shares")
            shares = open_shares(self.session, self.site, secrets_of(held), held.advertised, sealed)
            vector = numbers()
            mask(vector, self.session, self.site, secrets_of(held), held.advertised, members)
            self.vault.write_masked(vector)
            transcript = transcript_of(self.session, held.advertised, members, common)
            return replace(held, shares=shares, asked=f"{common} {own}", transcript=transcript), {}

        with self.vault.alone():
            self._once(MASKED, question, make)
            kept = self.vault.read_masked(kind)
        if kept is None:
            self._refuse("a question for numbers that were deleted when the sum was unmasked", "another attempt")
        return kept

    def consent(self, question: str, survivors: Collection[str]) -> Values:
        """Stage 4: a signature of whose sum is unmasked, and of all that sites must have been told alike."""

        def make(held: Held) -> tuple[Held, Values]:
            agreed = self._require_among(survivors, held.shares, "masked numbers")
            if self.vault.read_sums().get(self._round_name(), mark := sum_mark(held.asked, agreed)) != mark:
                expected = "the same sites, the same weights and the same last round"
                self._refuse("another sum of a round that was unmasked before", expected, ANEW)
            about = consent_to(self.session, held.transcript, agreed)
            return replace(held, survivors=agreed), {"signature": self.key.sign(about, HASH)}

        with self.vault.alone():
            return self._once(CONSENT, question, make)

    def unmask(self, question: str, consents: Mapping[str, bytes]) -> Values:
        """Stage 5: one share of every site's secrets, when enough sites signed the same; then secrets are deleted."""

        def make(held: Held) -> tuple[Held, Values]:
            self._require_among(consents, held.survivors, "consents", own=False)
            about = consent_to(self.session, held.transcript, held.survivors)
            for site, signature in consents.items():
                require_signature(site, about, signature, self.roster, "the sites of the sum")
            self.vault.add_sum(self._round_name(), sum_mark(held.asked, held.survivors))
            return replace(held, secrets=None, shares={}), reveal(held.shares, held.survivors)

        with self.vault.alone():
            values = self._once(UNMASK, question, make)
            self.vault.forget_masked()
        return values

    def _round_name(self) -> str:
        return f"{self.agreement or self.session.run} {self.session.round}"

    def _name(self) -> str:
        return self.session.bind("session", self.site).decode()

    def _once(self, stage: str, question: str, make: Callable[[Held], tuple[Held, Values]]) -> Values:
        """The answer that was given to this question before, or a new one, which is kept before it goes."""
        held = self.vault.read()
        if held is None or held.session != self._name():
            self._refuse(f"stage {stage!r} of an attempt whose keys this site does not hold", "its current attempt")
        if stage in held.answers:
            if held.answers[stage].question != question:
                self._refuse(f"another question of stage {stage!r} in the same attempt", "each stage once")
            return held.answers[stage].values
        if stage != (expected := STAGES[len(held.answers)]):
            self._refuse(f"stage {stage!r}", f"stage {expected!r}")
        held, values = make(held)
        self.vault.write(replace(held, answers={**held.answers, stage: Answer(question, values)}))
        return values

    def _require_keys(self, advertised: Mapping[str, Advertised], held: Held) -> None:
        """Raises UltraFMError unless these are keys of enough sites, each signed by its site, this one's as it sent."""
        self._require_among(advertised, self.session.sites, "public keys")
        for site, told in advertised.items():
            require_genuine(self.session, site, told, self.roster)
        if vars(advertised[self.site]) != held.answers[KEYS].values:
            self._refuse("other keys of this site than it sent", "its own")
        every = [key for one in advertised.values() for key in (one.sealing, one.masking)]
        if len(set(every)) != len(every):
            self._refuse("one key at two places", "keys that are fresh")

    def _require_among(self, sites: Collection[str], known: Collection[str], what: str, own: bool = True) -> list[str]:
        """These sites in order. Raises UltraFMError for too few, for unknown ones, and when this one is left out."""
        ordered = self.session.in_order(sites)
        self.session.require_enough(ordered, what)
        if strange := set(ordered) - set(known):
            self._refuse(f"{what} of {min(strange)}, which had dropped out", "sites that are still in the round")
        if own and self.site not in ordered:
            self._refuse(f"{what} without this site's", "its own among them")
        return ordered

    def _refuse(self, found: str, expected: str, mend: str = MEND) -> NoReturn:
        where = f"secure aggregation, round {self.session.round}, site {self.site}"
        raise UltraFMError(where, found, expected, mend)


def secrets_of(held: Held) -> Secrets:
    """The secrets that are held; they are there until the last stage."""
    if held.secrets is None:
        raise ValueError("secrets that were deleted")
    return held.secrets


def transcript_of(session: Session, advertised: Mapping[str, Advertised], members: Collection[str], common: str) -> str:
    """A fingerprint of all that the sites of a round must have been told alike."""
    keys = [f"{site} {one.sealing.hex()} {one.masking.hex()}" for site, one in sorted(advertised.items())]
    return hashlib.sha256(session.bind("transcript", common, *keys, "", *members)).hexdigest()


def sum_mark(asked: str, survivors: Collection[str]) -> str:
    """A fingerprint of a sum, for the site that keeps it: what the site was asked, and whose sum it is."""
    return hashlib.sha256("\n".join([asked, *survivors]).encode()).hexdigest()


def consent_to(session: Session, transcript: str, survivors: Collection[str]) -> bytes:
    """What a site signs before a sum is unmasked."""
    return session.bind("consent", transcript, *survivors)
