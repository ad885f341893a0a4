"""Special functions, elementwise: error functions and the gamma family. The rest is in gamma.py and bessel.py."""

from cyxla import lax
from cyxla._engine.core import Primitive
from cyxla._engine.ufunc import StrictOp
from cyxla.lax._util import scalar_like
from cyxla.lax.binary import no_derivative

_TWO_OVER_SQRT_PI = 1.1283791670955126
_HALF_SQRT_PI = 0.8862269254527580


def _unary(name, lower, derivative):
    return Primitive(name, kind="elementwise", accepts="f", lower=lower, jvps=(derivative,))


def _gaussian(x):
    return lax.exp(lax.neg(lax.square(x)))


erf_p = _unary(
    "erf",
    "chlo.erf {0} : {t0} -> {t}",
    lambda t, ans, x: lax.mul(scalar_like(x, _TWO_OVER_SQRT_PI), lax.mul(t, _gaussian(x))),
)
erf = StrictOp(erf_p, "erf", "Elementwise error function.")

erfc_p = _unary(
    "erfc",
    "chlo.erfc {0} : {t0} -> {t}",
    lambda t, ans, x: lax.mul(scalar_like(x, -_TWO_OVER_SQRT_PI), lax.mul(t, _gaussian(x))),
)
erfc = StrictOp(
    erfc_p, "erfc", "Elementwise complement of the error function, 1 - erf(x), exact also where it is small."
)

erf_inv_p = _unary(
    "erf_inv",
    "chlo.erf_inv {0} : {t0} -> {t}",
    lambda t, ans, x: lax.mul(scalar_like(x, _HALF_SQRT_PI), lax.mul(t, lax.exp(lax.square(ans)))),
)
erf_inv = StrictOp(erf_inv_p, "erf_inv", "Elementwise inverse of the error function.")

lgamma_p = _unary("lgamma", "chlo.lgamma {0} : {t0} -> {t}", lambda t, ans, x: lax.mul(t, lax.digamma(x)))
lgamma = StrictOp(lgamma_p, "lgamma", "Elementwise logarithm of the absolute value of the gamma function.")

digamma_p = _unary(
    "digamma",
    "chlo.digamma {0} : {t0} -> {t}",
    lambda t, ans, x: lax.mul(t, lax.polygamma(scalar_like(x, 1), x)),
)
digamma = StrictOp(digamma_p, "digamma", "Elementwise derivative of lgamma.")


def _polygamma_order(t, ans, m, x):
    raise ValueError(
        "polygamma has a derivative with respect to x only; hold m constant, for example by jax.lax.stop_gradient"
    )


polygamma_p = Primitive(
    "polygamma",
    kind="elementwise",
    accepts="f",
    lower="chlo.polygamma {0}, {1} : {t0}, {t1} -> {t}",
    jvps=(
        _polygamma_order,
        lambda t, ans, m, x: lax.mul(t, lax.polygamma(lax.add(m, scalar_like(m, 1)), x)),
    ),
)
polygamma = StrictOp(
    polygamma_p, "polygamma", "Elementwise derivative of order m of digamma; m is a float.", signature="(m, x)"
)

zeta_p = Primitive(
    "zeta",
    kind="elementwise",
    accepts="f",
    lower="chlo.zeta {0}, {1} : {t0}, {t1} -> {t}",
    jvps=(no_derivative("zeta"), no_derivative("zeta")),
)
zeta = StrictOp(zeta_p, "zeta", "Elementwise Hurwitz zeta function: the sum of (q + k)^-x.", signature="(x, q)")
