"""Segment reductions against jax.ops."""

import jax
import numpy as np
import pytest

import cyxla

DATA = np.float32([1, 2, 3, 4, 5, 6])
IDS = np.int32([0, 0, 1, 3, -1, 9])
NAMES = ["segment_sum", "segment_prod", "segment_max", "segment_min"]


@pytest.mark.parametrize("name", NAMES)
def test_against_jax(name):
    for data, kwargs in [
        (DATA, {"num_segments": 4}),
        (DATA, {}),
        (DATA.astype(np.int32), {"num_segments": 4, "bucket_size": 4}),
        (DATA.reshape(6, 1) * np.float32([1, -1]), {"num_segments": 4}),
        (DATA, {"num_segments": 4, "mode": "clip"}),
    ]:
        expected, got = (getattr(j.ops, name)(data, IDS, **kwargs) for j in (jax, cyxla))
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def test_booleans():
    for name in ("segment_max", "segment_min"):
        expected, got = (getattr(j.ops, name)(DATA > 2, IDS, 4) for j in (jax, cyxla))
        np.testing.assert_array_equal(got, expected)


def test_transformations():
    grads = [j.jit(j.grad(lambda x, j=j: (j.ops.segment_sum(x, IDS, 4) ** 2).sum()))(DATA) for j in (jax, cyxla)]
    np.testing.assert_array_equal(*grads)
    rows = np.stack([DATA, 2 * DATA])
    out = [j.vmap(lambda x, j=j: j.ops.segment_max(x, IDS, 4))(rows) for j in (jax, cyxla)]
    np.testing.assert_array_equal(*out)


@pytest.mark.parametrize(
    "call",
    [
        lambda o, j: o.segment_sum(DATA, IDS, -1),
        lambda o, j: o.segment_sum(DATA, IDS.astype(np.float32), 4),
        lambda o, j: o.segment_sum(DATA, IDS[:3], 4),
        lambda o, j: o.segment_sum([1, 2], [0, 1], 2),
        lambda o, j: j.jit(o.segment_sum)(DATA, IDS),
    ],
)
def test_errors(call):
    with pytest.raises(Exception) as expected:
        call(jax.ops, jax)
    wanted = getattr(cyxla.errors, expected.type.__name__, expected.type)
    with pytest.raises(wanted):
        call(cyxla.ops, cyxla)
