import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worldsim.data import DataError
from worldsim.data.arrays import (
    DEPTH_STEP,
    decode_arrays,
    decode_depth,
    decode_ids,
    encode_arrays,
    encode_depth,
    encode_ids,
)

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, SHAPES))
def test_ids_are_exact(ids):
    assert (decode_ids(encode_ids(ids)) == ids).all()
    assert encode_ids(ids) == encode_ids(ids.copy())


@settings(deadline=None)
@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(0, 99, width=32)), st.floats(0.5, 200, width=32))
def test_depth_is_within_half_a_step_and_far_is_exact(depth, far):
    depth[0, 0, 0] = far
    back = decode_depth(encode_depth(depth, far))
    assert back.dtype == np.float32
    assert np.abs(back.astype(np.float64) - depth).max() <= DEPTH_STEP / 2 + 1e-5
    assert (back[depth == far] == far).all()
    # What was stored is kept exactly: a second trip changes nothing.
    assert (decode_depth(encode_depth(back, far)) == back).all()


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 2e5])
def test_depth_that_is_no_distance_is_refused(value):
    depth = np.ones((2, 3, 3), np.float32)
    depth[1, 1, 1] = value
    with pytest.raises(ValueError, match="depth: must be from 0"):
        encode_depth(depth, 100.0)


def test_wrong_types_are_refused():
    with pytest.raises(ValueError, match="ids: must be uint8"):
        encode_ids(np.zeros((2, 3, 3), np.int32))
    with pytest.raises(ValueError, match="depth: must be float32"):
        encode_depth(np.zeros((2, 3, 3)), 100.0)


@given(st.integers(0, 10_000), st.integers(0, 7))
@settings(deadline=None)
def test_any_flipped_bit_of_ids_is_noticed_or_harmless(place, bit):
    ids = np.random.default_rng(0).integers(0, 3, (4, 8, 8)).astype(np.uint8)
    data = bytearray(encode_ids(ids))
    data[place % len(data)] ^= 1 << bit
    try:
        back = decode_ids(bytes(data))
    except DataError:
        return
    assert back.shape != ids.shape or (back == ids).all()


def test_arrays_keep_type_and_shape():
    arrays = {"b": np.arange(6, dtype=np.int32).reshape(2, 3), "a": np.zeros((0, 3)), "c": np.float32([1.5])}
    back = decode_arrays(encode_arrays(arrays), ("a", "b", "c"), "x")
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert (back[name] == array).all()
        assert back[name].shape == array.shape
    assert encode_arrays(arrays) == encode_arrays(dict(reversed(arrays.items())))
    with pytest.raises(DataError, match=r"x: must hold .* lacks d"):
        decode_arrays(encode_arrays(arrays), ("a", "d"), "x")
    with pytest.raises(DataError, match="x: must be safetensors"):
        decode_arrays(b"junk", ("a",), "x")
