"""cyxla.scipy.special against SciPy and jax."""

import jax
import numpy as np
import pytest
import scipy.special

import cyxla
from cyxla.scipy import special

REAL = np.float32([-3.5, -0.5, 0.25, 1, 2.5, 7])
POSITIVE = np.float32([0.1, 0.5, 1, 2.5, 7, 30])
UNIT = np.float32([1e-6, 0.01, 0.13, 0.5, 0.9, 0.999])

UNARY = {
    "erf": REAL, "erfc": REAL, "erfinv": UNIT, "gammaln": POSITIVE, "digamma": POSITIVE, "gamma": REAL, "expit": REAL,
    "logit": UNIT, "entr": np.float32([-1, 0, 0.5, 2]), "ndtr": REAL, "ndtri": UNIT, "i0": REAL, "i0e": REAL,
    "i1": REAL, "i1e": REAL, "gammasgn": REAL, "loggamma": POSITIVE, "factorial": np.float32([0, 1, 5, 7]),
}  # fmt: skip
BINARY = {
    "xlogy": (UNIT, POSITIVE), "xlog1py": (REAL, POSITIVE), "beta": (POSITIVE[:5], UNIT[3]), "betaln": (POSITIVE, 12.5),
    "gammainc": (POSITIVE, 2.0), "gammaincc": (POSITIVE, 2.0), "kl_div": (POSITIVE, UNIT), "rel_entr": (POSITIVE, UNIT),
    "boxcox": (POSITIVE, np.float32([0, 0, 1, 0.5, -1, 2])), "boxcox1p": (POSITIVE, 0.5),
    "comb": (np.float32([5, 7, 3]), np.float32([2, 0, 4])), "poch": (POSITIVE[:4], 2.0), "zeta": (POSITIVE + 1.5, 1.0),
    "polygamma": (np.float32([1, 2, 3]), np.float32([1, 2, 3])),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    x = UNARY[name]
    np.testing.assert_allclose(
        getattr(special, name)(x), getattr(scipy.special, name)(x.astype(float)), rtol=2e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    args = [np.float32(x) for x in BINARY[name]]
    expected = getattr(scipy.special, name)(
        *(a.astype(int if name == "polygamma" and i == 0 else float) for i, a in enumerate(args))
    )
    np.testing.assert_allclose(getattr(special, name)(*args), expected, rtol=3e-5, atol=1e-6)


def test_others():
    x = np.float32([-60, -12, -5, 0, 3, 9])
    np.testing.assert_allclose(special.log_ndtr(x), scipy.special.log_ndtr(x.astype(float)), rtol=3e-5)
    np.testing.assert_allclose(
        special.betainc(0.7, 2.0, UNIT), scipy.special.betainc(0.7, 2.0, UNIT.astype(float)), rtol=1e-5
    )
    np.testing.assert_allclose(
        special.multigammaln(POSITIVE + 2, 3), scipy.special.multigammaln(POSITIVE + 2.0, 3), rtol=1e-5
    )
    np.testing.assert_allclose(special.softmax(REAL), scipy.special.softmax(REAL), rtol=1e-6)
    np.testing.assert_allclose(special.log_softmax(REAL), scipy.special.log_softmax(REAL), rtol=1e-5)
    z = np.complex64([1 + 1j, -2.5 + 0.5j, 0.3 - 4j, 7])
    np.testing.assert_allclose(special.loggamma(z), scipy.special.loggamma(z.astype(complex)), rtol=2e-5, atol=2e-5)


def test_edges():
    nan, inf = np.nan, np.inf
    np.testing.assert_array_equal(special.xlogy(np.float32([0, 0, 0]), np.float32([0, inf, nan])), [0, 0, nan])
    np.testing.assert_array_equal(special.ndtri(np.float32([0, 1, -1])), [-inf, inf, nan])
    np.testing.assert_array_equal(special.gamma(np.float32([-1, 0.0, -0.0])), [nan, inf, -inf])
    np.testing.assert_array_equal(special.kl_div(np.float32([0, 2, -1]), np.float32([0, 0, 1])), [0, inf, inf])


def test_derivatives():
    """Of the functions with rules of their own, among them at points where the plain rules fail."""
    cases = [
        ("xlogy", (0.0, 2.0)), ("xlogy", (1.5, 2.0)), ("xlog1py", (0.0, 2.0)), ("entr", (0.5,)), ("logit", (0.3,)),
        ("ndtri", (0.3,)), ("log_ndtr", (-30.0,)), ("rel_entr", (0.5, 0.25)),
    ]  # fmt: skip
    for name, args in cases:
        for argnum in range(len(args)):
            expected = jax.grad(getattr(jax.scipy.special, name), argnum)(*args)
            got = cyxla.grad(getattr(special, name), argnum)(*args)
            np.testing.assert_allclose(got, expected, rtol=1e-4, err_msg=name)


def test_dtypes():
    for name, x in [
        ("erf", 3),
        ("gammaln", np.int32([2, 3])),
        ("xlogy", 1.5),
        ("expit", np.float16(1)),
        ("entr", True),
    ]:
        args = (x, 2) if name == "xlogy" else (x,)
        expected, got = getattr(jax.scipy.special, name)(*args), getattr(special, name)(*args)
        assert (got.dtype, got.weak_type) == (expected.dtype, expected.weak_type), name


def test_errors():
    for call in (lambda s: s.entr([1.0]), lambda s: s.ndtr(3), lambda s: s.logsumexp([1.0]), lambda s: s.erf(1j)):
        with pytest.raises(TypeError):
            call(jax.scipy.special)
        with pytest.raises(TypeError):
            call(special)
    with pytest.raises(NotImplementedError):
        special.zeta(2.0)
