"""cyxla.scipy.linalg against SciPy and jax."""

from functools import partial

import jax
import jax.scipy.linalg
import numpy as np
import pytest
import scipy.linalg

import cyxla
import cyxla.numpy as jnp
from cyxla.scipy import linalg

# Programs here run once: what counts is that XLA compiles them fast.
QUICK = {"xla_backend_optimization_level": 0}
RANDOM = np.random.default_rng(0)


def matrices(*shape, dtype=np.float64):
    x = RANDOM.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * RANDOM.standard_normal(shape)
    return x.astype(dtype)


def adjoint(x):
    return np.swapaxes(np.asarray(x), -1, -2).conj()


def close(actual, expected, tolerance=1e-9):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


@pytest.fixture
def x64():
    with cyxla.enable_x64(True):
        yield


BOTH = pytest.mark.parametrize("dtype", [np.float64, np.complex128])

# ---- special matrices

V, W = np.array([5.0, 1.0, 2.0]), np.array([3, 4])
SPECIAL = [
    *[(name, (n,), {}) for name in ("hilbert", "invhilbert", "pascal", "invpascal") for n in (1, 2, 5)],
    *[(name, (4, kind), {}) for name in ("pascal", "invpascal") for kind in ("symmetric", "lower", "upper")],
    ("helmert", (4,), {}), ("helmert", (3,), {"full": True}), ("hadamard", (8,), {}), ("hadamard", (2,), {"dtype": float}),
    *[("dft", (n, scale), {}) for n in (1, 2, 5) for scale in (None, "sqrtn", "n")],
    ("toeplitz", (V,), {}), ("toeplitz", (V + 1j,), {}), ("toeplitz", (V, W), {}), ("toeplitz", (W, W + 1j), {}),
    ("toeplitz", (np.float64(2),), {}), ("hankel", (V,), {}), ("hankel", (W, V), {}), ("circulant", (V,), {}),
    ("circulant", (W,), {}), ("companion", (V,), {}), ("companion", (W,), {}), ("companion", (V + 1j,), {}),
    ("fiedler", (V,), {}), ("fiedler", (W,), {}), ("leslie", (V, W), {}), ("leslie", (W, W[:1]), {}),
    *[("fiedler_companion", (np.arange(1.0, n),), {}) for n in (3, 4, 5, 6, 7)],
    *[("convolution_matrix", (V, n, mode), {}) for n in (2, 5) for mode in ("full", "same", "valid")],
    ("block_diag", (V, np.ones((2, 2), int), 3.0), {}), ("block_diag", (), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "options"), SPECIAL)
def test_special_matrices(name, args, options, x64):
    ours = getattr(linalg, name)(*args, **options)
    expected = getattr(scipy.linalg, name)(*args, **options)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)
    with jax.enable_x64(True):
        oracle = jax.eval_shape(lambda: getattr(jax.scipy.linalg, name)(*args, **options))
    # jax's Pascal matrices are always of single precision.
    assert ours.dtype == (np.float64 if name == "pascal" else oracle.dtype)
    assert ours.shape == oracle.shape


@pytest.mark.parametrize("name", ["toeplitz", "hankel", "circulant", "companion", "fiedler", "fiedler_companion"])
def test_special_matrices_of_stacks(name):
    x = np.float32(RANDOM.integers(1, 9, (2, 4)))
    ours = np.asarray(getattr(linalg, name)(x))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, np.stack([getattr(scipy.linalg, name)(row) for row in x]), rtol=1e-6)
    tangent = cyxla.jvp(getattr(linalg, name), (x,), (x,))[1]
    assert tangent.shape == ours.shape


# ---- systems of equations


@BOTH
def test_factorizations(dtype, x64):
    a = matrices(2, 3, 3, dtype=dtype)
    positive = a @ adjoint(a) + np.eye(3)
    b = matrices(2, 3, 2, dtype=dtype)
    for lower in (False, True):
        one_triangle = np.tril(positive) if lower else np.triu(positive)
        ours = np.asarray(linalg.cholesky(one_triangle, lower=lower))
        close(ours, np.stack([scipy.linalg.cholesky(m, lower=lower) for m in positive]))
        close(linalg.cho_solve(linalg.cho_factor(one_triangle, lower), b), np.linalg.solve(positive, b))
        close(linalg.solve(one_triangle, b, assume_a="pos", lower=lower), np.linalg.solve(positive, b))
    factors = linalg.lu_factor(a)
    for trans, matrix in enumerate((a, a.swapaxes(-1, -2), adjoint(a))):
        close(linalg.lu_solve(factors, b, trans=trans), np.linalg.solve(matrix, b))
        close(linalg.lu_solve(factors, b[0, :, 0], trans=trans), np.linalg.solve(matrix, b[0, :, 0]))
    close(linalg.solve(a, b), np.linalg.solve(a, b))
    close(linalg.solve(a, b[0]), np.linalg.solve(a, b[0]))
    close(linalg.solve(a[0], b[0, :, 0]), np.linalg.solve(a[0], b[0, :, 0]))
    close(linalg.inv(a), np.linalg.inv(a))
    close(linalg.det(a), np.linalg.det(a))


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
def test_lu(shape, x64):
    a = matrices(*shape)
    for ours, expected in zip(linalg.lu(a), scipy.linalg.lu(a)):
        close(ours, expected)
    for ours, expected in zip(linalg.lu(a, permute_l=True), scipy.linalg.lu(a, permute_l=True)):
        close(ours, expected)
    for ours, expected in zip(linalg.lu_factor(a), scipy.linalg.lu_factor(a)):
        close(ours, expected)
    p, lower, upper = map(np.asarray, linalg.lu(np.stack([a, -a[::-1]])))
    close(p @ lower @ upper, np.stack([a, -a[::-1]]))


@BOTH
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("trans", [0, 1, 2, "N", "T", "C"])
def test_solve_triangular(trans, lower, dtype, x64):
    a, b = matrices(3, 3, dtype=dtype), matrices(3, 2, dtype=dtype)
    options = {"trans": trans, "lower": lower}
    close(linalg.solve_triangular(a, b, **options), scipy.linalg.solve_triangular(a, b, **options))
    if trans in (0, "C"):
        options["unit_diagonal"] = True
        close(linalg.solve_triangular(a, b[:, 0], **options), scipy.linalg.solve_triangular(a, b[:, 0], **options))


def test_stacks_of_vectors():
    a, b = np.float32(matrices(2, 3, 3)), np.float32(matrices(2, 3))
    for solve in (linalg.solve_triangular, lambda a, b: linalg.lu_solve(linalg.lu_factor(np.triu(a)), b)):
        with pytest.warns(FutureWarning, match="stack of vectors"):
            close(solve(a, b), np.linalg.solve(np.triu(a), b[..., None])[..., 0], 1e-3)
    with pytest.raises(ValueError, match="stack of vectors"):
        linalg.solve(a, b)
    close(linalg.solve_triangular(a, b[0]), np.linalg.solve(np.triu(a), b[0]), 1e-3)


def test_solve_sylvester(x64):
    a, b, c = matrices(2, 3, 3), matrices(2, 2), matrices(2, 3, 2)
    for method in ("schur", "eigen"):
        ours = linalg.solve_sylvester(a, b, c, method=method)
        assert ours.dtype == np.float64
        close(ours, np.stack([scipy.linalg.solve_sylvester(x, b, z) for x, z in zip(a, c)]), 1e-7)
        close(
            linalg.solve_sylvester(1j * a[0], b, c[0], method=method), scipy.linalg.solve_sylvester(1j * a[0], b, c[0])
        )
        assert np.isnan(np.asarray(linalg.solve_sylvester(a[0], -a[0], a[0], method=method))).all()


# ---- eigenvalues and singular values


@BOTH
def test_eigh(dtype, x64):
    a, b = matrices(3, 3, dtype=dtype), matrices(3, 3, dtype=dtype)
    a, b = a + adjoint(a), b @ adjoint(b) + np.eye(3)
    w, v = linalg.eigh(a)
    close(w, scipy.linalg.eigh(a, eigvals_only=True))
    close(a @ v, v * w)
    close(linalg.eigh(a, eigvals=(1, 2), eigvals_only=True), w[1:])
    for kind in (1, 2, 3):
        w, v = map(np.asarray, linalg.eigh(a, b, type=kind))
        close(w, scipy.linalg.eigh(a, b, type=kind, eigvals_only=True))
        close(*{1: (a @ v, b @ v * w), 2: (a @ b @ v, v * w), 3: (b @ a @ v, v * w)}[kind])


@BOTH
def test_eigh_tridiagonal(dtype, x64):
    d, e = matrices(6), matrices(5, dtype=dtype)
    matrix = np.diag(d) + np.diag(e, 1) + np.diag(e.conj(), -1)
    expected = np.linalg.eigvalsh(matrix)
    close(linalg.eigh_tridiagonal(d.astype(dtype), e, eigvals_only=True), expected, 1e-12)
    w, v = linalg.eigh_tridiagonal(d.astype(dtype), e, select="i", select_range=(1, 3))
    close(w, expected[1:4])
    close(matrix @ v, v * w)
    options = {"select": "v", "select_range": (expected[0] + 1e-6, expected[3] + 1e-6)}
    close(linalg.eigh_tridiagonal(d.astype(dtype), e, eigvals_only=True, **options), expected[1:4])
    coarse = linalg.eigh_tridiagonal(d.astype(dtype), e, eigvals_only=True, tol=0.1)
    np.testing.assert_allclose(coarse, expected, atol=0.06)
    close(linalg.eigh_tridiagonal(d[:1], e[:0].real, eigvals_only=True), d[:1])
    same = np.ones(4)
    close(linalg.eigh_tridiagonal(same, np.zeros(3), eigvals_only=True), same, 1e-12)


def test_svd(x64):
    a = matrices(3, 4)
    for driver in ("gesdd", "gesvd"):
        for full in (False, True):
            u, s, vh = linalg.svd(a, full_matrices=full, lapack_driver=driver)
            close((u[:, :3] * s) @ vh[:3], a)
            assert vh.shape == ((4, 4) if full else (3, 4))
    close(linalg.svd(a, compute_uv=False), scipy.linalg.svd(a, compute_uv=False))


# ---- QR, reduced forms, polar


@pytest.mark.parametrize("pivoting", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_qr(shape, pivoting, x64):
    a = matrices(*shape, dtype=np.complex128)
    for mode in ("full", "economic", "r"):
        ours = linalg.qr(a, mode=mode, pivoting=pivoting)
        expected = scipy.linalg.qr(a, mode=mode, pivoting=pivoting)
        assert isinstance(ours, tuple)
        for x, y in zip(ours, expected, strict=True):
            close(x, y)
    k = min(shape)
    for mode, c in (("right", matrices(2, shape[0])), ("left", matrices(k, 2)), ("right", matrices(shape[0]))):
        for conjugate in (False, True):
            ours = linalg.qr_multiply(a, c, mode, pivoting, conjugate)
            expected = scipy.linalg.qr_multiply(a, c, mode, pivoting, conjugate)
            for x, y in zip(ours, expected, strict=True):
                close(x, y)


@BOTH
def test_reduced_forms(dtype, x64):
    a = matrices(4, 4, dtype=dtype)
    h, q = linalg.hessenberg(a, calc_q=True)
    close(h, scipy.linalg.hessenberg(a))
    close(q, scipy.linalg.hessenberg(a, calc_q=True)[1])
    close(linalg.hessenberg(a), h)
    close(linalg.hessenberg(a[:1, :1], calc_q=True)[1], [[1]])
    for output in ("real", "complex"):
        t, z = map(np.asarray, linalg.schur(a, output=output))
        close(z @ t @ adjoint(z), a)
        assert t.dtype == (np.complex128 if output == "complex" else dtype)
    t, z = map(np.asarray, linalg.schur(np.stack([a, -a])))
    forms, vectors = map(np.asarray, linalg.rsf2csf(t, z))
    close(vectors @ forms @ adjoint(vectors), np.stack([a, -a]))
    np.testing.assert_array_equal(forms, np.triu(forms))
    close(np.diagonal(forms[0]), np.diagonal(scipy.linalg.rsf2csf(t[0], z[0])[0]))


@pytest.mark.parametrize(("shape", "dtype"), [((3, 3), np.float64), ((4, 3), np.complex128), ((3, 4), np.complex128)])
def test_polar(shape, dtype, x64):
    a = matrices(*shape, dtype=dtype)
    for side in ("right", "left"):
        for method in ("qdwh", "svd"):
            for ours, expected in zip(linalg.polar(a, side, method=method), scipy.linalg.polar(a, side)):
                close(ours, expected)
    u, p = linalg.polar(np.stack([a, 2 * a]), method="svd")
    close(u @ p, np.stack([a, 2 * a]))


# ---- functions of matrices


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_expm(dtype, x64):
    a = matrices(3, 3, dtype=dtype) * np.array([1e-3, 1, 3, 20]).astype(dtype)[:, None, None].real
    ours = linalg.expm(a.astype(dtype))
    assert ours.dtype == dtype
    for x, m in zip(ours, a):
        expected = scipy.linalg.expm(m.astype(np.complex128))
        np.testing.assert_allclose(x, expected, atol=np.finfo(dtype).eps * 3e2 * np.abs(expected).max())


def test_expm_of_other_matrices(x64):
    a = matrices(3, 3)
    upper = np.triu(a)
    close(linalg.expm(upper, upper_triangular=True), scipy.linalg.expm(upper))
    assert np.isnan(np.asarray(linalg.expm(100 * a, max_squarings=1))).all()
    assert linalg.expm(np.zeros((0, 0))).shape == (0, 0)
    close(linalg.expm(np.zeros((2, 2))), np.eye(2))
    e = matrices(3, 3)
    for ours, expected in zip(linalg.expm_frechet(a, e), scipy.linalg.expm_frechet(a, e)):
        close(ours, expected)
    close(linalg.expm_frechet(a, e, compute_expm=False), scipy.linalg.expm_frechet(a, e)[1])


@BOTH
def test_sqrtm(dtype, x64):
    a = matrices(2, 4, 4, dtype=dtype)
    ours = np.asarray(linalg.sqrtm(a))
    assert ours.dtype == np.complex128
    close(ours @ ours, a)
    close(ours[0], scipy.linalg.sqrtm(a[0]))
    close(linalg.sqrtm(np.zeros((2, 2))), np.zeros((2, 2)))


@BOTH
def test_funm(dtype, x64):
    a = matrices(4, 4, dtype=dtype)
    for ours, name in ((jnp.exp, "exp"), (jnp.sin, "sin")):
        out, error = linalg.funm(a, ours, disp=False)
        expected, expected_error = scipy.linalg.funm(a, getattr(np, name), disp=False)
        close(out, expected)
        np.testing.assert_allclose(error, expected_error, rtol=1e-3)
    close(cyxla.jit(lambda a: linalg.funm(a, jnp.exp))(a), scipy.linalg.expm(a))
    # Without distinct eigenvalues.
    close(linalg.funm(np.diag([1.0, 1.0, 2.0]), jnp.exp), np.diag(np.exp([1.0, 1.0, 2.0])))


# ---- derivatives


def on_positive(function):
    return lambda a, *args: function(a @ a.mT + jnp.eye(a.shape[-1]), *args)


DERIVATIVES = {
    "expm": (linalg.expm, [(3, 3)]),
    "sqrtm": (on_positive(lambda a: linalg.sqrtm(a).real), [(3, 3)]),
    "solve_sylvester": (lambda a, b, c: linalg.solve_sylvester(a, b, c), [(3, 3), (2, 2), (3, 2)]),
    "solve_sylvester eigen": (lambda *a: linalg.solve_sylvester(*a, method="eigen"), [(3, 3), (2, 2), (3, 2)]),
    "polar": (lambda a: linalg.polar(a), [(3, 3)]),
    "polar tall": (lambda a: linalg.polar(a), [(4, 3)]),
    "polar wide svd": (lambda a: linalg.polar(a, method="svd"), [(3, 4)]),
    "eigh_tridiagonal": (lambda d, e: linalg.eigh_tridiagonal(d, e, eigvals_only=True), [(4,), (3,)]),
    "eigh_tridiagonal some": (
        lambda d, e: linalg.eigh_tridiagonal(d, e, eigvals_only=True, select="i", select_range=(1, 2)), [(4,), (3,)]
    ),
    "eigh b": (lambda a, b: linalg.eigh(a, b @ b.mT + jnp.eye(3), eigvals_only=True), [(3, 3), (3, 3)]),
    "qr_multiply": (lambda a, c: linalg.qr_multiply(a, c), [(4, 3), (2, 4)]),
}  # fmt: skip


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_jax_does_not_have(name, x64):
    """Forward derivatives against differences, reverse and second ones against forward ones."""
    function, shapes = DERIVATIVES[name]
    x, t = (tuple(matrices(*shape) for shape in shapes) for _ in range(2))

    def flat(*x):
        return jnp.concatenate([jnp.ravel(v) for v in cyxla.tree.leaves(function(*x))])

    @partial(cyxla.jit, compiler_options=QUICK)
    def derivatives(x, t, ct):
        pull = lambda *x: cyxla.vjp(flat, *x)[1](ct)
        return cyxla.jvp(flat, x, t)[1], *cyxla.jvp(pull, x, t)

    f = cyxla.jit(flat, compiler_options=QUICK)
    h = 1e-6
    above, below = (np.asarray(f(*[a + s * b for a, b in zip(x, t)])) for s in (h, -h))
    ct = matrices(*above.shape)
    tangent, cotangents, seconds = derivatives(x, t, ct)
    np.testing.assert_allclose(tangent, (above - below) / (2 * h), rtol=1e-5, atol=1e-6)
    along = sum(np.sum(np.asarray(a) * b) for a, b in zip(cotangents, t))
    np.testing.assert_allclose(along, np.sum(np.asarray(tangent) * ct), rtol=1e-8)
    slopes = [
        sum(np.sum(np.asarray(v) * b) for v, b in zip(derivatives([a + s * b for a, b in zip(x, t)], t, ct)[1], t))
        for s in (h, -h)
    ]
    second = sum(np.sum(np.asarray(a) * b) for a, b in zip(seconds, t))
    np.testing.assert_allclose(second, (slopes[0] - slopes[1]) / (2 * h), rtol=1e-4, atol=1e-4)


ORACLE = {
    "expm": (lambda l, a, b: l.expm(a), False),
    "solve": (lambda l, a, b: l.solve(a, b), False),
    "solve pos": (lambda l, a, b: l.solve(a @ a.T + 1, b, assume_a="pos"), False),
    "solve_triangular": (lambda l, a, b: l.solve_triangular(a, b, trans=1), False),
    "cho_solve": (lambda l, a, b: l.cho_solve(l.cho_factor(a @ a.T + 1), b), False),
    "lu_solve": (lambda l, a, b: l.lu_solve(l.lu_factor(a), b, trans=1), False),
    "lu": (lambda l, a, b: l.lu(a), False),
    "det": (lambda l, a, b: l.det(a), False),
    "inv": (lambda l, a, b: l.inv(a), False),
    "qr": (lambda l, a, b: l.qr(a), False),
    "eigh": (lambda l, a, b: l.eigh(a, eigvals_only=True), False),
    "svd": (lambda l, a, b: l.svd(a, compute_uv=False), False),
    "schur": (lambda l, a, b: tuple(l.schur(a)), True),
    "hessenberg": (lambda l, a, b: l.hessenberg(a, calc_q=True), True),
    "sqrtm": (lambda l, a, b: l.sqrtm(a), True),
    "rsf2csf": (lambda l, a, b: l.rsf2csf(*l.schur(a)), True),
    "polar": (lambda l, a, b: l.polar(a), True),
}


@pytest.mark.parametrize("name", ORACLE)
def test_against_jax(name):
    """Values, dtypes and shapes, first derivatives, vmap, in single precision."""
    function, value_only = ORACLE[name]
    a = np.float32([[5, 1, 2], [-2, 6, 1], [1, 3, 9]]) / 4
    b = np.float32([[1, 2], [3, 4], [5, 7]])

    def program(module):
        f = lambda a, b: function(module.scipy.linalg, a, b)

        def run(a, b):
            out = {"value": f(a, b), "vmap": module.vmap(f)(*(module.numpy.stack([x, 2 * x]) for x in (a, b)))}
            if not value_only:
                out["jvp"] = module.jvp(f, (a, b), (a + 1, b))[1]
                out["vjp"] = module.vjp(f, a, b)[1](out["value"])
            return out

        return module.jit(run, compiler_options=QUICK)

    ours, expected = program(cyxla)(a, b), program(jax)(a, b)
    ours_leaves, expected_leaves = cyxla.tree.leaves(ours), jax.tree.leaves(expected)
    for x, y in zip(ours_leaves, expected_leaves, strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-3)


# ---- errors

S, X = np.ones((3, 3), np.float32), np.ones((3, 4), np.float32)
WRONG = [
    (lambda l: l.expm(X), ["expm", "(3, 4)"]),
    (lambda l: l.expm([[1.0]]), ["expm", "list"]),
    (lambda l: l.expm_frechet(S, S[:2, :2]), ["expm_frechet", "(2, 2)"]),
    (lambda l: l.funm(X, abs), ["funm", "(3, 4)"]),
    (lambda l: l.sqrtm(X), ["sqrtm", "(3, 4)"]),
    (lambda l: l.sqrtm(S, blocksize=2), ["blocksize=2"]),
    (lambda l: l.rsf2csf(X, S), ["rsf2csf"]),
    (lambda l: l.rsf2csf(S, S[:2, :2]), ["rsf2csf", "(2, 2)"]),
    (lambda l: l.solve_sylvester(S, X, S), ["solve_sylvester", "(3, 4)"]),
    (lambda l: l.solve_sylvester(S, S, S, method="x"), ["method", "'x'"]),
    (lambda l: l.cholesky(X), ["cholesky"]),
    (lambda l: l.cho_solve((S, True), X.T), ["cho_solve", "(4, 3)"]),
    (lambda l: l.lu_solve((S, np.arange(3, dtype=np.int32)), S, trans=3), ["trans", "3"]),
    (lambda l: l.lu_solve((S, np.arange(3, dtype=np.int32)), X.T), ["lu_solve", "(4, 3)"]),
    (lambda l: l.solve(X, S), ["solve", "(3, 4)"]),
    (lambda l: l.solve(S, X.T), ["solve", "(4, 3)"]),
    (lambda l: l.solve(S, S, assume_a="x"), ["assume_a", "'x'"]),
    (lambda l: l.solve_triangular(X, S), ["solve_triangular"]),
    (lambda l: l.solve_triangular(S, np.float32(1)), ["solve_triangular", "()"]),
    (lambda l: l.solve_triangular(S, S, trans="x"), ["trans", "'x'"]),
    (lambda l: l.qr(S, mode="x"), ["mode", "'x'"]),
    (lambda l: l.qr_multiply(S, X), ["qr_multiply", "(3, 4)"]),
    (lambda l: l.qr_multiply(S, S, mode="x"), ["mode", "'x'"]),
    (lambda l: l.schur(S, output="x"), ["output", "'x'"]),
    (lambda l: l.polar(S, side="x"), ["side", "'x'"]),
    (lambda l: l.polar(S, method="x"), ["method", "'x'"]),
    (lambda l: l.polar(S[0]), ["polar", "(3,)"]),
    (lambda l: l.eigh_tridiagonal(S[0], S[0]), ["eigh_tridiagonal", "(3,)"]),
    (lambda l: l.eigh_tridiagonal(S[0].astype(int), S[0, :2].astype(int)), ["eigh_tridiagonal", "int32"]),
    (lambda l: l.eigh_tridiagonal(S[0], S[0, :2], select="x"), ["select", "'x'"]),
    (lambda l: l.eigh_tridiagonal(S[0], S[0, :2], select="i"), ["select_range", "None"]),
    (lambda l: l.block_diag(np.ones((2, 2, 2))), ["block_diag", "(2, 2, 2)"]),
    (lambda l: l.companion(S[0, :1]), ["companion", "(1,)"]),
    (lambda l: l.fiedler_companion(S[0, :0]), ["fiedler_companion", "(0,)"]),
    (lambda l: l.fiedler(np.array([True])), ["fiedler", "bool"]),
    (lambda l: l.leslie(S[0], S[0]), ["leslie", "(3,)"]),
    (lambda l: l.hankel(2.0), ["hankel", "()"]),
    (lambda l: l.toeplitz([1, 2]), ["toeplitz", "list"]),
    (lambda l: l.convolution_matrix(S[0], 0), ["convolution_matrix", "n=0"]),
    (lambda l: l.convolution_matrix(S[0], 2, mode="x"), ["mode", "'x'"]),
    (lambda l: l.hadamard(3), ["hadamard", "n=3"]),
    (lambda l: l.hadamard(2, dtype=bool), ["hadamard", "bool"]),
    (lambda l: l.helmert(0), ["helmert", "n=0"]),
    (lambda l: l.pascal(2, kind="x"), ["kind", "'x'"]),
    (lambda l: l.dft(2, scale="x"), ["scale", "'x'"]),
    (lambda l: l.dft(2, dtype=np.float32), ["dft", "float32"]),
]


@pytest.mark.parametrize(("call", "parts"), WRONG)
def test_wrong_arguments(call, parts):
    with pytest.raises(Exception) as theirs:
        call(jax.scipy.linalg)
    with pytest.raises((TypeError, ValueError, NotImplementedError)) as ours:
        call(linalg)
    assert isinstance(ours.value, theirs.type)
    for part in parts:
        assert part in str(ours.value)
