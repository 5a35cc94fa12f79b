"""Who can see what, under which failure: a table that follows from the federation's settings, in plain words.

It says what the protocol allows; what an attack makes of it is measured (`leakage/`).
"""

from __future__ import annotations

import pandas as pd

from ultrafm.federation.plan import Federation

NOTHING, EVERYTHING = "no", "yes"
COLUMNS = (
    "who, and when",
    "images",
    "one site's updates",
    "the sum of a round",
    "the final model",
    "counts and losses",
)


def protection_table(federation: Federation) -> pd.DataFrame:
    """Which protections the run has, and what each does and does not do."""
    rows = [
        (
            "images stay at their site", "on", "no message has a field for an image, a path or a patient's name",
            "weights and losses are made from images and tell of them; the text of an error may name a file",
        ),
        (
            "secure aggregation", state_of(federation.secure_aggregation),
            "the coordinator sees the sum of a round's updates, not one of them",
            "the sum and the final model tell what they tell; experimental until reviewed outside of this project",
        ),
        (
            "differential privacy, patients", state_of(federation.privacy == "patients"),
            "bounds what any attack can learn of one patient, from all that leaves the site's training together",
            "nothing about what many patients share; the bound is as good as its epsilon is small",
        ),
        (
            "differential privacy, sites", state_of(federation.privacy == "sites"),
            "bounds what the model tells of one site as a whole", "the coordinator sees each update before the noise",
        ),
        (
            "robust joining, or a guard on updates",
            state_of(federation.guarded or federation.aggregation != "mean"),
            "limits what a bad site can do to the model", "protects the model, not the patients",
        ),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["protection", "in this run", "what it does", "what it does not"])


def state_of(on: bool) -> str:
    """ "on" or "off"."""
    return "on" if on else "off"


def who_sees_what(federation: Federation, deployed: bool) -> pd.DataFrame:
    """A row for each that could look, and each failure; `deployed`: do messages travel between machines, over TLS?"""
    secure, counts = federation.secure_aggregation, told_of_counts(federation)
    noise = ", with noise" if federation.is_at_sites else ""
    single = ("only as masked numbers" if secure else EVERYTHING) + noise
    forced = f"yes, if too few honest sites are left, or roughly from sums of two rounds{noise}" if secure else single
    guessed = "not sent; noise limits what can be guessed" if federation.is_at_sites else "not sent; may be guessed"
    images = "not sent; not guessed from one site's update" if secure else guessed
    others = "no" if secure else "not if at least three sites train in each round; of two, each sees the other's"
    line = "nothing: TLS, keys on both ends" if deployed else "does not apply: one machine"
    before = "the model before each of its rounds"
    rows = [
        ("the coordinator, following the protocol", images, single, EVERYTHING, EVERYTHING, counts),
        ("the coordinator, deviating from it", guessed, forced, EVERYTHING, EVERYTHING, counts),
        ("the coordinator with all other sites", guessed, forced_by_all(federation), EVERYTHING, EVERYTHING, counts),
        ("another site, following the protocol", NOTHING, others, before, EVERYTHING, NOTHING),
        ("somebody on the network", line, line, line, line, line),
        (
            "who copies the coordinator's disk",
            NOTHING,
            waiting(federation, deployed),
            "as checkpoints",
            EVERYTHING,
            counts,
        ),
        ("who copies a site's disk", "all of this site's", "this site's", before, EVERYTHING, "this site's"),
        ("who is given the final model", NOTHING, NOTHING, NOTHING, EVERYTHING, told_in_card(federation)),
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def told_of_counts(federation: Federation) -> str:
    """What the coordinator is told besides weights."""
    if federation.is_private:
        return f"how many {unit_of(federation)} each site has; losses and grey values are withheld"
    if federation.secure_aggregation:
        return "each site's image count, grey sums and validation losses; training losses only summed"
    return EVERYTHING


def told_in_card(federation: Federation) -> str:
    """What the model's card tells of each site."""
    if federation.is_private:
        return f"how many {unit_of(federation)} each site has, and what it spent, in the model's card"
    return "image counts and validation losses of sites, in the model's card"


def unit_of(federation: Federation) -> str:
    """What a site under differential privacy tells how many it has of."""
    return "patients" if federation.is_at_sites else "images"


def forced_by_all(federation: Federation) -> str:
    """What is left of one site's update when everybody else of the round works against it."""
    clear = "yes: they subtract their own from the sum" if federation.secure_aggregation else EVERYTHING
    return f"{clear}; the noise stays" if federation.is_at_sites else clear


def waiting(federation: Federation, deployed: bool) -> str:
    """What of single updates is on the coordinator's disk; in a deployment all messages pass Flower's database."""
    masked = ", masked" if federation.secure_aggregation else ""
    if deployed:
        return f"those of the round that is running{masked}, in Flower's database; deleted ones may be recovered"
    if federation.aggregation != "mean":
        return "those of the round that is running"
    return "none: they are added up as they come"


def unprotected(federation: Federation) -> list[str]:
    """What this run does not protect, one sentence each."""
    said = []
    if not federation.secure_aggregation:
        said.append("The coordinator sees each site's weights after each round, and can attack them.")
    if not federation.is_private:
        said.append("Nothing bounds what the model tells of a single patient; that an attack fails here is no bound.")
    elif not federation.is_at_sites:
        said.append("Nothing bounds what a site's updates tell the coordinator of a single patient; only the model is.")
    if federation.is_private and not federation.secure_noise:
        said.append(
            "The noise of this run comes from its seed, so that it repeats: whoever has the seed can take it off "
            "again. Sites with real images refuse that."
        )
    return [
        *said,
        "How many images, or patients, a site has is known to the coordinator, and may stand in the model's card.",
        "That a site takes part is known.",
        "Everybody who receives the final model can attack it, for as long as it exists.",
        "Withdrawing a patient takes their images out of later training; a trained model does not forget.",
        "Text and markers inside pictures that curation did not find are in the store: that is why a person signs.",
    ]
