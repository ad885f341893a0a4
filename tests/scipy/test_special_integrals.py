"""The special functions that are integrals, series and sequences, against SciPy; dtypes and errors against jax."""

import jax
import numpy as np
import pytest
import scipy.special
from compare import both_raise

import cyxla
from cyxla.scipy import special

EDGES = [0, np.inf, -np.inf, np.nan]
LINE = np.array([*np.linspace(-12, 12, 49), *np.logspace(-8, 3, 12), *EDGES])
POSITIVE = np.array([*np.linspace(0.01, 30, 40), *np.logspace(-20, 2, 12), 0, -1, np.nan])
GRID = np.meshgrid(np.array([0.0, 1e-3, 0.5, 1, 3, 8, -2, np.inf]), np.array([0.0, 0.01, 0.7, 1, 1.5, 40, -3, np.inf]))
ORDERS = np.meshgrid([0, 1, 2, 5, 40, -1], np.array([0.0, 1e-4, 0.3, 1, 1.1, 6, 20, -1, np.nan]))
KUMMER = np.meshgrid([0.5, 3.0, -2.0, -0.5], [0.7, 4.0], [-30.0, -1.0, 0.0, 1e-3, 2.0, 35.0])
GAUSS = np.meshgrid([0.5, -2.0, -0.5], [0.7, 2.3], [1.1, 4.0], [-20.0, -1.0, -0.3, 0.0, 0.5, 0.95, 0.999])
SPHERE = np.meshgrid([0, 1, 3, 7], [-3, -1, 0, 2], np.linspace(0, np.pi, 5), [0.0, 1.0, 6.0])

# arguments, and the tolerances in both precisions
CASES = {
    "dawsn": ([LINE], 1e-6, 1e-14),
    "erfcx": ([LINE[LINE > -6]], 3e-6, 1e-14),
    "wofz": ([(np.linspace(-6, 6, 21)[:, None] + 1j * np.linspace(-3, 6, 19)).ravel()], 3e-6, 1e-14),
    "fresnel": ([LINE], 1e-5, 1e-11),
    "owens_t": (GRID, 1e-5, 1e-13),
    "exp1": ([POSITIVE], 2e-6, 1e-14),
    "expi": ([np.array([*np.linspace(-30, 80, 45), 0.3725, *EDGES])], 3e-6, 1e-13),
    "expn": (ORDERS, 2e-6, 1e-14),
    "sici": ([LINE[~(LINE < 0)]], 3e-6, 1e-13),
    "spence": ([np.array([*np.linspace(0, 20, 41), 1e-8, 1e5, -1, np.nan])], 3e-6, 1e-14),
    "hyp1f1": (KUMMER, 1e-5, 1e-13),
    "hyp2f1": (GAUSS, 3e-5, 1e-12),
    "sph_harm_y": (SPHERE, 1e-6, 1e-14),
}


def cast(x, dtype):
    x = np.asarray(x)
    if x.dtype.kind == "i":
        return x
    return x.astype(np.result_type(dtype, np.complex64) if x.dtype.kind == "c" else dtype)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_values(name, x64):
    args, *tolerances = CASES[name]
    dtype = np.float64 if x64 else np.float32
    given = [cast(x, dtype) for x in args]
    with cyxla.enable_x64(x64):
        results = jax.tree.leaves(jax.tree.map(np.asarray, getattr(special, name)(*given)))
    expected = getattr(scipy.special, name)(*[cast(x, np.float64) for x in given])
    for ours, theirs in zip(results, jax.tree.leaves(expected), strict=True):
        theirs = np.where(np.abs(theirs) > np.finfo(dtype).max, theirs * np.inf, theirs)
        np.testing.assert_allclose(ours, theirs, rtol=tolerances[x64], atol=tolerances[x64])


UNARY = ["dawsn", "erfcx", "wofz", "fresnel", "exp1", "expi", "sici"]


@pytest.mark.parametrize("name", [*UNARY, "expn", "hyp1f1"])
def test_types_are_those_of_jax(name):
    n = {"expn": (2,), "hyp1f1": (1.0, 2.0)}.get(name, ())
    for x in (0.5, True, np.float16(0.5), np.int8([1, 2])):
        results, expected = getattr(special, name)(*n, x), getattr(jax.scipy.special, name)(*n, x)
        for ours, theirs in zip(jax.tree.leaves(results), jax.tree.leaves(expected), strict=True):
            assert (ours.shape, ours.dtype, ours.weak_type) == (theirs.shape, theirs.dtype, theirs.weak_type)


@pytest.mark.parametrize("name", ["dawsn", "erfcx", "fresnel", "exp1", "expi", "sici", "spence"])
def test_derivatives(name):
    f, exact = getattr(special, name), getattr(scipy.special, name)
    for x in (0.3, 1.0, 2.5, 7.0):
        tangents = cyxla.jacrev(f)(x)
        step = 1e-6
        expected = (np.array(exact(x + step)) - np.array(exact(x - step))) / (2 * step)
        np.testing.assert_allclose(np.array(jax.tree.leaves(tangents)), np.atleast_1d(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "name, point",
    [
        ("owens_t", (0.5, 0.3)),
        ("owens_t", (0.7, -3.0)),
        ("hyp1f1", (1.5, 2.5, 0.5)),
        ("hyp1f1", (1.5, 2.5, -4.0)),
        ("hyp1f1", (-2.0, 2.5, 1.5)),
        ("hyp2f1", (0.5, 1.5, 2.5, 0.3)),
        ("hyp2f1", (0.5, 1.5, 2.5, -3.0)),
        ("hyp2f1", (0.5, 1.7, 2.5, 0.95)),
    ],
)
def test_derivatives_by_every_argument(name, point):
    exact = getattr(scipy.special, name)
    ours = cyxla.grad(getattr(special, name), tuple(range(len(point))))(*point)
    for i, slope in enumerate(ours):
        step = 1e-4 * np.eye(len(point))[i]
        expected = (exact(*(point + step)) - exact(*(point - step))) / 2e-4
        np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5)


def test_derivative_of_expn_by_x():
    for n in (0, 1, 3):
        expected = -scipy.special.expn(n - 1, 0.7) if n else -np.exp(-0.7) * 1.7 / 0.49
        np.testing.assert_allclose(cyxla.grad(special.expn, 1)(n, 0.7), expected, rtol=1e-5)


def test_bessel_functions():
    z = np.float32([0, 1e-5, 1e-3, 0.1, 2, 10, -7, 25])
    ours = special.bessel_jn(z, v=6)
    np.testing.assert_allclose(ours, [scipy.special.jv(k, z.astype(float)) for k in range(7)], rtol=1e-4, atol=2e-6)
    slope = cyxla.grad(lambda z: special.bessel_jn(z, v=2)[2])(2.0)
    np.testing.assert_allclose(slope, scipy.special.jvp(2, 2.0), rtol=1e-5)
    assert special.bessel_jn(3.0, v=2, n_iter=20).shape == (3,)
    both_raise("TypeError", lambda jax: jax.scipy.special.bessel_jn(1j, v=1), "complex64")


def test_bernoulli_numbers():
    np.testing.assert_allclose(special.bernoulli(30), scipy.special.bernoulli(30), rtol=1e-6, atol=1e-7)
    for n in (0, 1, 2):
        assert special.bernoulli(n).shape == jax.scipy.special.bernoulli(n).shape
    with cyxla.enable_x64(True):
        np.testing.assert_allclose(special.bernoulli(80), scipy.special.bernoulli(80), rtol=1e-11)
    both_raise("ValueError", lambda jax: jax.scipy.special.bernoulli(-1), "negative")


def test_spherical_harmonics():
    n, m, theta, phi = np.array([2]), np.array([1]), np.float32([0.3]), np.float32([1.0])
    run = cyxla.jit(special.sph_harm_y, static_argnames="n_max")
    np.testing.assert_allclose(run(n, m, theta, phi, n_max=4), scipy.special.sph_harm_y(n, m, theta, phi), rtol=1e-5)
    assert special.sph_harm_y(n, m, theta, phi).dtype == np.complex64
    both_raise("ConcretizationTypeError", lambda jax: jax.jit(jax.scipy.special.sph_harm_y)(n, m, theta, phi), "n_max")
    both_raise("NotImplementedError", lambda jax: jax.scipy.special.sph_harm_y(n, m, theta, phi, diff_n=1), "diff_n")


def test_bad_arguments():
    for name in ("dawsn", "exp1", "expi", "sici"):
        both_raise("ValueError", lambda jax, name=name: getattr(jax.scipy.special, name)(np.complex64(1j)), "complex64")
        both_raise("TypeError", lambda jax, name=name: getattr(jax.scipy.special, name)([1.0]), "list")
    both_raise("TypeError", lambda jax: jax.scipy.special.spence(np.float16([1])), "float16")
    both_raise("TypeError", lambda jax: jax.scipy.special.spence(np.arange(3)), "int32")
