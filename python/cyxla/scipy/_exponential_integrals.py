"""Exponential, sine and cosine integrals and the dilogarithm."""

import math

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import check_kind
from cyxla.scipy._arguments import arrays, constant, real_arrays


def _horner(x, coefficients):
    """The polynomial of these coefficients, that of the highest power first."""
    total = lax.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + constant(x, coefficient)
    return total


def _fraction(z, n, steps):
    """`exp(z) * E_n(z)` by its continued fraction, for `abs(z)` of 1 and more; n is a number or an array."""

    def step(k, value):
        j = lax.convert_element_type(steps - k, value.dtype)
        return z + n + 2 * (j - 1) - j * (n + j - 1) / value

    last = lax.fori_loop(0, steps, step, z + n + 2 * steps)
    return 1 / last


# E_1 and Ei -----------------------------------------------------------------------------------------------------------

# sum over k of x**k / (k * k!), but for the factor x
_EIN = [1 / (k * math.factorial(k)) for k in range(40, 0, -1)]


@custom_jvp
@jit
def _exp1(x):
    near = lax.min(x, constant(x, 1))
    small = -constant(x, np.euler_gamma) - lax.log(near) + near * _horner(-near, _EIN[16:])
    far = lax.max(x, constant(x, 1))
    large = lax.exp(-far) * _fraction(far, constant(x, 1), 90)
    result = jnp.where(x > 1, jnp.where(jnp.isinf(x), constant(x, 0), large), small)
    return jnp.where(x < 0, constant(x, np.nan), result)


@_exp1.defjvp
def _exp1_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _exp1(x), -dx * lax.exp(-x) / x


def exp1(x):
    """Exponential integral `E_1`: that of `exp(-t) / t` from `x` to infinity. NaN for negative `x`."""
    dtype, (x,) = real_arrays("exp1", x)
    return lax.convert_element_type(_exp1(x), dtype)


@custom_jvp
@jit
def _expi(x):
    positive = jnp.where(x > 0, x, constant(x, 1))
    near = lax.min(positive, constant(x, 6))
    small = constant(x, np.euler_gamma) + lax.log(near) + near * _horner(near, _EIN)

    # Power series up to 40, and then the asymptotic one.
    middle = lax.min(positive, constant(x, 40))

    def power(k, state):
        term, total = state
        k = lax.convert_element_type(k, x.dtype)
        term = term * middle / k
        return term, total + term / k

    zero = lax.full_like(x, 0)
    _, total = lax.fori_loop(1, 140, power, (zero + 1, zero))
    medium = constant(x, np.euler_gamma) + lax.log(middle) + total
    far = lax.max(positive, constant(x, 40))
    inverse = 1 / far
    series = _horner(inverse, [float(math.factorial(k)) for k in range(24, -1, -1)])
    large = lax.exp(far / 2) * series * inverse * lax.exp(far / 2)
    large = jnp.where(jnp.isinf(far), far, large)
    result = jnp.where(positive > 40, large, jnp.where(positive > 6, medium, small))
    result = jnp.where(x > 0, result, -_exp1(-x))
    return jnp.where(x == 0, constant(x, -np.inf), result)


@_expi.defjvp
def _expi_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _expi(x), dx * lax.exp(x) / x


def expi(x):
    """Exponential integral `Ei`: the principal value of that of `exp(t) / t` from minus infinity to `x`."""
    dtype, (x,) = real_arrays("expi", x)
    return lax.convert_element_type(_expi(x), dtype)


# E_n ------------------------------------------------------------------------------------------------------------------


@jit
def _expn_values(n, x):
    one = constant(x, 1)
    order = lax.max(n, one)
    # sum over k of (-x)**k / k! / (n - 1 - k), in which a logarithm takes the place of the term with k = n - 1
    near = lax.clamp(constant(x, np.finfo(x.dtype).tiny), x, one)

    def step(k, state):
        power, total, harmonic = state
        k = lax.convert_element_type(k, x.dtype)
        below = order - 1 - k
        special = below == 0
        term = jnp.where(special, harmonic - lax.log(near), -1 / jnp.where(special, one, -below))
        # The digamma function of n, for k = n - 1, is -gamma and the first n - 1 terms of the harmonic series.
        return -power * near / (k + 1), total + power * term, harmonic + 1 / (k + 1)

    zero = lax.full_like(x, 0)
    start = (zero + 1, zero, zero - constant(x, np.euler_gamma))
    # For orders beyond these terms the one with the logarithm is too small to count.
    _, small, _ = lax.fori_loop(0, 24, step, start)
    far = lax.max(x, one)
    large = lax.exp(-far) * _fraction(far, order, 90)
    result = jnp.where(x > 1, jnp.where(jnp.isinf(x), zero, large), small)
    at_zero = jnp.where(n > 1, 1 / jnp.where(n > 1, n - 1, one), constant(x, np.inf))
    result = jnp.where(x == 0, at_zero, jnp.where(n == 0, lax.exp(-x) / x, result))
    wrong = (x < 0) | (n < 0) | (n != lax.floor(n)) | jnp.isnan(x)
    return jnp.where(wrong, constant(x, np.nan), result)


@custom_jvp
def _expn(n, x):
    return _expn_values(n, x)


@_expn.defjvp
def _expn_jvp(primals, tangents):
    (n, x), (_, dx) = primals, tangents
    below = jnp.where(n > 0, _expn_values(lax.max(n - 1, constant(x, 0)), x), lax.exp(-x) * (1 + x) / lax.square(x))
    return _expn_values(n, x), -dx * below


def expn(n, x):
    """Exponential integral `E_n` of whole orders: that of `exp(-x * t) / t**n` from 1 to infinity.

    NaN for negative arguments and for orders that are negative or not whole. It has no derivative by `n`.
    """
    dtype, (n, x) = real_arrays("expn", n, x)
    return lax.convert_element_type(_expn(n, x), dtype)


# sine and cosine ------------------------------------------------------------------------------------------------------


@custom_jvp
@jit
def _sici(x):
    size = lax.abs(x)
    near = lax.min(size, constant(x, 4))
    square = -lax.square(near)
    sine = near * _horner(square, [1 / ((2 * k + 1) * math.factorial(2 * k + 1)) for k in range(16, -1, -1)])
    cosine = square * _horner(square, [1 / (2 * k * math.factorial(2 * k)) for k in range(16, 0, -1)])
    cosine = constant(x, np.euler_gamma) + lax.log(near) + cosine
    # E_1(i x) = -Ci(x) + i (Si(x) - pi / 2)
    finite = jnp.isfinite(x)
    far = jnp.where(finite, lax.max(size, constant(x, 4)), constant(x, 4))
    imaginary = lax.complex(lax.full_like(far, 0), far)
    rotation = lax.complex(lax.cos(far), -lax.sin(far))
    integral = rotation * _fraction(imaginary, constant(imaginary, 1), 60)
    zero = jnp.where(jnp.isnan(x), x, constant(x, 0))
    far_sine = jnp.where(finite, lax.imag(integral), zero) + constant(x, math.pi / 2)
    far_cosine = jnp.where(finite, -lax.real(integral), zero)
    small = size <= 4
    return lax.sign(x) * jnp.where(small, sine, far_sine), jnp.where(small, cosine, far_cosine)


@_sici.defjvp
def _sici_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _sici(x), (dx * jnp.sinc(x / constant(x, math.pi)), dx * lax.cos(x) / x)


def sici(x):
    """Sine integral and cosine integral `(Si, Ci)`; `Ci` of a negative number is that of its absolute value."""
    dtype, (x,) = real_arrays("sici", x)
    sine, cosine = _sici(x)
    return lax.convert_element_type(sine, dtype), lax.convert_element_type(cosine, dtype)


# dilogarithm ----------------------------------------------------------------------------------------------------------

# Bernoulli numbers B_2, B_4, ... by the factorials (2k + 1)!
_DEBYE = [
    b / math.factorial(2 * k + 1)
    for k, b in enumerate(
        (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330), 1
    )
]


@custom_jvp
@jit
def _spence(x):
    # Li_2(1 - x), by way of an argument u of Li_2 between -1 and 1/2.
    one = constant(x, 1)
    large, small = x > 2, x < 0.5
    u = jnp.where(large, 1 / (1 - jnp.where(large, x, constant(x, 3))), jnp.where(small, x, 1 - x))
    t = -lax.log1p(-jnp.where(jnp.isnan(u), one / 2, u))
    square = lax.square(t)
    value = t - square / 4 + t * square * _horner(square, _DEBYE[::-1])
    sixth = constant(x, math.pi**2 / 6)
    log = lax.log(jnp.where(large, x - 1, one))
    far = -sixth - lax.square(log) / 2 - value
    inside = jnp.where(small & (x > 0), x, one)
    near = sixth - lax.log(inside) * lax.log1p(-jnp.where(small, x, one / 2)) - value
    result = jnp.where(large, far, jnp.where(small, near, value))
    return jnp.where((x < 0) | jnp.isnan(x), constant(x, np.nan), result)


@_spence.defjvp
def _spence_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    at_one = x == 1
    slope = lax.log(x) / jnp.where(at_one, constant(x, 1), 1 - x)
    return _spence(x), dx * jnp.where(at_one, constant(x, -1), slope)


def spence(x):
    """Spence's function, the dilogarithm of `1 - x`: the integral of `log(t) / (1 - t)` from 1 to `x`.

    NaN for negative `x`. Raises TypeError for arrays that are neither float32 nor float64.
    """
    (x,) = arrays("spence", x) if isinstance(x, (bool, int, float)) else (jnp.asarray(x),)
    check_kind("spence", x.aval, "f")
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"spence takes float32 and float64 arrays, got {x.dtype}")
    return _spence(lax.convert_element_type(x, x.dtype))
