"""Products of numbers that share scales in blocks. jax has them for GPUs only: shapes and errors are compared."""

import jax
import ml_dtypes
import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp

RNG = np.random.default_rng(0)
FORMATS = [
    (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu, 32),
    (ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn, 16),
]
MATRICES = (((1,), (0,)), ((), ()))
X, Y = RNG.normal(size=(8, 64)).astype(np.float32), RNG.normal(size=(64, 5)).astype(np.float32)


def config(mode, jax=cyxla):
    return jax.nn.get_scaled_dot_general_config(mode)


@pytest.mark.parametrize("data, scale, block", FORMATS)
def test_scaled_matmul(data, scale, block):
    a, b = (RNG.normal(size=(2, n, 64)).astype(data) for n in (8, 5))
    sa, sb = (RNG.uniform(1, 4, size=(2, n, 64 // block)).astype(scale) for n in (8, 5))
    wide = lambda x, s: x.astype(np.float32) * np.repeat(s.astype(np.float32), block, -1)
    expected = np.einsum("bmk,bnk->bmn", wide(a, sa), wide(b, sb))
    np.testing.assert_allclose(cyxla.nn.scaled_matmul(a, b, sa, sb), expected, rtol=1e-5, atol=1e-4)
    half = cyxla.nn.scaled_matmul(a, b, sa, sb, preferred_element_type=jnp.bfloat16)
    assert half.dtype == jnp.bfloat16 and half.shape == expected.shape


@pytest.mark.parametrize(
    "shapes",
    [
        ((8, 64), (4, 64), (8, 2), (4, 2)),
        ((2, 8, 64), (2, 4, 32), (2, 8, 2), (2, 4, 1)),
        ((2, 8, 64), (1, 4, 64), (2, 8, 2), (1, 4, 2)),
        ((2, 8, 64), (2, 4, 64), (2, 7, 2), (2, 4, 2)),
        ((2, 8, 64), (2, 4, 64), (2, 8, 2), (2, 4, 4)),
    ],
)
def test_shapes_that_do_not_fit(shapes):
    args = [np.ones(shape, np.float32) for shape in shapes]
    for library in (jax, cyxla):
        with pytest.raises(ValueError, match="scaled_matmul"):
            library.nn.scaled_matmul(*args)


def test_formats():
    for mode in ("mxfp8", "nvfp4"):
        assert str(config(mode)) == str(config(mode, jax))
    with pytest.raises(ValueError, match="mxfp4"):
        config("mxfp4")


@pytest.mark.parametrize("mode, tolerance", [("mxfp8", 0.12), ("nvfp4", 0.25)])
def test_scaled_dot_general(mode, tolerance):
    run = lambda x, y, *args: cyxla.nn.scaled_dot_general(x, y, *args, configs=[config(mode)] * 3)
    close = lambda ours, exact: np.testing.assert_allclose(ours, exact, atol=tolerance * np.abs(exact).max())
    close(run(X, Y, MATRICES), X @ Y)
    close(cyxla.jit(lambda x, y: run(x, y, MATRICES))(X[:, :40], Y[:40]), X[:, :40] @ Y[:40])  # blocks are filled up
    a, b = RNG.normal(size=(2, 3, 4, 32)).astype(np.float32), RNG.normal(size=(32, 2, 5, 4)).astype(np.float32)
    numbers = (((2, 3), (3, 0)), ((0,), (1,)))
    exact = np.einsum("bfxy,ybgx->bfg", a, b)
    close(run(a, b, numbers), exact)
    weights = RNG.normal(size=exact.shape).astype(np.float32)
    ours = cyxla.grad(lambda a, b: (run(a, b, numbers) * weights).sum(), (0, 1))(a, b)
    close(ours[0], np.einsum("bfg,ybgx->bfxy", weights, b))
    close(ours[1], np.einsum("bfg,bfxy->ybgx", weights, a))


def test_exact_products():
    ones = cyxla.nn.scaled_dot_general(
        jnp.ones((4, 64)), jnp.full((64, 2), 0.5), MATRICES, configs=[config("mxfp8")] * 3
    )
    np.testing.assert_array_equal(ones, np.full((4, 2), 32.0))
    zero = cyxla.nn.scaled_dot_general(0 * X, Y, MATRICES, configs=[config("nvfp4")] * 3)
    np.testing.assert_array_equal(zero, np.zeros((8, 5)))
    scaled = cyxla.nn.get_scaled_dot_general_config("nvfp4", jnp.array([4.0]))
    near = cyxla.nn.scaled_dot_general(X, Y, MATRICES, configs=[scaled] * 3)
    np.testing.assert_allclose(near, X @ Y, atol=0.25 * np.abs(X @ Y).max())


def test_types():
    for dtype in (np.float32, np.float16, jnp.bfloat16):
        ours = cyxla.nn.scaled_dot_general(X, Y, MATRICES, dtype, configs=[config("mxfp8")] * 3)
        assert ours.dtype == dtype
    np.testing.assert_allclose(cyxla.nn.scaled_dot_general(X, Y, MATRICES), X @ Y, rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="float64"):
        cyxla.nn.scaled_dot_general(X, Y, MATRICES, np.float64, configs=[config("mxfp8")] * 3)
    with pytest.raises(IndexError, match="format"):
        cyxla.nn.scaled_dot_general(X, Y, MATRICES, configs=[config("mxfp8")])
