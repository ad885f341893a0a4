"""Slices against jax and NumPy; their rules are in the law tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyxla
from cyxla import lax

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7 - 1
ONE = np.int32(1)


def both(function, *args):
    theirs = jax.jit(lambda *a: function(jax.lax, *a))(*args)
    ours = cyxla.jit(lambda *a: function(lax, *a))(*args)
    assert (ours.shape, ours.dtype, ours.weak_type) == (theirs.shape, theirs.dtype, theirs.weak_type)
    np.testing.assert_array_equal(ours, theirs)


def test_slice_of_many_dtypes():
    for dtype in (bool, np.int8, np.uint16, np.complex64, jnp.bfloat16, np.float16, jnp.float8_e4m3fn, jnp.int4):
        x = jnp.asarray(X).astype(dtype)
        ours = cyxla.jit(lambda x: lax.slice(x, (0, 1, 2), (2, 3, 4), (1, 2, 1)))(np.asarray(x))
        assert ours.dtype == x.dtype
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(x)[:2, 1:3:2, 2:4])


def test_slice_in_dim():
    both(lambda lax, x: lax.slice_in_dim(x, -3, -1, axis=-1), X)
    both(lambda lax, x: lax.slice_in_dim(x, None, None, 2, 1), X)
    both(lambda lax, x: lax.index_in_dim(x, -1, 1), X)
    both(lambda lax, x: lax.index_in_dim(x, 1, 2, keepdims=False), X)


def test_dynamic_slice_in_dim():
    both(lambda lax, x, i: lax.dynamic_slice(x, (i, 0, i), (1, 3, 2), allow_negative_indices=False), X, -ONE)
    both(lambda lax, x, i: lax.dynamic_slice(x, (i, i, i), (1, 3, 2), allow_negative_indices=(0, 1, 1)), X, -ONE)
    both(lambda lax, x, i: lax.dynamic_slice_in_dim(x, i, 2, 1), X, ONE)
    both(lambda lax, x, i: lax.dynamic_index_in_dim(x, i, -1), X, -ONE)
    both(lambda lax, x, i: lax.dynamic_index_in_dim(x, i, 1, keepdims=False), X, np.uint8(2))


def test_dynamic_update_in_dim():
    both(lambda lax, x, u, i: lax.dynamic_update_slice_in_dim(x, u, i, 1), X, X[:, :2] * 3, ONE)
    both(lambda lax, x, u, i: lax.dynamic_update_index_in_dim(x, u, i, 1), X, X[:, 0] * 3, -ONE)
    both(lambda lax, x, u, i: lax.dynamic_update_index_in_dim(x, u, i, 1), X, X[:, :1] * 3, ONE)


def test_small_index_types_count_from_the_end_of_long_axes():
    x = np.arange(300)
    ours = cyxla.jit(lambda x, i: lax.dynamic_slice(x, (i,), (2,)))(x, np.int8(-2))
    np.testing.assert_array_equal(ours, [298, 299])


def test_second_derivative_of_a_window():
    def f(lax, x, i):
        y = lax.dynamic_slice(x, (i, 0, 0), (1, 3, 4))
        return lax.reduce_sum(lax.mul(lax.mul(y, y), y), axes=(0, 1, 2))

    ours = cyxla.jit(cyxla.hessian(lambda x: f(lax, x, ONE)))(X)
    theirs = jax.jit(jax.hessian(lambda x: f(jax.lax, x, ONE)))(X)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x: lax.slice(x, (0, 1), (2, 3, 4)), "start_indices"),
        (lambda x: lax.slice(x, (0, 1, 2), (2, 3)), "limit_indices"),
        (lambda x: lax.slice(x, (0, 1, 2), (2, 3, 4), (1, 1)), "strides"),
        (lambda x: lax.slice(x, (0, 1, 2), (2, 3, 5)), "limit_indices"),
        (lambda x: lax.slice(x, (0, 1, -2), (2, 3, 4)), "start_indices"),
        (lambda x: lax.slice(x, (0, 1, 3), (2, 3, 2)), "start_indices"),
        (lambda x: lax.slice(x, (0, 1, 2.5), (2, 3, 4)), "start_indices"),
        (lambda x: lax.slice(x, (0, 1, 2), (2, 3, 4), (1, 1, -1)), "strides"),
        (lambda x: lax.dynamic_slice(x, (ONE, ONE, ONE), (1, 1, 9)), "slice_sizes"),
        (lambda x: lax.dynamic_slice(x, (ONE, ONE, ONE), (1, 1, -1)), "slice_sizes"),
        (lambda x: lax.dynamic_slice(x, (ONE, ONE, 1.5), (1, 1, 1)), "integer"),
        (lambda x: lax.dynamic_slice(x, (ONE, ONE, np.ones(2, np.int32)), (1, 1, 1)), "scalar"),
        (lambda x: lax.dynamic_update_slice(x, x[0], (ONE, ONE, ONE)), "rank"),
        (lambda x: lax.dynamic_update_slice(x, np.ones((3, 1, 1), np.float32), (ONE, ONE, ONE)), "larger"),
        (lambda x: lax.dynamic_update_slice(x, x.astype(np.int32), (ONE, ONE, ONE)), "dtype"),
    ],
)
def test_type_errors(call, named):
    with pytest.raises(TypeError, match=named):
        call(X)


def test_traced_bounds_of_a_static_slice():
    with pytest.raises(TypeError, match="dynamic_slice"):
        cyxla.jit(lambda x, i: lax.slice(x, (i, 0, 0), (2, 3, 4)))(X, 1)


def test_number_of_start_indices():
    with pytest.raises(ValueError, match="start indices"):
        lax.dynamic_slice(X, (ONE, ONE), (1, 1, 1))
    with pytest.raises(IndexError, match="out of bounds"):
        lax.index_in_dim(X, 9, 1)
    with pytest.raises(IndexError, match="axis 5"):
        lax.slice_in_dim(X, 0, 1, axis=5)
