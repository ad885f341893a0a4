"""Special functions under SciPy's names."""

import math
from functools import partial

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import check_kind, kind_of
from cyxla.scipy._arguments import arrays as _arrays
from cyxla.scipy._error_functions import dawsn as dawsn
from cyxla.scipy._error_functions import erfcx as erfcx
from cyxla.scipy._error_functions import fresnel as fresnel
from cyxla.scipy._error_functions import owens_t as owens_t
from cyxla.scipy._error_functions import wofz as wofz
from cyxla.scipy._exponential_integrals import exp1 as exp1
from cyxla.scipy._exponential_integrals import expi as expi
from cyxla.scipy._exponential_integrals import expn as expn
from cyxla.scipy._exponential_integrals import sici as sici
from cyxla.scipy._exponential_integrals import spence as spence
from cyxla.scipy._hypergeometric import hyp1f1 as hyp1f1
from cyxla.scipy._hypergeometric import hyp2f1 as hyp2f1
from cyxla.scipy._sequences import bernoulli as bernoulli
from cyxla.scipy._sequences import bessel_jn as bessel_jn
from cyxla.scipy._sequences import sph_harm_y as sph_harm_y


def _broadcast(name, *args):
    return jnp.broadcast_arrays(*_arrays(name, *args))


# one operation of lax each --------------------------------------------------------------------------------------------


def erf(x):
    """Error function."""
    return lax.erf(*_arrays("erf", x))


def erfc(x):
    """Complement of the error function, `1 - erf(x)`."""
    return lax.erfc(*_arrays("erfc", x))


def erfinv(x):
    """Inverse of the error function."""
    return lax.erf_inv(*_arrays("erfinv", x))


def gammaln(x):
    """Logarithm of the absolute value of the gamma function."""
    return lax.lgamma(*_arrays("gammaln", x))


def digamma(x):
    """Derivative of `gammaln`."""
    return lax.digamma(*_arrays("digamma", x))


def expit(x):
    """Logistic sigmoid, `1 / (1 + exp(-x))`."""
    return lax.logistic(*_arrays("expit", x))


def i0e(x):
    """Modified Bessel function of order 0, times `exp(-abs(x))`."""
    return lax.bessel_i0e(*_arrays("i0e", x))


def i0(x):
    """Modified Bessel function of order 0."""
    (x,) = _arrays("i0", x)
    return lax.mul(lax.exp(lax.abs(x)), lax.bessel_i0e(x))


def i1e(x):
    """Modified Bessel function of order 1, times `exp(-abs(x))`."""
    return lax.bessel_i1e(*_arrays("i1e", x))


def i1(x):
    """Modified Bessel function of order 1."""
    (x,) = _arrays("i1", x)
    return lax.mul(lax.exp(lax.abs(x)), lax.bessel_i1e(x))


def gammainc(a, x):
    """Regularized lower incomplete gamma function."""
    return lax.igamma(*_broadcast("gammainc", a, x))


def gammaincc(a, x):
    """Regularized upper incomplete gamma function."""
    return lax.igammac(*_broadcast("gammaincc", a, x))


def betainc(a, b, x):
    """Regularized incomplete beta function."""
    return lax.betainc(*_broadcast("betainc", a, b, x))


def polygamma(n, x):
    """The n-th derivative of `digamma`."""
    return lax.polygamma(*_broadcast("polygamma", n, x))


def zeta(x, q=None):
    """Hurwitz zeta function: the sum of `(k + q)**-x` over k = 0, 1, ..."""
    if q is None:
        raise NotImplementedError("zeta needs q: write zeta(x, 1) for the Riemann zeta function")
    return lax.zeta(*_broadcast("zeta", x, q))


# gamma and beta -------------------------------------------------------------------------------------------------------


def gammasgn(x):
    """Sign of the gamma function; NaN at its poles on the negative axis."""
    (x,) = _arrays("gammasgn", x)
    check_kind("gammasgn", x.aval, "biuf", error=ValueError)
    whole = lax.floor(x)
    below = x < 0
    pole = (below & (x == whole)) | (x != x)
    odd = whole % 2 != 0
    negative = (below & odd) | ((x == 0) & jnp.signbit(x))
    return jnp.where(pole, np.array(np.nan, x.dtype), jnp.where(negative, np.array(-1, x.dtype), np.array(1, x.dtype)))


def gamma(x):
    """Gamma function."""
    (x,) = _arrays("gamma", x)
    return gammasgn(x) * lax.exp(lax.lgamma(x))


def loggamma(x):
    """Logarithm of the gamma function; NaN where that is negative."""
    (x,) = _arrays("loggamma", x)
    if kind_of(x.aval) == "c":
        return _complex_loggamma(x)
    return jnp.where(x > 0, lax.lgamma(x), np.array(np.nan, x.dtype))


def _complex_loggamma(z):
    # Stirling's series far from the origin, where the recurrence Gamma(z + 1) = z Gamma(z) brings every argument; the
    # logarithms of its factors are added one by one, which keeps the branch. Reflection for the left half plane.
    left = jnp.real(z) < 0.5
    w = jnp.where(left, 1 - z, z)
    shift = jnp.zeros_like(w)
    for k in range(8):
        shift = shift + jnp.log(w + k)
    far = w + 8
    inv = 1 / far
    inv2 = inv * inv
    series = inv * (1 / 12 + inv2 * (-1 / 360 + inv2 * (1 / 1260 + inv2 * (-1 / 1680 + inv2 * (1 / 1188)))))
    value = (far - 0.5) * jnp.log(far) - far + 0.5 * math.log(2 * math.pi) + series - shift
    # log(sin(pi z)) for the reflection, continued from the upper half plane (and by symmetry the lower one).
    upper = jnp.imag(z) >= 0
    u = jnp.where(upper, z, jnp.conj(z))
    log_sin = -1j * math.pi * (u - 0.5) + jnp.log1p(-jnp.exp(2j * math.pi * u)) - math.log(2)
    log_sin = jnp.where(upper, log_sin, jnp.conj(log_sin))
    return jnp.where(left, math.log(math.pi) - log_sin - value, value).astype(z.dtype)


def multigammaln(a, d):
    """Logarithm of the multivariate gamma function of dimension d."""
    (a,) = _arrays("multigammaln", a)
    d = int(d)
    constant = 0.25 * d * (d - 1) * math.log(math.pi)
    offsets = np.arange(d, dtype=np.float64) / 2
    total = jnp.sum(lax.lgamma(a[..., None] - offsets.astype(a.dtype)), axis=-1)
    return total + np.array(constant, a.dtype)


def _stirling_correction(x):
    """`gammaln(x)` less Stirling's formula, for x >= 8."""
    inv = 1 / x
    sq = inv * inv
    return inv * (1 / 12 + sq * (-1 / 360 + sq * (1 / 1260 + sq * (-1 / 1680 + sq * (1 / 1188)))))


def betaln(a, b):
    """Logarithm of the absolute value of the beta function."""
    a, b = _broadcast("betaln", a, b)
    a, b = lax.min(a, b), lax.max(a, b)
    direct = lax.lgamma(a) + (lax.lgamma(b) - lax.lgamma(a + b))
    # gammaln(b) - gammaln(a + b) of large b without cancellation.
    large = b >= 8
    big = jnp.where(large, b, 8)
    small = jnp.where(large, a, 1)
    difference = _stirling_correction(big) - _stirling_correction(small + big)
    difference = difference - (small + big - 0.5) * lax.log1p(small / big) - small * (lax.log(big) - 1)
    return jnp.where(large & (a > 0), lax.lgamma(a) + difference, direct)


def beta(a, b):
    """Beta function."""
    a, b = _broadcast("beta", a, b)
    return gammasgn(a) * gammasgn(b) * gammasgn(a + b) * lax.exp(betaln(a, b))


def factorial(n, exact=False):
    """`n!` in floating point; 0 for negative n."""
    if exact:
        raise NotImplementedError(
            "factorial: exact=True needs integers of any size, which arrays do not hold; use scipy.special.factorial"
        )
    (n,) = _arrays("factorial", n)
    return jnp.where(n < 0, 0, lax.exp(lax.lgamma(n + 1)))


def comb(N, k, *, repetition=False):
    """Binomial coefficient `N! / (k! (N - k)!)`, with `repetition` that of `N + k - 1` and k."""
    n, k = _broadcast("comb", N, k)
    if repetition:
        n = n + k - 1
    valid = (k <= n) & (n >= 0) & (k >= 0)
    n, k = jnp.where(valid, n, 0.0), jnp.where(valid, k, 0.0)
    value = lax.exp(lax.lgamma(n + 1) - lax.lgamma(k + 1) - lax.lgamma(n + 1 - k))
    return jnp.where(valid, value, 0.0)


def poch(z, m):
    """Pochhammer symbol `gamma(z + m) / gamma(z)`."""
    z, m = _broadcast("poch", z, m)
    return jnp.where(m == 0, np.array(1, z.dtype), gamma(z + m) / gamma(z))


# x log y --------------------------------------------------------------------------------------------------------------


def _zero_times(x, y, log):
    """`x * log(y)`, 0 where x is 0 and y is not NaN."""
    return jnp.where((x != 0) | (y != y), x * log(y), lax.full_like(x, 0))


@custom_jvp
def _xlogy(x, y):
    return _zero_times(x, y, lax.log)


@_xlogy.defjvp
def _xlogy_jvp(primals, tangents):
    (x, y), (x_dot, y_dot) = primals, tangents
    return _xlogy(x, y), x_dot * lax.log(y) + y_dot * x / y


def xlogy(x, y):
    """`x * log(y)`, and 0 where x is 0."""
    return _xlogy(*_broadcast("xlogy", x, y))


@custom_jvp
def _xlog1py(x, y):
    return _zero_times(x, y, lax.log1p)


@_xlog1py.defjvp
def _xlog1py_jvp(primals, tangents):
    (x, y), (x_dot, y_dot) = primals, tangents
    return _xlog1py(x, y), x_dot * lax.log1p(y) + y_dot * x / (1 + y)


def xlog1py(x, y):
    """`x * log1p(y)`, and 0 where x is 0."""
    return _xlog1py(*_broadcast("xlog1py", x, y))


@custom_jvp
def _xlogx(x):
    return _zero_times(x, x, lax.log)


@_xlogx.defjvp
def _xlogx_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _xlogx(x), t * (lax.log(x) + 1)


def entr(x):
    """`-x * log(x)`; 0 at 0, -inf below."""
    (x,) = _arrays("entr", x)
    check_kind("entr", x.aval, "biuf", error=ValueError)
    return lax.select(x < 0, lax.full_like(x, -np.inf), lax.neg(_xlogx(x)))


def rel_entr(p, q):
    """`p * log(p / q)`; 0 where p is 0 and q is not negative, inf for other invalid arguments."""
    p, q = _broadcast("rel_entr", p, q)
    both = (p > 0) & (q > 0)
    safe_p, safe_q = jnp.where(both, p, 1), jnp.where(both, q, 1)
    value = _xlogx(safe_p) - _xlogy(safe_p, safe_q)
    return jnp.where(both, value, jnp.where((p == 0) & (q >= 0), 0.0, np.inf))


def kl_div(p, q):
    """`p * log(p / q) - p + q`, the elementwise Kullback-Leibler divergence."""
    p, q = _broadcast("kl_div", p, q)
    return rel_entr(p, q) - p + q


@custom_jvp
def _logit(x):
    return lax.log(x / (1 - x))


@_logit.defjvp
def _logit_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _logit(x), t / (x * (1 - x))


def logit(x):
    """`log(x / (1 - x))`, the inverse of `expit`."""
    return _logit(*_arrays("logit", x))


def boxcox(x, lmbda):
    """`(x**lmbda - 1) / lmbda`, which is `log(x)` at `lmbda == 0`."""
    x, lmbda = _broadcast("boxcox", x, lmbda)
    return _boxcox(lax.log(x), lmbda)


def boxcox1p(x, lmbda):
    """`boxcox(1 + x, lmbda)`, accurate for small x."""
    x, lmbda = _broadcast("boxcox1p", x, lmbda)
    return _boxcox(lax.log1p(x), lmbda)


def _boxcox(log_x, lmbda):
    safe = jnp.where(lmbda == 0, lax.full_like(lmbda, 1), lmbda)
    return jnp.where(lmbda == 0, log_x, lax.expm1(safe * log_x) / safe)


# normal distribution --------------------------------------------------------------------------------------------------

_SQRT_HALF = math.sqrt(0.5)


def _float_array(x, name):
    x = asarray(x)
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} takes float32 and float64 arrays, got {x.dtype}")
    return x


def _ndtr(x):
    half = np.array(_SQRT_HALF, x.dtype)
    w = x * half
    z = lax.abs(w)
    tail = lax.select(w > 0, 2 - lax.erfc(z), lax.erfc(z))
    return 0.5 * lax.select(z < half, 1 + lax.erf(w), tail)


def ndtr(x):
    """Distribution function of the standard normal distribution."""
    return _ndtr(_float_array(x, "ndtr"))


# Rational approximations of the inverse (Cephes, S. L. Moshier): near 1/2, and in the tails as functions of
# z = sqrt(-2 log p), for z below and above 8.
_NDTRI_CENTRE = (
    (
        -5.99633501014107895267e1,
        9.80010754185999661536e1,
        -5.66762857469070293439e1,
        1.39312609387279679503e1,
        -1.23916583867381258016e0,
    ),
    (
        1.0,
        1.95448858338141759834e0,
        4.67627912898881538453e0,
        8.63602421390890590575e1,
        -2.25462687854119370527e2,
        2.00260212380060660359e2,
        -8.20372256168333339912e1,
        1.59056225126211695515e1,
        -1.18331621121330003142e0,
    ),
)
_NDTRI_TAIL = (
    (
        4.05544892305962419923e0,
        3.15251094599893866154e1,
        5.71628192246421288162e1,
        4.40805073893200834700e1,
        1.46849561928858024014e1,
        2.18663306850790267539e0,
        -1.40256079171354495875e-1,
        -3.50424626827848203418e-2,
        -8.57456785154685413611e-4,
    ),
    (
        1.0,
        1.57799883256466749731e1,
        4.53907635128879210584e1,
        4.13172038254672030440e1,
        1.50425385692907503408e1,
        2.50464946208309415979e0,
        -1.42182922854787788574e-1,
        -3.80806407691578277194e-2,
        -9.33259480895457427372e-4,
    ),
)
_NDTRI_FAR_TAIL = (
    (
        3.23774891776946035970e0,
        6.91522889068984211695e0,
        3.93881025292474443415e0,
        1.33303460815807542389e0,
        2.01485389549179081538e-1,
        1.23716634817820021358e-2,
        3.01581553508235416007e-4,
        2.65806974686737550832e-6,
        6.23974539184983293730e-9,
    ),
    (
        1.0,
        6.02427039364742014255e0,
        3.67983563856160859403e0,
        1.37702099489081330271e0,
        2.16236993594496635890e-1,
        1.34204006088543189037e-2,
        3.28014464682127739104e-4,
        2.89247864745380683936e-6,
        6.79019408009981274425e-9,
    ),
)
_EXP_MINUS_2 = math.exp(-2)


def _horner(x, coefficients):
    value = lax.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        value = value * x + np.array(c, x.dtype)
    return value


def _ratio(x, table):
    return _horner(x, table[0]) / _horner(x, table[1])


@custom_jvp
def _ndtri(p):
    upper = p > 1 - _EXP_MINUS_2
    q = jnp.where(upper, 1 - p, p)
    valid = (p > 0) & (p < 1)
    q = jnp.where(valid, q, 0.5)
    y = q - 0.5
    centre = y * y
    by_centre = (y + y * (centre * _ratio(centre, _NDTRI_CENTRE))) * np.array(math.sqrt(2 * math.pi), p.dtype)
    z = lax.sqrt(-2 * lax.log(q))
    first = z - lax.log(z) / z
    inv = 1 / z
    tail = first - inv * jnp.where(z >= 8, _ratio(inv, _NDTRI_FAR_TAIL), _ratio(inv, _NDTRI_TAIL))
    by_tail = jnp.where(upper, tail, -tail)
    value = jnp.where(q > _EXP_MINUS_2, by_centre, by_tail)
    edge = jnp.where(p == 0, -np.inf, jnp.where(p == 1, np.inf, np.nan)).astype(p.dtype)
    return jnp.where(valid, value, edge)


@_ndtri.defjvp
def _ndtri_jvp(primals, tangents):
    (p,), (t,) = primals, tangents
    value = _ndtri(p)
    return value, t * lax.exp(0.5 * lax.square(value)) * np.array(math.sqrt(2 * math.pi), p.dtype)


def ndtri(p):
    """Inverse of `ndtr`."""
    return _ndtri(_float_array(p, "ndtri"))


_LOG_NDTR_LIMITS = {np.dtype(np.float32): (-10.0, 5.0), np.dtype(np.float64): (-20.0, 8.0)}


def _log_ndtr_series(x, order):
    """Asymptotic series of ndtr(x) sqrt(2 pi) (-x) exp(x**2 / 2) in 1 / x**2."""
    x_sq = lax.square(x)
    total, power, factor = lax.full_like(x, 1), x_sq, 1.0
    for n in range(1, order + 1):
        factor *= -(2 * n - 1)
        total = total + np.array(factor, x.dtype) / power
        power = power * x_sq
    return total


def _make_log_ndtr(order):
    @custom_jvp
    def log_ndtr(x):
        lower, upper = _LOG_NDTR_LIMITS[np.dtype(x.dtype)]
        high = x > upper
        middle = _ndtr(jnp.where(high, -x, lax.max(x, np.array(lower, x.dtype))))
        far = lax.min(x, np.array(lower, x.dtype))
        by_series = -0.5 * lax.square(far) - lax.log(-far) - 0.5 * math.log(2 * math.pi)
        by_series = by_series + lax.log(_log_ndtr_series(far, order))
        return jnp.where(high, -middle, jnp.where(x > lower, lax.log(middle), by_series))

    @log_ndtr.defjvp
    def log_ndtr_jvp(primals, tangents):
        (x,), (t,) = primals, tangents
        value = log_ndtr(x)
        return value, t * lax.exp(-0.5 * lax.square(x) - 0.5 * math.log(2 * math.pi) - value)

    return log_ndtr


_log_ndtr_by_order = {}


def log_ndtr(x, series_order=3):
    """Logarithm of `ndtr`, accurate far in the lower tail.

    Args:
      x: float32 or float64 array.
      series_order: how many terms of the asymptotic series are used there.
    """
    if not isinstance(series_order, int):
        raise TypeError(f"log_ndtr: series_order={series_order!r} must be an int known while tracing")
    if series_order < 0:
        raise ValueError(f"log_ndtr: series_order={series_order} is negative")
    if series_order > 30:
        raise ValueError(f"log_ndtr: series_order={series_order} exceeds 30, the most terms that help")
    x = _float_array(x, "log_ndtr")
    if series_order not in _log_ndtr_by_order:
        _log_ndtr_by_order[series_order] = _make_log_ndtr(series_order)
    return _log_ndtr_by_order[series_order](x)


# sums of exponentials -------------------------------------------------------------------------------------------------


def logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False, where=None):
    """`log(sum(b * exp(a)))` over an axis or axes, without overflow.

    Args:
      a: array.
      axis: axis or axes of the sum; None for all.
      b: factors, broadcastable against `a`.
      keepdims: keep the axes with size 1.
      return_sign: return also the sign of the sum, whose absolute value is then taken. Without it, negative sums give
        NaN.
      where: the elements that take part.

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> jax.scipy.special.logsumexp(jnp.zeros(4))
    Array(1.3862944, dtype=float32)
    """
    if b is None:
        (a,) = _arrays("logsumexp", a)
    else:
        a, b = _broadcast("logsumexp", a, b)
    axis = tuple(axis) if isinstance(axis, list) else axis
    return _logsumexp(a, axis, b, keepdims, return_sign, where)


@partial(jit, static_argnums=(1, 3, 4), inline=True)
def _logsumexp(a, axis, b, keepdims, return_sign, where):
    if b is not None:
        # Factors of zero must not let their element be the largest.
        a = jnp.where(b != 0, a, np.array(-np.inf, a.dtype))
    if where is not None:
        a = jnp.where(where, a, 0)
    complex_ = kind_of(a.aval) == "c"
    real = jnp.real(a) if complex_ else a
    largest = jnp.max(lax.stop_gradient(real), axis=axis, keepdims=True, where=where, initial=-np.inf)
    largest = lax.stop_gradient(jnp.where(jnp.isfinite(largest), largest, np.array(0, largest.dtype)))
    terms = lax.exp(lax.sub(a, jnp.broadcast_to(largest.astype(a.dtype), a.shape)))
    if b is not None:
        terms = terms * b
    total = jnp.sum(terms, axis=axis, keepdims=keepdims, where=where)
    if not keepdims:
        largest = jnp.reshape(largest, total.shape)
    if complex_:
        if return_sign:
            magnitude = lax.abs(total)
            sign = jnp.where(magnitude == 0, np.array(0, a.dtype), total / magnitude.astype(a.dtype))
            return lax.log(magnitude) + largest, sign
        return lax.log(total) + largest.astype(a.dtype)
    sign = lax.sign(total)
    value = lax.log(lax.abs(total)) + largest
    if return_sign:
        return value, sign
    if b is not None:
        value = jnp.where(sign < 0, np.array(np.nan, a.dtype), value)
    return value


def _shifted(x, axis):
    return x - jnp.max(lax.stop_gradient(x), axis=axis, keepdims=True, initial=-np.inf)


def softmax(x, /, *, axis=None):
    """`exp(x) / sum(exp(x))` over an axis or axes; None for all."""
    terms = lax.exp(_shifted(*_arrays("softmax", x), axis))
    return terms / jnp.sum(terms, axis=axis, keepdims=True)


def log_softmax(x, /, *, axis=None):
    """`x - log(sum(exp(x)))` over an axis or axes; None for all."""
    shifted = _shifted(*_arrays("log_softmax", x), axis)
    return shifted - lax.log(jnp.sum(lax.exp(shifted), axis=axis, keepdims=True))
