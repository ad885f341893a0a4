"""Initializers against jax.nn.initializers: the same values from the same key."""

import jax
import numpy as np
import pytest

import cyxla

CASES = {
    "zeros": (lambda i: i.zeros, (2, 3), None),
    "ones": (lambda i: i.ones, (2, 3), "int8"),
    "constant": (lambda i: i.constant(3), (2,), None),
    "uniform": (lambda i: i.uniform(0.5), (3, 4), None),
    "normal": (lambda i: i.normal(dtype="bfloat16"), (3, 4), None),
    "truncated_normal": (lambda i: i.truncated_normal(0.5, lower=-1.0), (3, 4), None),
    "glorot_uniform": (lambda i: i.glorot_uniform(), (3, 4), None),
    "xavier_normal": (lambda i: i.xavier_normal(), (3, 4), "float16"),
    "lecun_normal": (lambda i: i.lecun_normal(in_axis=(0, 1), out_axis=2), (2, 3, 4), None),
    "he_uniform": (lambda i: i.he_uniform(batch_axis=0), (2, 3, 4), None),
    "fan_out": (lambda i: i.variance_scaling(2.0, "fan_out", "normal"), (3, 4), None),
    "fan_geo_avg": (lambda i: i.variance_scaling(2.0, "fan_geo_avg", "normal"), (3, 4), None),
    "complex truncated": (lambda i: i.variance_scaling(2.0, "fan_avg", "truncated_normal"), (3, 4), "complex64"),
    "complex uniform": (lambda i: i.variance_scaling(2.0, "fan_in", "uniform"), (3, 4), "complex64"),
    "complex normal": (lambda i: i.variance_scaling(2.0, "fan_in", "normal"), (3, 4), "complex64"),
    "orthogonal": (lambda i: i.orthogonal(2.0), (2, 3, 4), None),
    "orthogonal rows": (lambda i: i.orthogonal(column_axis=0), (4, 3), None),
    "delta_orthogonal": (lambda i: i.delta_orthogonal(), (3, 3, 4, 5), None),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    make, shape, dtype = CASES[name]
    args = (shape,) if dtype is None else (shape, dtype)
    expected = make(jax.nn.initializers)(jax.random.key(3), *args)
    got = make(cyxla.nn.initializers)(cyxla.random.key(3), *args)
    assert got.dtype == expected.dtype and got.weak_type == expected.weak_type
    expected, got = (np.asarray(x, np.complex64 if dtype == "complex64" else np.float32) for x in (expected, got))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_raw_keys_and_jit():
    init = cyxla.nn.initializers.he_normal()
    expected = init(cyxla.random.key(3), (3, 4))
    np.testing.assert_array_equal(init(cyxla.random.PRNGKey(3), (3, 4)), expected)
    jitted = cyxla.jit(lambda k: init(k, (3, 4)))(cyxla.random.key(3))
    np.testing.assert_allclose(jitted, expected, rtol=1e-6)
    assert isinstance(init, cyxla.nn.initializers.Initializer)


@pytest.mark.parametrize(
    "call",
    [
        lambda i, k: i.variance_scaling(1.0, "fan_middle", "normal")(k, (2, 3)),
        lambda i, k: i.variance_scaling(1.0, "fan_in", "zipf")(k, (2, 3)),
        lambda i, k: i.glorot_normal()(k, (2,)),
        lambda i, k: i.glorot_normal()(k, (2, 3), "int32"),
        lambda i, k: i.orthogonal()(k, (3,)),
        lambda i, k: i.delta_orthogonal()(k, (3, 3)),
        lambda i, k: i.delta_orthogonal()(k, (3, 3, 5, 4)),
    ],
)
def test_errors(call):
    with pytest.raises(ValueError):
        call(jax.nn.initializers, jax.random.key(0))
    with pytest.raises(ValueError):
        call(cyxla.nn.initializers, cyxla.random.key(0))
