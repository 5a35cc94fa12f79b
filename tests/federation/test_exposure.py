"""What the tables for an ethics board say follows from the plan."""

from dataclasses import replace

import pytest

from ultrafm.federation.exposure import protection_table, unprotected, who_sees_what
from ultrafm.federation.plan import Federation

OPEN = Federation(1)
SECURE = Federation(1, secure_aggregation=True, guarded=False)
NOISY = Federation(1, privacy="patients", noise=1.0, clip=1.0, delta=0.001)
SEEDED = Federation(1, privacy="patients", noise=1.0, clip=1.0, delta=0.001, secure_noise=False)
AT_COORDINATOR = Federation(1, privacy="sites", noise=1.0, clip=1.0, delta=0.001, weighting="equal")
COORDINATOR = "the coordinator, following the protocol"


def seen(federation, who, what, deployed=False):
    table = who_sees_what(federation, deployed).set_index("who, and when")
    return table.loc[who, what]


def states(federation):
    return protection_table(federation).set_index("protection")["in this run"].to_dict()


@pytest.mark.parametrize(
    ("federation", "words"),
    [
        (OPEN, "yes"), (SECURE, "only as masked numbers"), (NOISY, "yes, with noise"), (AT_COORDINATOR, "yes"),
    ],
)  # fmt: skip
def test_what_the_coordinator_sees_of_one_site(federation, words):
    assert seen(federation, COORDINATOR, "one site's updates") == words


def test_whoever_sees_single_updates_may_guess_images():
    together = "the coordinator with all other sites"
    for who in (COORDINATOR, together):
        assert seen(OPEN, who, "images") == seen(AT_COORDINATOR, who, "images") == "not sent; may be guessed"
        assert "noise limits" in seen(NOISY, who, "images")
    assert "not guessed" in seen(SECURE, COORDINATOR, "images")
    assert seen(SECURE, together, "images") == "not sent; may be guessed"


def test_masks_do_not_help_against_everybody_else_together_and_noise_does():
    others = "the coordinator with all other sites"
    assert seen(SECURE, others, "one site's updates") == "yes: they subtract their own from the sum"
    assert seen(NOISY, others, "one site's updates") == "yes; the noise stays"
    assert seen(OPEN, others, "one site's updates") == "yes"


def test_another_site_sees_an_update_where_only_two_train():
    another = "another site, following the protocol"
    assert "of two, each sees the other's" in seen(OPEN, another, "one site's updates")
    assert seen(SECURE, another, "one site's updates") == "no"  # rounds of fewer than three are refused


def test_noise_stays_on_what_a_cheating_coordinator_gets():
    cheating = "the coordinator, deviating from it"
    both = Federation(1, privacy="patients", noise=1.0, clip=1.0, delta=0.001, secure_aggregation=True, guarded=False)
    assert seen(both, cheating, "one site's updates").endswith("of two rounds, with noise")
    assert seen(SECURE, cheating, "one site's updates").endswith("sums of two rounds")
    assert seen(OPEN, cheating, "one site's updates") == "yes"


def test_the_card_tells_validation_losses_without_privacy_and_spending_with_it():
    final = "who is given the final model"
    assert "validation losses" in seen(OPEN, final, "counts and losses")
    assert seen(NOISY, final, "counts and losses").startswith("how many patients each site has, and what it spent")
    assert "losses" not in seen(AT_COORDINATOR, final, "counts and losses")


def test_losses_are_told_only_without_privacy():
    assert seen(OPEN, COORDINATOR, "counts and losses") == "yes"
    assert "training losses only summed" in seen(SECURE, COORDINATOR, "counts and losses")
    assert seen(NOISY, COORDINATOR, "counts and losses").startswith("how many patients")
    assert seen(AT_COORDINATOR, COORDINATOR, "counts and losses").startswith("how many images")


def test_updates_that_wait_for_a_robust_rule_are_on_the_disk():
    disk = "who copies the coordinator's disk"
    assert "added up" in seen(OPEN, disk, "one site's updates")
    assert "round that is running" in seen(Federation(1, aggregation="median"), disk, "one site's updates")


def test_in_a_deployment_messages_lie_in_the_database_of_the_coordinator():
    disk = "who copies the coordinator's disk"
    assert "in Flower's database" in seen(OPEN, disk, "one site's updates", deployed=True)
    assert "masked, in Flower's database" in seen(SECURE, disk, "one site's updates", deployed=True)
    assert "losses and grey values are withheld" in seen(NOISY, disk, "counts and losses", deployed=True)


def test_tls_is_said_of_a_deployment_only():
    assert "TLS" in seen(OPEN, "somebody on the network", "images", deployed=True)
    assert "one machine" in seen(OPEN, "somebody on the network", "images")


def test_protections_are_told_as_they_are():
    assert states(OPEN)["secure aggregation"] == "off" and states(SECURE)["secure aggregation"] == "on"
    assert states(NOISY)["differential privacy, patients"] == "on"
    assert states(NOISY)["differential privacy, sites"] == "off"
    assert states(Federation(1, guarded=False))["robust joining, or a guard on updates"] == "off"


def test_what_is_not_protected_shrinks_with_protections_and_seeded_noise_is_said():
    assert any("sees each site's weights" in one for one in unprotected(OPEN))
    assert not any("sees each site's weights" in one for one in unprotected(SECURE))
    assert any("what a site's updates tell the coordinator" in one for one in unprotected(AT_COORDINATOR))
    assert not any("what the model tells" in one for one in unprotected(AT_COORDINATOR))
    assert not any("Nothing bounds" in one for one in unprotected(NOISY))
    assert any("comes from its seed" in one for one in unprotected(SEEDED))
    assert any("comes from its seed" in one for one in unprotected(replace(AT_COORDINATOR, secure_noise=False)))
    assert not any("comes from its seed" in one for one in unprotected(NOISY))
