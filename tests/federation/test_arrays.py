"""The quick way to and from Flower's arrays gives what Flower's own way gives."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ultrafm.federation.arrays import from_record, to_record

ANY = arrays.arrays(
    st.sampled_from([np.float32, np.float64, np.int64]), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0)
)


@given(ANY)
def test_the_bytes_are_those_that_flower_writes(value):
    assert to_record({"w": value})["w"].data == Array(value).data
    assert (to_record({"w": value})["w"].numpy() == value).all() or np.isnan(value).any()


@given(ANY, st.booleans())
def test_what_flower_or_we_wrote_comes_back_as_it_was(value, ours):
    record = to_record({"w": value}) if ours else ArrayRecord({"w": Array(value)})
    back = from_record(record)["w"]
    assert back.dtype == value.dtype and back.shape == value.shape
    np.testing.assert_array_equal(back, value)


def test_an_array_in_another_order_of_memory_is_read_all_the_same():
    value = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(from_record(ArrayRecord({"w": Array(value)}))["w"], value)
    np.testing.assert_array_equal(from_record(to_record({"w": value}))["w"], value)


def test_bytes_that_are_cut_short_are_refused():
    record = to_record({"w": np.ones(4, np.float32)})
    record["w"].data = record["w"].data[:-3]
    with pytest.raises(ValueError):
        from_record(record)
