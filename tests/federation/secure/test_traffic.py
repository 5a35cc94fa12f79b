"""What is told of the traffic is what travels."""

from tests.federation.secure.striped_sites import SITES, Trouble, run
from ultrafm.federation.arrays import from_record
from ultrafm.federation.secure.traffic import SIGNATURE_BYTES, secure_traffic
from ultrafm.federation.vector import WEIGHTS

KINDS = {"query.keys": "keys", "query.shares": "shares", "train": "masked", "query.consent": "consent",
         "query.unmask": "unmask"}  # fmt: skip


def size_of(content):
    """Bytes of arrays and of byte values in a message."""
    arrays = sum(
        from_record(record)[name].nbytes for key, record in content.items() if key == "arrays" for name in record
    )
    others = [record.values() for key, record in content.items() if key != "arrays"]
    return arrays + sum(len(value) for values in others for value in values if isinstance(value, bytes))


def test_bytes_and_messages_of_every_stage_are_those_of_a_real_round(tmp_path, images):
    trouble = Trouble()
    run(tmp_path, trouble, passes=1)
    seen = [(KINDS[kind], message, reply) for kind, site, message, reply in trouble.answers if
            kind in KINDS and site == SITES[0]]  # fmt: skip
    weights = next(len(from_record(one.content["arrays"])[WEIGHTS]) for name, one, _ in seen if name == "masked")
    table = secure_traffic(len(SITES), weights).set_index("stage")
    assert [name for name, _, _ in seen] == list(table.index[:5]) and (table["messages"] == 2).all()
    shorter = 4 * len(SITES)  # signatures are a few bytes shorter than at most, one for a site
    for name, message, reply in seen:
        assert 0 <= table.loc[name, "bytes_to"] - size_of(message.content) <= shorter, name
        assert 0 <= table.loc[name, "bytes_from"] - size_of(reply.content) <= shorter, name


def test_of_a_large_model_nearly_all_traffic_is_the_model_as_in_a_plain_round():
    table = secure_traffic(16, 10_000_000).set_index("stage")
    secure, plain = table.iloc[:5], table.loc["plain round"]
    assert secure["bytes_to"].sum() / plain["bytes_to"] < 1.001
    assert secure["bytes_from"].sum() / plain["bytes_from"] < 1.001
    assert table.loc["unmask", "bytes_to"] == 16 * SIGNATURE_BYTES
    assert secure_traffic(200, 1000).set_index("stage").loc["masked", "bytes_from"] == 8 * 1003
