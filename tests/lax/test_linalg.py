"""Decompositions: their defining equations, edge cases, errors; rules and values are in the law tests."""

import jax
import numpy as np
import pytest

import cyxla
from cyxla import lax

RANDOM = np.random.default_rng(0)
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


@pytest.fixture(autouse=True)
def x64():
    with cyxla.enable_x64(True):
        yield


def matrices(*shape, dtype=np.float64):
    x = RANDOM.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * RANDOM.standard_normal(shape)
    return x.astype(dtype)


def adjoint(x):
    return np.swapaxes(np.asarray(x), -1, -2).conj()


def tolerance(dtype):
    return {"rtol": 1e-4, "atol": 1e-4} if np.finfo(dtype).bits == 32 else {"rtol": 1e-10, "atol": 1e-10}


@pytest.mark.parametrize("dtype", DTYPES)
def test_defining_equations(dtype):
    x, close = matrices(2, 4, 3, dtype=dtype), tolerance(dtype)
    positive = x @ adjoint(x) + np.eye(4, dtype=dtype)

    factor = np.asarray(lax.linalg.cholesky(positive))
    assert factor.dtype == dtype
    np.testing.assert_allclose(factor @ adjoint(factor), positive, **close)
    np.testing.assert_array_equal(factor, np.tril(factor))

    for full in (False, True):
        q, r = map(np.asarray, lax.linalg.qr(x, full_matrices=full))
        np.testing.assert_allclose(q @ r, x, **close)
        np.testing.assert_allclose(
            adjoint(q) @ q, np.broadcast_to(np.eye(q.shape[-1]), (2, *q.shape[-1:] * 2)), **close
        )
        u, s, vh = map(np.asarray, lax.linalg.svd(x, full_matrices=full))
        np.testing.assert_allclose((u[..., :3] * s[:, None]) @ vh, x, **close)
        np.testing.assert_allclose(s, np.linalg.svd(x, compute_uv=False), **close)
    np.testing.assert_allclose(lax.linalg.svd(x, compute_uv=False), s, **close)

    v, w = map(np.asarray, lax.linalg.eigh(positive))
    np.testing.assert_allclose(positive @ v, v * w[:, None], **close)
    assert w.dtype == np.zeros((), dtype).real.dtype

    packed, _, permutation = map(np.asarray, lax.linalg.lu(x))
    left = np.tril(packed, -1) + np.eye(4, 3)
    product = left @ np.triu(packed[:, :3])
    np.testing.assert_allclose(product, np.take_along_axis(x, permutation[..., None], 1), **close)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("left_side", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize(("transpose", "conjugate"), [(False, False), (False, True), (True, False), (True, True)])
def test_triangular_solve(dtype, left_side, lower, transpose, conjugate):
    a, b = matrices(3, 3, dtype=dtype), matrices(3, 3, dtype=dtype)
    x = np.asarray(
        lax.linalg.triangular_solve(
            a, b, left_side=left_side, lower=lower, transpose_a=transpose, conjugate_a=conjugate
        )
    )
    a = np.tril(a) if lower else np.triu(a)
    a = a.conj() if conjugate else a
    a = a.T if transpose else a
    np.testing.assert_allclose(a @ x if left_side else x @ a, b, rtol=1e-9)


def test_triangular_solve_of_vectors():
    a, b = matrices(2, 3, 3), matrices(2, 3)
    x = lax.linalg.triangular_solve(a, b, left_side=True)
    np.testing.assert_allclose(np.einsum("bij,bj->bi", np.triu(a), x), b, rtol=1e-9)


def finite_difference(function, x, t, h=1e-6):
    return (np.asarray(function(x + h * t)) - np.asarray(function(x - h * t))) / (2 * h)


SMOOTH = {
    "cholesky": lambda x: lax.linalg.cholesky(x @ x.mT.conj()),
    "lu": lambda x: lax.linalg.lu(x)[0],
    "q": lambda x: lax.linalg.qr(x, full_matrices=False)[0],
    "r": lambda x: lax.linalg.qr(x, full_matrices=False)[1],
    "full q": lambda x: lax.linalg.qr(x)[0],
    "full r": lambda x: lax.linalg.qr(x)[1],
    "eigenvalues": lambda x: lax.linalg.eigh(x @ x.mT.conj())[1],
    "projection": lambda x: _projection(x),
    "singular values": lambda x: lax.linalg.svd(x, compute_uv=False),
    "polar factor": lambda x: _polar(x),
}


def _projection(x):
    """What the first two eigenvectors span, which does not depend on their phases."""
    v = lax.linalg.eigh(x @ x.mT.conj())[0][..., :2]
    return v @ v.mT.conj()


def _polar(x):
    u, _, vh = lax.linalg.svd(x, full_matrices=False)
    return u @ vh


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_derivatives_against_finite_differences(name, shape, dtype):
    if name in ("cholesky", "eigenvalues", "projection") and shape != (3, 3):
        return
    x, t = matrices(*shape, dtype=dtype), matrices(*shape, dtype=dtype)
    f = cyxla.jit(SMOOTH[name])
    _, tangent = cyxla.jit(lambda x, t: cyxla.jvp(SMOOTH[name], (x,), (t,)))(x, t)
    expected = finite_difference(f, x, t)
    np.testing.assert_allclose(tangent, expected, rtol=1e-4, atol=1e-5)


def test_failures_are_nan():
    indefinite = np.stack([np.eye(2), -np.eye(2)])
    factor = np.asarray(lax.linalg.cholesky(indefinite))
    np.testing.assert_array_equal(factor[0], np.eye(2))
    assert np.isnan(factor[1]).any()
    singular = np.zeros((2, 2))
    assert not np.isnan(np.asarray(lax.linalg.lu(singular)[0])).any()


def test_only_one_triangle_is_read():
    x = matrices(3, 3)
    lower = np.tril(x) + np.tril(x, -1).T
    np.testing.assert_allclose(lax.linalg.eigh(x, symmetrize_input=False)[1], np.linalg.eigvalsh(lower), rtol=1e-9)
    upper = np.triu(x) + np.triu(x, 1).T
    np.testing.assert_allclose(
        lax.linalg.eigh(x, lower=False, symmetrize_input=False)[1], np.linalg.eigvalsh(upper), rtol=1e-9
    )


def test_subsets():
    x = matrices(4, 3)
    u, s, vh = lax.linalg.svd(x, full_matrices=False, subset_by_index=(1, 3))
    assert (u.shape, s.shape, vh.shape) == ((4, 2), (2,), (2, 3))
    v, w = lax.linalg.eigh(x.T @ x, subset_by_index=(0, 2))
    assert (v.shape, w.shape) == ((3, 2), (2,))
    np.testing.assert_allclose(w, np.linalg.eigvalsh(x.T @ x)[:2], rtol=1e-9)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (0, 2, 3)])
def test_empty_matrices(shape):
    x = np.zeros(shape)
    for function in (
        lambda lax, x: lax.linalg.lu(x),
        lambda lax, x: lax.linalg.qr(x),
        lambda lax, x: lax.linalg.qr(x, full_matrices=False),
        lambda lax, x: lax.linalg.svd(x, full_matrices=False),
    ):
        with jax.enable_x64(True):
            expected = [v.shape for v in function(jax.lax, jax.numpy.asarray(x))]
        assert [v.shape for v in function(lax, x)] == expected
    assert lax.linalg.cholesky(np.zeros((0, 0))).shape == (0, 0)


def test_permutation_of_pivots():
    x = matrices(5, 4)
    _, pivots, permutation = lax.linalg.lu(x)
    rows = np.arange(5)
    for i, p in enumerate(np.asarray(pivots)):
        rows[[i, p]] = rows[[p, i]]
    np.testing.assert_array_equal(permutation, rows)
    np.testing.assert_array_equal(lax.linalg.lu_pivots_to_permutation(pivots, 5), rows)


def test_vmap_of_a_shared_triangle():
    a, b = matrices(3, 3), matrices(4, 3, 2)
    for left in (True, False):
        for axis in (0, 1, 2):
            args = np.moveaxis(b if left else np.swapaxes(b, 1, 2), 0, axis)
            ours = cyxla.jit(
                cyxla.vmap(lambda b, left=left: lax.linalg.triangular_solve(a, b, left_side=left), in_axes=axis)
            )(args)
            one = np.stack([lax.linalg.triangular_solve(a, np.take(args, i, axis), left_side=left) for i in range(4)])
            np.testing.assert_allclose(ours, one, rtol=1e-12)


def test_errors():
    x = matrices(3, 4)
    for function in (lax.linalg.cholesky, lax.linalg.eigh):
        with pytest.raises((ValueError, TypeError), match="square"):
            function(x)
    for name in ("cholesky", "lu", "qr", "svd", "eigh"):
        with pytest.raises(TypeError, match=name):
            getattr(lax.linalg, name)(x[0])
    for name in ("lu", "qr", "svd"):
        with pytest.raises(TypeError, match=name):
            getattr(lax.linalg, name)(x.astype(np.int32))
        with pytest.raises(TypeError, match="float32"):
            getattr(lax.linalg, name)(x.astype(np.float16))
    with pytest.raises(TypeError, match="size of a"):
        lax.linalg.triangular_solve(x[:, :3], x[:2], left_side=True)
    with pytest.raises(ValueError, match="square"):
        lax.linalg.triangular_solve(x, x, left_side=True)
    with pytest.raises(NotImplementedError, match="full_matrices"):
        cyxla.jvp(lambda x: lax.linalg.svd(x), (x,), (x,))
    with pytest.raises(ValueError, match="subset_by_index"):
        lax.linalg.eigh(x[:, :3], subset_by_index=(2, 9))
    with pytest.raises(ValueError, match="permutation_size"):
        lax.linalg.lu_pivots_to_permutation(np.array([0, 1, 2], np.int32), 2)
