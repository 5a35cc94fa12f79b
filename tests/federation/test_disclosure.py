"""What leaves a site, in bytes, is what really travels."""

import pytest

from ultrafm.federation.arrays import to_record
from ultrafm.federation.compression import COMPRESSIONS, compress
from ultrafm.federation.disclosure import traffic_table
from ultrafm.federation.plan import Federation
from ultrafm.federation.vector import WEIGHTS, to_vector
from ultrafm.pretraining.recipe import Recipe, build_model

SMALL = Recipe(image_size=32, width=32, depth=1, heads=1, decoder_width=32, decoder_depth=1)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("local", ["", "decoder*"])
def test_the_table_tells_what_a_sites_record_holds(compression, local):
    model, plan = build_model(SMALL, 0), Federation(3, 2, compression=compression, local_weights=local)
    weights = to_vector(model, plan.local_patterns)
    sent = {WEIGHTS: weights} if compression == "none" else compress(weights, compression)
    table = traffic_table(model, 5, plan).set_index("what")
    held = sum(array.numpy().nbytes for array in to_record(sent).values())
    assert table.loc["trained weights", "bytes each time"] == held
    assert table.loc["global weights, to train", "bytes each time"] == weights.nbytes
    assert table.loc["trained weights", "bytes in all"] == 6 * held * 5
