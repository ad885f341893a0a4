"""Decompositions: their defining equations, edge cases, errors; rules and values are in the law tests."""

from functools import partial

import jax
import numpy as np
import pytest
import scipy.linalg

import cyxla
from cyxla import lax

# Programs here run once: what counts is that XLA compiles them fast.
QUICK = {"xla_backend_optimization_level": 0}
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


# ---- products of reflections, reduced forms, tridiagonal systems, rank updates, polar decomposition


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_products_of_reflections(dtype):
    a, taus = matrices(2, 4, 3, dtype=dtype), matrices(2, 2, dtype=dtype)
    c = matrices(2, 4, 4, dtype=dtype)
    q = np.asarray(lax.linalg.ormqr(a, taus, np.broadcast_to(np.eye(4, dtype=dtype), c.shape)))
    product = np.eye(4, dtype=dtype)
    for i in range(2):
        v = np.concatenate([np.zeros((2, i)), np.ones((2, 1)), a[:, i + 1 :, i]], 1)
        product = product @ (np.eye(4) - taus[:, i, None, None] * v[:, :, None] * v[:, None].conj())
    np.testing.assert_allclose(q, product, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(lax.linalg.householder_product(a, taus), q[..., :3], rtol=1e-10, atol=1e-10)
    for left in (True, False):
        for transpose in (True, False):
            factor = adjoint(q) if transpose else q
            expected = factor @ c if left else c @ factor
            out = lax.linalg.ormqr(a, taus, c, left=left, transpose=transpose)
            np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reduced_forms(dtype):
    x, close = matrices(2, 4, 4, dtype=dtype), tolerance(dtype)
    hermitian = x + adjoint(x)
    eye = np.broadcast_to(np.eye(3, dtype=dtype), (2, 3, 3))

    packed, taus = (np.asarray(v) for v in lax.linalg.hessenberg(x))
    q = np.zeros((2, 4, 4), dtype)
    q[:, 0, 0] = 1
    q[:, 1:, 1:] = lax.linalg.ormqr(packed[:, 1:, :3], taus, eye)
    np.testing.assert_allclose(q @ np.triu(packed, -1) @ adjoint(q), x, **close)

    for lower in (True, False):
        packed, d, e, taus = (np.asarray(v) for v in lax.linalg.tridiagonal(hermitian, lower=lower))
        assert d.dtype == e.dtype == np.finfo(dtype).dtype
        assert taus.dtype == dtype
        for i in range(2):
            form = np.diag(d[i]) + np.diag(e[i], 1) + np.diag(e[i], -1)
            np.testing.assert_allclose(np.linalg.eigvalsh(form), np.linalg.eigvalsh(hermitian[i]), **close)

    form, z = (np.asarray(v) for v in lax.linalg.schur(x))
    np.testing.assert_allclose(z @ form @ adjoint(z), x, **close)
    np.testing.assert_array_equal(form, np.triu(form, 0 if np.dtype(dtype).kind == "c" else -1))
    np.testing.assert_allclose(lax.linalg.schur(x, compute_schur_vectors=False)[0], form, **close)
    assert np.isnan(np.asarray(lax.linalg.schur(x * np.nan)[0])).all()


def dense(dl, d, du):
    return np.diag(d) + np.diag(dl[1:], -1) + np.diag(du[:-1], 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tridiagonal_solve(dtype):
    dl, d, du = (matrices(2, 4, dtype=dtype) for _ in range(3))
    b = matrices(2, 4, 3, dtype=dtype)
    expected = np.stack([np.linalg.solve(dense(*m), y) for *m, y in zip(dl, d, du, b)])
    for perturb in (False, True):
        x = lax.linalg.tridiagonal_solve(dl, d, du, b, perturb_singular=perturb)
        np.testing.assert_allclose(x, expected, rtol=1e-3 if np.finfo(dtype).bits == 32 else 1e-9)
    dl[:, 0], du[:, -1] = np.nan, np.inf
    np.testing.assert_array_equal(lax.linalg.tridiagonal_solve(dl, d, du, b, perturb_singular=True), x)
    nothing = np.zeros_like(d)
    assert np.isnan(np.asarray(lax.linalg.tridiagonal_solve(nothing, nothing, nothing, b))).all()
    assert np.isfinite(
        np.asarray(lax.linalg.tridiagonal_solve(nothing, nothing, nothing, b, perturb_singular=True))
    ).all()


def test_vmap_of_a_shared_tridiagonal_system():
    diagonals, b = matrices(3, 4), matrices(4, 2, 5)
    solve = cyxla.vmap(lambda b: lax.linalg.tridiagonal_solve(*diagonals, b), in_axes=2, out_axes=2)
    assert "5" in str(cyxla.make_jaxpr(solve)(b)).split("tridiagonal_solve")[0]
    one = np.stack([np.linalg.solve(dense(*diagonals), b[:, :, i]) for i in range(5)], 2)
    np.testing.assert_allclose(solve(b), one, rtol=1e-9)


def test_rank_updates():
    r = np.linalg.cholesky(np.eye(4) + np.ones((2, 4, 4))).swapaxes(-1, -2)
    w = matrices(2, 4)
    out = np.asarray(lax.linalg.cholesky_update(r, w))
    product = adjoint(r) @ r + w[:, :, None] * w[:, None]
    np.testing.assert_allclose(out, np.linalg.cholesky(product).swapaxes(-1, -2), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(lax.linalg.cholesky_update(np.zeros((2, 2)), np.zeros(2)), np.zeros((2, 2)))
    a, c = matrices(2, 3, 4), matrices(2, 3, 3)
    out = lax.linalg.symmetric_product(a, c, alpha=2.0, beta=3.0, symmetrize_output=True)
    lower = np.tril(2 * a @ adjoint(a) + 3 * c)
    np.testing.assert_allclose(out, lower + np.tril(lower, -1).swapaxes(-1, -2), rtol=1e-12)


def pivoted(full):
    return lambda x: lax.linalg.qr(x, pivoting=True, full_matrices=full)[:2]


# function, shapes of the operands, dtypes
RULES = {
    "householder_product": (lax.linalg.householder_product, [(4, 3), (2,)], "fc"),
    "ormqr": (lax.linalg.ormqr, [(4, 3), (3,), (4, 2)], "fc"),
    "ormqr right": (
        lambda a, t, c: lax.linalg.ormqr(a, t, c, left=False, transpose=True),
        [(4, 3), (3,), (2, 4)],
        "fc",
    ),
    "tridiagonal_solve": (
        lambda a, b, c, x: lax.linalg.tridiagonal_solve(a, b, c, x),
        [(4,), (4,), (4,), (4, 2)],
        "fc",
    ),
    "symmetric_product": (lambda a, c: lax.linalg.symmetric_product(a, c, alpha=2.0, beta=3.0), [(3, 2), (3, 3)], "f"),
    "cholesky_update": (lambda r, w: lax.linalg.cholesky_update(r @ r.T + 1, w), [(3, 3), (3,)], "f"),
    "qr pivoting": (pivoted(False), [(3, 3)], "fc"),
    "qr pivoting tall": (pivoted(True), [(4, 3)], "fc"),
    "qr pivoting wide": (pivoted(True), [(3, 4)], "fc"),
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in RULES for kind in RULES[name][2]])
def test_rules_jax_does_not_have(name, kind):
    """Forward derivatives against differences, reverse against forward ones, batches against loops."""
    function, shapes, _ = RULES[name]
    dtype = np.complex128 if kind == "c" else np.float64
    x, t = (tuple(matrices(*shape, dtype=dtype) for shape in shapes) for _ in range(2))

    def flat(*x):
        out = function(*x)
        return tuple(out) if isinstance(out, tuple) else (out,)

    @partial(cyxla.jit, compiler_options=QUICK)
    def derivatives(x, t, ct):
        tangents = cyxla.jvp(flat, x, t)[1]
        return tangents, cyxla.vjp(flat, *x)[1](ct)

    h = 1e-6
    f = cyxla.jit(flat, compiler_options=QUICK)
    above, below = (f(*[a + s * b for a, b in zip(x, t)]) for s in (h, -h))
    ct = tuple(matrices(*v.shape, dtype=dtype) for v in above)
    tangents, cotangents = derivatives(x, t, ct)
    for ours, a, b in zip(tangents, above, below):
        np.testing.assert_allclose(ours, (np.asarray(a) - np.asarray(b)) / (2 * h), rtol=1e-5, atol=1e-5)
    left = sum(np.sum(np.asarray(a) * b) for a, b in zip(tangents, ct)).real
    right = sum(np.sum(np.asarray(a) * b) for a, b in zip(cotangents, t)).real
    np.testing.assert_allclose(left, right, rtol=1e-9)
    batch = [np.stack([a, b], -1) for a, b in zip(x, t)]
    outs = cyxla.jit(cyxla.vmap(flat, in_axes=-1), compiler_options=QUICK)(*batch)
    for i, one in enumerate((x, t)):
        for ours, alone in zip(outs, f(*one)):
            np.testing.assert_allclose(ours[i], alone, rtol=1e-9, atol=1e-12)


def test_pivoting():
    x = matrices(2, 4, 3) * [1, 10, 5]
    q, r, p = (np.asarray(v) for v in lax.linalg.qr(x, pivoting=True, full_matrices=False))
    assert p.dtype == np.int32
    np.testing.assert_allclose(q @ r, np.take_along_axis(x, p[:, None], 2), rtol=1e-10)
    assert (np.diff(np.abs(np.diagonal(r, axis1=1, axis2=2))) <= 0).all()
    np.testing.assert_array_equal(lax.linalg.qr(np.zeros((0, 3)), pivoting=True)[2], np.arange(3))


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_polar_decomposition(dtype):
    close = tolerance(dtype)
    for x in (matrices(4, 3, dtype=dtype), np.diag([1, 1e-3, 1e-6]).astype(dtype)):
        u, h, count, converged = lax.linalg.qdwh(x)
        expected = scipy.linalg.polar(x)
        np.testing.assert_allclose(u, expected[0], **close)
        np.testing.assert_allclose(h, expected[1], **close)
        with jax.enable_x64(True):
            oracle = jax.lax.linalg.qdwh(jax.numpy.asarray(x))
        assert converged
        assert int(count) == int(oracle[2])
        assert (count.dtype, count.weak_type, u.dtype) == (oracle[2].dtype, oracle[2].weak_type, dtype)
    x = matrices(3, 3, dtype=dtype)
    assert not lax.linalg.qdwh(x, max_iterations=1)[3]
    u, h, *_ = lax.linalg.qdwh(x, dynamic_shape=(3, 2))
    np.testing.assert_allclose(u @ h, x * [1, 1, 0], **close)
    assert not np.asarray(u)[:, 2].any()
    u = np.asarray(lax.linalg.qdwh(x + adjoint(x), is_hermitian=True)[0])
    np.testing.assert_array_equal(u, adjoint(u))


def test_derivative_of_the_polar_decomposition():
    x, t = matrices(3, 3), matrices(3, 3)
    f = lambda x: lax.linalg.qdwh(x)[:2]
    ours = cyxla.jvp(f, (x,), (t,))[1]
    expected = [finite_difference(lambda x, i=i: f(x)[i], x, t) for i in (0, 1)]
    for a, b in zip(ours, expected):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_choice_of_implementation():
    x = matrices(3, 3)
    values = lax.linalg.eig(x, implementation=lax.linalg.EigImplementation.LAPACK)[0]
    np.testing.assert_array_equal(values, lax.linalg.eig(x)[0])
    with pytest.raises(ValueError, match="MAGMA"):
        lax.linalg.eig(x, implementation=lax.linalg.EigImplementation.MAGMA)
    with pytest.warns(DeprecationWarning, match="use_magma"), pytest.raises(ValueError, match="CUSOLVER"):
        lax.linalg.eig(x, use_magma=False)
    np.testing.assert_array_equal(
        lax.linalg.eigh(x, implementation=lax.linalg.EighImplementation.QR)[1], lax.linalg.eigh(x)[1]
    )
    with pytest.raises(NotImplementedError, match="JACOBI"):
        lax.linalg.eigh(x, implementation=lax.linalg.EighImplementation.JACOBI)
    u, s, vh = lax.linalg.svd(x, algorithm=lax.linalg.SvdAlgorithm.QR)
    np.testing.assert_allclose((u * s) @ vh, x, rtol=1e-10)
    with pytest.raises(NotImplementedError, match="POLAR"):
        lax.linalg.svd(x, algorithm=lax.linalg.SvdAlgorithm.POLAR)


X = np.ones((3, 4))
S = np.ones((3, 3))
WRONG = [
    (lambda l: l.hessenberg(X), ["square", "3,4"]),
    (lambda l: l.hessenberg(S.astype(int)), ["int64"]),
    (lambda l: l.tridiagonal(X), ["square"]),
    (lambda l: l.tridiagonal(np.ones((0, 0))), ["tridiagonal"]),
    (lambda l: l.schur(X), ["square"]),
    (lambda l: l.schur(S.astype(bool)), ["bool"]),
    (lambda l: l.eig(S.astype(int)), ["int64"]),
    (lambda l: l.tridiagonal_solve(S[0], S[0], S[0], S[0]), ["tridiagonal_solve", "3"]),
    (lambda l: l.tridiagonal_solve(S[0], S[0], X[0], S), ["tridiagonal_solve", "4"]),
    (lambda l: l.tridiagonal_solve(S[0], S[0], S[0], S.astype(complex)), ["complex128"]),
    (lambda l: l.symmetric_product(X, X), ["(3, 4)"]),
    (lambda l: l.symmetric_product(S.astype(complex), S.astype(complex)), ["complex128"]),
    (lambda l: l.cholesky_update(X, X[0]), ["square"]),
    (lambda l: l.cholesky_update(S, X[0]), ["(4,)"]),
    (lambda l: l.cholesky_update(S.astype(int), S[0].astype(int)), ["int64"]),
    (lambda l: l.ormqr(X, S[0], X.T), ["ormqr"]),
    (lambda l: l.qdwh(X), ["3,4"]),
    (lambda l: l.qdwh(S[None]), ["1,3,3"]),
]


@pytest.mark.parametrize(("call", "parts"), WRONG)
def test_wrong_operands(call, parts):
    with jax.enable_x64(True), pytest.raises(Exception) as theirs:
        call(jax.lax.linalg)
    with pytest.raises((TypeError, ValueError)) as ours:
        call(lax.linalg)
    assert isinstance(ours.value, theirs.type)
    for part in parts:
        assert part in str(ours.value)
