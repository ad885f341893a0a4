"""Functions of the family of the error function: Faddeeva's, Dawson's, Fresnel's, Owen's."""

import math

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import kind_of
from cyxla.scipy._arguments import arrays, constant, real_arrays

_ROOT_PI = math.sqrt(math.pi)


# w(z) in the upper half plane is a polynomial in (L + iz) / (L - iz), divided by (L - iz)**2, as Weideman found
# (SIAM J. Numer. Anal. 31, 1994): the coefficients are those of a Fourier series.


def _weideman_coefficients(count):
    length = math.sqrt(count / math.sqrt(2))
    angles = np.arange(-2 * count + 1, 2 * count) * np.pi / (2 * count)
    t = length * np.tan(angles / 2)
    samples = np.concatenate([[0.0], np.exp(-(t**2)) * (length**2 + t**2)])
    series = np.real(np.fft.fft(np.fft.fftshift(samples))) / (4 * count)
    return length, tuple(np.flipud(series[1 : count + 1]).tolist())


_LENGTH, _COEFFICIENTS = _weideman_coefficients(48)


def _rational(z, rotated):
    """w(z), with `rotated` = -iz: both real or both complex."""
    length = constant(rotated, _LENGTH)
    below = length + rotated
    ratio = (length - rotated) / below
    polynomial = lax.full_like(ratio, 0)
    for coefficient in _COEFFICIENTS:
        polynomial = polynomial * ratio + constant(ratio, coefficient)
    return 2 * polynomial / (below * below) + constant(ratio, 1 / _ROOT_PI) / below


@custom_jvp
@jit
def _wofz(z):
    lower = lax.imag(z) < 0
    upper = jnp.where(lower, -z, z)
    w = _rational(upper, -1j * upper)
    w = jnp.where(jnp.isinf(lax.real(upper)) | jnp.isinf(lax.imag(upper)), constant(w, 0), w)
    # The exponential is of use below the axis only, and may overflow above.
    mirrored = 2 * lax.exp(-lax.square(jnp.where(lower, z, constant(z, 0)))) - w
    return jnp.where(lower, mirrored, w)


@_wofz.defjvp
def _wofz_jvp(primals, tangents):
    (z,), (dz,) = primals, tangents
    w = _wofz(z)
    return w, dz * (constant(z, 2j / _ROOT_PI) - 2 * z * w)


def wofz(z):
    """Faddeeva's function `exp(-z**2) * erfc(-1j * z)`, complex.

    >>> import cyxla.scipy.special as special
    >>> abs(complex(special.wofz(1j)) - 0.42758357) < 1e-6
    True
    """
    (z,) = arrays("wofz", z)
    return _wofz(lax.convert_element_type(z, np.complex128 if z.dtype in (np.float64, np.complex128) else np.complex64))


@custom_jvp
@jit
def _erfcx(x):
    size = lax.abs(x)
    near = lax.min(size, constant(x, 1e8))
    right = jnp.where(size > near, constant(x, 1 / _ROOT_PI) / size, _rational(near, near))
    left = 2 * lax.exp(lax.square(lax.min(x, constant(x, 0)))) - right
    return jnp.where(x < 0, left, right)


@_erfcx.defjvp
def _erfcx_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = _erfcx(x)
    return y, dx * (2 * x * y - constant(x, 2 / _ROOT_PI))


def erfcx(x):
    """`exp(x**2) * erfc(x)`, which neither overflows nor underflows for large `x`."""
    (x,) = arrays("erfcx", x)
    if kind_of(x.aval) == "c":
        return wofz(1j * x)
    dtype, (x,) = real_arrays("erfcx", x)
    return lax.convert_element_type(_erfcx(x), dtype)


@custom_jvp
@jit
def _dawsn(x):
    # Rybicki's sum of samples of a Gaussian at odd multiples of h, around the even multiple next to x.
    h = 0.4 if x.dtype == np.float32 else 0.2
    size = lax.min(lax.abs(x), constant(x, 1e9))
    centre = 2 * lax.round(size / constant(x, 2 * h), lax.RoundingMethod.TO_NEAREST_EVEN)
    offset = size - centre * constant(x, h)
    total = lax.full_like(x, 0)
    for n in range(1, math.ceil(7 / h), 2):
        gauss = constant(x, math.exp(-((n * h) ** 2)))
        growth = lax.exp(constant(x, 2 * n * h) * offset)
        total = total + gauss * (growth / (centre + n) + 1 / (growth * (centre - n)))
    far = total * lax.exp(-lax.square(offset)) / constant(x, _ROOT_PI)
    square = lax.square(x)
    near = lax.full_like(x, 1)
    for k in range(12, 0, -1):
        near = 1 - near * square * constant(x, 2 / (2 * k + 1))
    result = jnp.where(size < 0.2, near * size, jnp.where(lax.abs(x) > 1e7, 0.5 / lax.abs(x), far))
    return lax.sign(x) * result


@_dawsn.defjvp
def _dawsn_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = _dawsn(x)
    return y, dx * (1 - 2 * x * y)


def dawsn(x):
    """Dawson's integral, `exp(-x**2)` times the integral of `exp(t**2)` from 0 to `x`."""
    dtype, (x,) = real_arrays("dawsn", x)
    return lax.convert_element_type(_dawsn(x), dtype)


@custom_jvp
@jit
def _fresnel(x):
    size = lax.abs(x)
    finite = jnp.isfinite(x)
    moderate = jnp.where(finite, size, constant(x, 1))
    # Power series near 0, where the general formula would cancel.
    small = lax.min(size, constant(x, 1.5))
    quarter = lax.square(constant(x, math.pi / 2) * lax.square(small))
    s, c = lax.full_like(x, 0), lax.full_like(x, 0)
    for k in range(16, -1, -1):
        sign = (-1) ** k
        c = c * quarter + constant(x, sign / (math.factorial(2 * k) * (4 * k + 1)))
        s = s * quarter + constant(x, sign / (math.factorial(2 * k + 1) * (4 * k + 3)))
    near_s, near_c = s * small * lax.square(small) * constant(x, math.pi / 2), c * small
    # c + i s = (1 + i) / 2 * (1 - exp(i pi x**2 / 2) w((1 + i) sqrt(pi) / 2 * x))
    z = lax.complex(moderate, moderate)
    w = _wofz(z * constant(z, _ROOT_PI / 2))
    phase = lax.rem(lax.square(moderate), constant(x, 4)) * constant(x, math.pi / 2)
    far = constant(z, 0.5 + 0.5j) * (1 - lax.complex(lax.cos(phase), lax.sin(phase)) * w)
    limit = jnp.where(jnp.isinf(x), constant(x, 0.5), x)
    far_s, far_c = (jnp.where(finite, part, limit) for part in (lax.imag(far), lax.real(far)))
    near = size < 1.5
    return lax.sign(x) * jnp.where(near, near_s, far_s), lax.sign(x) * jnp.where(near, near_c, far_c)


@_fresnel.defjvp
def _fresnel_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    phase = lax.rem(lax.square(x), constant(x, 4)) * constant(x, math.pi / 2)
    return _fresnel(x), (dx * lax.sin(phase), dx * lax.cos(phase))


def fresnel(x):
    """Fresnel's integrals `(S, C)`, of `sin(pi t**2 / 2)` and `cos(pi t**2 / 2)` from 0 to `x`."""
    dtype, (x,) = real_arrays("fresnel", x)
    s, c = _fresnel(x)
    return lax.convert_element_type(s, dtype), lax.convert_element_type(c, dtype)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


def _tail(x):
    return lax.erfc(x * constant(x, math.sqrt(0.5))) / 2


@custom_jvp
@jit
def _owens_t(h, a):
    height, slope = lax.abs(h), lax.abs(a)
    steep = slope > 1
    # T(h, a) + T(ah, 1/a) is known, so the integral is needed for slopes up to 1 only.
    product = jnp.where(height == 0, constant(h, 0), height * slope)
    inner_height = jnp.where(steep, product, height)
    inner_slope = jnp.where(steep, 1 / jnp.where(steep, slope, constant(a, 1)), slope)
    # Beyond 9 standard deviations there is nothing.
    end = lax.min(inner_slope, 9 / lax.max(inner_height, constant(h, 1e-30)))
    half = -lax.square(inner_height) / 2
    total = lax.full_like(h, 0)
    for node, weight in zip((_NODES + 1) / 2, _WEIGHTS / 2):
        growth = 1 + lax.square(end * constant(h, node))
        total = total + constant(h, weight) * lax.exp(half * growth) / growth
    inside = jnp.where(jnp.isinf(inner_height), constant(h, 0), total * end * constant(h, 0.5 / math.pi))
    first, second = _tail(height), _tail(product)
    outside = (first + second) / 2 - first * second - inside
    result = jnp.where(steep, outside, inside)
    result = jnp.where(height == 0, lax.atan(slope) * constant(h, 0.5 / math.pi), result)
    return jnp.where(jnp.isnan(h) | jnp.isnan(a), constant(h, np.nan), lax.sign(a) * result)


@_owens_t.defjvp
def _owens_t_jvp(primals, tangents):
    (h, a), (dh, da) = primals, tangents
    gauss = lax.exp(-lax.square(h) / 2)
    by_h = -gauss * lax.erf(a * h * constant(h, math.sqrt(0.5))) * constant(h, 0.5 / math.sqrt(2 * math.pi))
    growth = 1 + lax.square(a)
    by_a = lax.exp(-lax.square(h) * growth / 2) / growth * constant(h, 0.5 / math.pi)
    return _owens_t(h, a), dh * by_h + da * by_a


def owens_t(h, a):
    """Owen's function: the probability that `X > h` and `0 < Y < a * X`, for independent normal `X` and `Y`."""
    dtype, (h, a) = real_arrays("owens_t", h, a)
    return lax.convert_element_type(_owens_t(h, a), dtype)
