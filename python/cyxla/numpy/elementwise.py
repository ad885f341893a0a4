"""Elementwise functions made of several primitives: division with floor, powers, rounding, complex parts, comparisons
of complex numbers, clipping and the like. Those that work on the bits of floating-point numbers are in floatbits.py."""

import builtins
import math

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray, typeof
from cyxla._engine.core import Tracer
from cyxla._engine.ufunc import UFunc, promote_operands
from cyxla._transform.custom import custom_jvp
from cyxla.lax._util import check_kind

from . import ufuncs
from .axes import broadcast, broadcast_shapes, broadcast_together
from .promotion import (
    ACCUMULATE_IN,
    convert,
    default_float,
    default_int,
    kind,
    like,
    no_out,
    promote,
    promote_inexact,
    promote_numeric,
    real_dtype,
    strong,
)

_LOG10_E = math.log10(math.e)

_bind_select = lax.select_n_p.bind
_floor = UFunc("floor", lax.floor_p, "numeric", nin=1)
_ceil = UFunc("ceil", lax.ceil_p, "numeric", nin=1)
_abs = UFunc("abs", lax.abs_p, "numeric", nin=1)
_square = UFunc("square", lax.square_p, "numeric", nin=1)
_pow = UFunc("power", lax.pow_p, "inexact")
_div = UFunc("divide", lax.div_p, "numeric")
_rem = UFunc("remainder", lax.rem_p, "numeric")
_less = UFunc("less", lax.lt_p, "compare")
_less_equal = UFunc("less_equal", lax.le_p, "compare")
_greater = UFunc("greater", lax.gt_p, "compare")
_greater_equal = UFunc("greater_equal", lax.ge_p, "compare")


def select(mask, on_true, on_false):
    """``on_true`` where the bool Array ``mask`` is set, else ``on_false``; operands are promoted and broadcast."""
    on_true, on_false = promote_operands((on_true, on_false))
    shape, true_shape, false_shape = mask.shape, on_true.shape, on_false.shape
    if true_shape != false_shape or (shape and shape != true_shape):
        # Most often the shapes are one shape and scalars.
        whole = shape or true_shape or false_shape
        if (true_shape and true_shape != whole) or (false_shape and false_shape != whole):
            whole = broadcast_shapes(shape, true_shape, false_shape)
        if shape and shape != whole:
            mask = broadcast(mask, whole)
        if true_shape != whole:
            on_true = broadcast(on_true, whole)
        if false_shape != whole:
            on_false = broadcast(on_false, whole)
    return _bind_select(mask, on_false, on_true)


# Order. Complex numbers compare by real part, then by imaginary part, as in NumPy.


def _lexicographic(strict, full, x, y):
    """Complex numbers compared by two comparisons of reals; other operands raise again what these raised."""
    if "c" not in (kind(typeof(x).dtype), kind(typeof(y).dtype)):
        raise
    x, y = promote_numeric(x, y)
    rx, ry = lax.real(x), lax.real(y)
    return ufuncs.logical_or(strict(rx, ry), ufuncs.logical_and(ufuncs.equal(rx, ry), full(lax.imag(x), lax.imag(y))))


def less(x, y, /):
    """Elementwise x < y; complex numbers are ordered by real, then imaginary part."""
    try:
        return _less(x, y)
    except TypeError:
        return _lexicographic(_less, _less, x, y)


def less_equal(x, y, /):
    """Elementwise x <= y; complex numbers are ordered by real, then imaginary part."""
    try:
        return _less_equal(x, y)
    except TypeError:
        return _lexicographic(_less, _less_equal, x, y)


def greater(x, y, /):
    """Elementwise x > y; complex numbers are ordered by real, then imaginary part."""
    try:
        return _greater(x, y)
    except TypeError:
        return _lexicographic(_greater, _greater, x, y)


def greater_equal(x, y, /):
    """Elementwise x >= y; complex numbers are ordered by real, then imaginary part."""
    try:
        return _greater_equal(x, y)
    except TypeError:
        return _lexicographic(_greater, _greater_equal, x, y)


# Sign and magnitude.


def abs(x, /):
    """Elementwise absolute value; of complex numbers, the modulus as a real number."""
    return asarray(x) if kind(typeof(x).dtype) in "bu" else _abs(x)


absolute = abs


def fabs(x, /):
    """Elementwise absolute value in floating point."""
    check_kind("fabs", typeof(x), "biuf")
    (x,) = promote_inexact(x)
    return lax.abs(x)


def sign(x, /):
    """-1, 0 or 1 by the sign of x; of complex x, x divided by its modulus (0 at 0)."""
    return lax.sign(asarray(x))


def positive(x, /):
    """x itself, as an array."""
    return asarray(x)


def square(x, /):
    """Elementwise x * x."""
    return _square(x) if kind(typeof(x).dtype) != "b" else _square(convert(x, default_int()))


def reciprocal(x, /):
    """Elementwise 1 / x in floating point."""
    (x,) = promote_inexact(x)
    return lax.integer_pow(x, -1)


def heaviside(x1, x2, /):
    """0 where x1 < 0, x2 where x1 == 0, 1 where x1 > 0."""
    x1, x2 = broadcast_together(*promote_inexact(x1, x2))
    zero = convert(0, x1.dtype, x1.weak_type)
    one = convert(1, x1.dtype, x1.weak_type)
    return select(_less(x1, 0), zero, select(_greater(x1, 0), one, x2))


# Rounding.


def floor(x, /):
    """The largest integer not above x, in the dtype of x."""
    return asarray(x) if kind(typeof(x).dtype) in "bui" else _floor(x)


def ceil(x, /):
    """The smallest integer not below x, in the dtype of x."""
    return asarray(x) if kind(typeof(x).dtype) in "bui" else _ceil(x)


def trunc(x):
    """x rounded towards zero."""
    x = asarray(x)
    if kind(x.dtype) in "bui":
        return x
    return select(_less(x, 0), _ceil(x), _floor(x))


def _floating(x):
    """Integers as the default float, whatever their width."""
    x = asarray(x)
    return convert(x, default_float(), x.weak_type) if kind(x.dtype) in "biu" else x


def rint(x, /):
    """x rounded to the nearest integer in floating point; halves go to the even neighbour."""
    x = _floating(x)
    if kind(x.dtype) == "c":
        return lax.complex(rint(lax.real(x)), rint(lax.imag(x)))
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


def round(a, decimals=0, out=None):
    """``a`` rounded to ``decimals`` places; halves go to the even neighbour.

    >>> import cyxla.numpy as jnp
    >>> jnp.round(2.5), jnp.round(1.26, 1)
    (Array(2., dtype=float32, weak_type=True), Array(1.3, dtype=float32))
    """
    no_out(out, "round")
    a = asarray(a)
    decimals = int(decimals)
    letter = kind(a.dtype)
    check_kind("round", a.aval, "iufc", error=ValueError)
    if letter in "iu":
        if decimals < 0:
            raise NotImplementedError(
                f"round: decimals={decimals} of an integer array; convert it to a float with .astype(...) first"
            )
        return a
    if letter == "c":
        return lax.complex(round(lax.real(a), decimals), round(lax.imag(a), decimals))
    if decimals == 0:
        return lax.round(a, lax.RoundingMethod.TO_NEAREST_EVEN)
    dtype, weak = a.dtype, a.weak_type
    x = convert(a, ACCUMULATE_IN.get(dtype, dtype))
    factor = convert(10.0 ** builtins.abs(decimals), x.dtype)
    if decimals > 0:
        x = ufuncs.multiply(x, factor)
        x = ufuncs.divide(lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), factor)
    else:
        x = ufuncs.divide(x, factor)
        x = ufuncs.multiply(lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), factor)
    return convert(x, dtype, weak)


around = round


# Division.


def _nonzero_divisor(x1, x2):
    # XLA leaves the remainder by zero undefined; JAX returns 0.
    if kind(x1.dtype) in "iu":
        return select(ufuncs.equal(x2, 0), like(1, x2), x2)
    return x2


def floor_divide(x1, x2, /):
    """Elementwise quotient rounded down.

    Raises TypeError for complex operands.
    """
    x1, x2 = promote_numeric(x1, x2)
    letter = kind(x1.dtype)
    if letter == "u":
        return _div(x1, x2)
    if letter == "i":
        quotient = _div(x1, x2)
        inexact = ufuncs.logical_and(ufuncs.not_equal(lax.sign(x1), lax.sign(x2)), ufuncs.not_equal(_rem(x1, x2), 0))
        return select(inexact, quotient - 1, quotient)
    check_kind("floor_divide", x1.aval, "biuf")
    return _float_divmod(x1, x2)[0]


def _float_divmod(x1, x2):
    rest = _rem(x1, x2)
    quotient = ufuncs.divide(select(ufuncs.equal(x2, 0), x1, x1 - rest), x2)
    wrong_sign = ufuncs.logical_and(ufuncs.not_equal(rest, 0), ufuncs.not_equal(lax.sign(x2), lax.sign(rest)))
    rest = select(wrong_sign, rest + x2, rest)
    quotient = select(wrong_sign, quotient - 1, quotient)
    return lax.round(quotient, lax.RoundingMethod.AWAY_FROM_ZERO), rest


def remainder(x1, x2, /):
    """Remainder of the division rounded down: it has the sign of x2. Integer remainders by zero are 0."""
    divisor_is_nonzero = x2.__class__ is int and x2 != 0
    x1, x2 = promote_numeric(x1, x2)
    if not divisor_is_nonzero:
        x2 = _nonzero_divisor(x1, x2)
    rest = _rem(x1, x2)
    if kind(x1.dtype) == "u":
        return rest
    wrong_sign = ufuncs.logical_and(ufuncs.not_equal(_less(rest, 0), _less(x2, 0)), ufuncs.not_equal(rest, 0))
    return select(wrong_sign, rest + x2, rest)


mod = remainder


def fmod(x1, x2, /):
    """Remainder of the division rounded towards zero: it has the sign of x1."""
    x1, x2 = promote_numeric(x1, x2)
    return _rem(x1, _nonzero_divisor(x1, x2))


def divmod(x1, x2, /):
    """(floor_divide(x1, x2), remainder(x1, x2))."""
    x1, x2 = promote_numeric(x1, x2)
    if kind(x1.dtype) == "f":
        return _float_divmod(x1, x2)
    return floor_divide(x1, x2), remainder(x1, x2)


# Powers and logarithms.


def power(x1, x2, /):
    """x1 to the power x2.

    An exponent that is one integer of known value is computed by repeated multiplication and does not change the dtype
    of ``x1``. Raises TypeError for integers raised to such an exponent if it is negative.

    >>> import cyxla.numpy as jnp
    >>> jnp.power(2.0, 3)
    Array(8., dtype=float32, weak_type=True)
    """
    if x2.__class__ is int:
        x1 = asarray(x1)
        if kind(x1.dtype) == "b":
            x1 = convert(x1, default_int())
        return lax.integer_pow(x1, x2)
    exponent = typeof(x2)
    exponent_kind = kind(exponent.dtype)
    if exponent_kind in "fc":
        return _pow(x1, x2)
    if exponent_kind in "iu" and not exponent.shape and not isinstance(x2, Tracer):
        return power(x1, int(x2))
    if kind(typeof(x1).dtype) in "fc":
        if exponent_kind == "b":
            x2 = convert(x2, default_int())
        x1, x2 = broadcast_together(asarray(x1), asarray(x2))
        result = lax.pow(x1, x2)
        return result if x2.weak_type else strong(result)
    return _integer_power(*promote_numeric(x1, x2))


pow = power


def _integer_power(base, exponent):
    # Square and multiply over the six bits that an exponent can have before any base but -1, 0, 1 overflows.
    one = convert(1, base.dtype)
    negative_of_zero = ufuncs.logical_and(ufuncs.equal(base, 0), ufuncs.not_equal(exponent, 0))
    result = select(negative_of_zero, convert(0, base.dtype), one)
    for bit in range(6):
        result = select(ufuncs.not_equal(ufuncs.bitwise_and(exponent, one), 0), result * base, result)
        if bit < 5:
            base = base * base
            exponent = lax.shift_right_logical(exponent, broadcast(one, exponent.shape))
    return result


def float_power(x, y, /):
    """x to the power y, computed in floating point whatever the dtypes."""
    return _pow(*promote_inexact(x, y))


def log2(x, /):
    """Base-2 logarithm."""
    (x,) = promote_inexact(x)
    if kind(x.dtype) == "c":
        return _complex_scaled(ufuncs.log(x), 1 / math.log(2))
    return ufuncs.divide(ufuncs.log(x), lax.log(convert(2.0, x.dtype, x.weak_type)))


def log10(x, /):
    """Base-10 logarithm."""
    (x,) = promote_inexact(x)
    if kind(x.dtype) == "c":
        return _complex_scaled(ufuncs.log(x), _LOG10_E)
    return ufuncs.multiply(ufuncs.log(x), _LOG10_E)


def _complex_scaled(x, factor):
    return lax.complex(lax.real(x) * factor, lax.imag(x) * factor)


def hypot(x1, x2, /):
    """sqrt(x1**2 + x2**2) without overflow of the squares. Raises ValueError for complex operands."""
    x1, x2 = promote_inexact(x1, x2)
    check_kind("hypot", x1.aval, "f", error=ValueError)
    x1, x2 = lax.abs(x1), lax.abs(x2)
    infinite = ufuncs.logical_or(ufuncs.equal(x1, np.inf), ufuncs.equal(x2, np.inf))
    larger, smaller = ufuncs.maximum(x1, x2), ufuncs.minimum(x1, x2)
    is_zero = ufuncs.equal(larger, 0)
    ratio = ufuncs.divide(smaller, select(is_zero, convert(1.0, larger.dtype, larger.weak_type), larger))
    result = select(is_zero, larger, larger * lax.sqrt(1 + lax.square(ratio)))
    result = select(infinite, convert(np.inf, result.dtype, result.weak_type), result)
    return strong(result) if result.ndim else result


def logaddexp(x1, x2, /):
    """log(exp(x1) + exp(x2)) without overflow.

    >>> import cyxla.numpy as jnp
    >>> jnp.logaddexp(1000.0, -1000.0)
    Array(1000., dtype=float32, weak_type=True)
    """
    x1, x2 = promote_inexact(x1, x2)
    return _complex_log_add(x1, x2) if kind(x1.dtype) == "c" else _real_logaddexp(x1, x2)


def logaddexp2(x1, x2, /):
    """log2(2**x1 + 2**x2) without overflow."""
    x1, x2 = promote_inexact(x1, x2)
    if kind(x1.dtype) == "c":
        scale = math.log(2)
        return _complex_log_add(x1 * scale, x2 * scale) * (1 / scale)
    return _real_logaddexp2(x1, x2)


def _real_log_add(exp, log1p):
    """log(exp(x1) + exp(x2)) of real arrays, with logarithm and exponential to some base.

    Its derivative is a rule of its own: where x1 == x2, it is smooth though the maximum inside it is not.
    """

    @custom_jvp
    def log_add(x1, x2):
        difference = x1 - x2
        undefined = ufuncs.not_equal(difference, difference)
        return select(undefined, x1 + x2, ufuncs.maximum(x1, x2) + log1p(exp(-lax.abs(difference))))

    @log_add.defjvp
    def log_add_jvp(primals, tangents):
        result = log_add(*primals)
        shares = [exp(select(ufuncs.equal(x, result), lax.full_like(result, 0), x - result)) for x in primals]
        return result, tangents[0] * shares[0] + tangents[1] * shares[1]

    return log_add


_real_logaddexp = _real_log_add(lax.exp, lax.log1p)
_real_logaddexp2 = _real_log_add(ufuncs.exp2, lambda x: lax.log1p(x) * (1 / math.log(2)))


def _complex_log_add(x1, x2):
    first = ufuncs.logical_or(
        _greater(lax.real(x1), lax.real(x2)),
        ufuncs.logical_and(ufuncs.equal(lax.real(x1), lax.real(x2)), _greater(lax.imag(x1), lax.imag(x2))),
    )
    larger, smaller = select(first, x1, x2), select(first, x2, x1)
    result = larger + lax.log1p(lax.exp(smaller - larger))
    return lax.complex(lax.real(result), _wrapped_angle(lax.imag(result)))


def _wrapped_angle(angle):
    return ufuncs.arctan2(ufuncs.sin(angle), ufuncs.cos(angle))


def _sinc_with_series(x):
    at_zero = ufuncs.equal(x, 0)
    t = x * np.pi
    away = select(at_zero, convert(1.0, x.dtype, x.weak_type), t)
    # The series is evaluated only at 0, where its derivatives are those of sinc.
    t2 = t * t
    series = 1 - t2 * (1 / 6) * (1 - t2 * (1 / 20) * (1 - t2 * (1 / 42) * (1 - t2 * (1 / 72))))
    return select(at_zero, series, ufuncs.divide(lax.sin(away), away))


_sinc = custom_jvp(_sinc_with_series)


@_sinc.defjvp
def _sinc_jvp(primals, tangents):
    from cyxla._transform.grad import jvp

    # The slope is worked out here so that reverse mode keeps it, one array, and not what it is made from.
    (x,), (tangent,) = primals, tangents
    value, slope = jvp(_sinc_with_series, (x,), (lax.full_like(x, 1),))
    return value, tangent * slope


def sinc(x, /):
    """sin(pi x) / (pi x), 1 at 0; differentiable there."""
    return _sinc(*promote_inexact(x))


def arccosh(x, /):
    """Inverse hyperbolic cosine; NaN for real x below 1."""
    (x,) = promote_inexact(x)
    result = lax.acosh(x)
    if kind(x.dtype) == "c":
        return select(_less(lax.real(result), 0), -result, result)
    return result


acosh = arccosh


def i0(x):
    """Modified Bessel function of the first kind and order 0."""
    check_kind("i0", typeof(x), "biuf", error=ValueError)
    (x,) = promote_inexact(x)
    magnitude = lax.abs(x)
    return lax.mul(lax.exp(magnitude), lax.bessel_i0e(magnitude))


def deg2rad(x, /):
    """Degrees to radians."""
    (x,) = promote_inexact(x)
    return ufuncs.multiply(x, np.pi / 180)


def rad2deg(x, /):
    """Radians to degrees."""
    (x,) = promote_inexact(x)
    return ufuncs.multiply(x, 180 / np.pi)


radians = deg2rad
degrees = rad2deg


# Complex numbers.


def conjugate(x, /):
    """Complex conjugate; real x is returned as it is."""
    x = asarray(x)
    return lax.conj(x) if kind(x.dtype) == "c" else x


conj = conjugate


def real(val, /):
    """Real part; a real array is returned as it is."""
    val = asarray(val)
    return lax.real(val) if kind(val.dtype) == "c" else val


def imag(val, /):
    """Imaginary part; zeros for a real array."""
    val = asarray(val)
    return lax.imag(val) if kind(val.dtype) == "c" else lax.full_like(val, 0)


def angle(z, deg=False):
    """Angle of complex numbers in the plane, in (-pi, pi], or in degrees with ``deg=True``."""
    z = asarray(z)
    if kind(z.dtype) == "c":
        result = lax.atan2(lax.imag(z), lax.real(z))
    else:
        z = _floating(z)
        zero = convert(0, z.dtype, z.weak_type)
        result = select(_less(z, 0), convert(np.pi, z.dtype, z.weak_type), zero)
        result = select(ufuncs.not_equal(z, z), z, result)
    return result * (180 / np.pi) if deg else result


def iscomplex(x):
    """Where the imaginary part is not zero."""
    x = asarray(x)
    if kind(x.dtype) != "c":
        return lax.full_like(x, False, dtype=np.dtype(bool))
    return ufuncs.not_equal(lax.imag(x), 0)


def isreal(x):
    """Where the imaginary part is zero."""
    return ufuncs.logical_not(iscomplex(x))


# Integers.


def left_shift(x, y, /):
    """Bits of integer x moved y places to the left."""
    x, y = broadcast_together(*promote_numeric(x, y))
    return lax.shift_left(x, y)


def right_shift(x1, x2, /):
    """Bits of integer x1 moved x2 places to the right; the sign is kept where there is one."""
    x1, x2 = broadcast_together(*promote_numeric(x1, x2))
    return (lax.shift_right_logical if kind(x1.dtype) == "u" else lax.shift_right_arithmetic)(x1, x2)


bitwise_left_shift = left_shift
bitwise_right_shift = right_shift


def bitwise_count(x, /):
    """Number of bits set in the absolute value of integer x, as uint8."""
    x = asarray(x)
    if kind(x.dtype) == "b":
        return convert(x, np.dtype(np.uint8))
    return convert(lax.population_count(abs(x)), np.dtype(np.uint8))


def _integers(name, x1, x2):
    x1, x2 = promote(x1, x2)
    check_kind(name, x1.aval, "iu", error=ValueError)
    return broadcast_together(x1, x2)


def gcd(x1, x2):
    """Greatest common divisor, elementwise. Raises ValueError for operands that are not integers."""
    x1, x2 = _integers("gcd", x1, x2)
    return _gcd(abs(x1), abs(x2))


def _gcd(x1, x2):
    zero = convert(0, x1.dtype)
    one = convert(1, x1.dtype)

    def unfinished(pair):
        return lax.reduce_or(ufuncs.not_equal(pair[1], zero), tuple(range(x1.ndim)))

    def step(pair):
        a, b = pair
        done = ufuncs.equal(b, zero)
        rest = select(done, zero, lax.rem(a, select(done, one, b)))
        return select(done, a, b), rest

    return lax.while_loop(unfinished, step, (x1, x2))[0]


def lcm(x1, x2):
    """Least common multiple, elementwise. Raises ValueError for operands that are not integers."""
    x1, x2 = _integers("lcm", x1, x2)
    x1, x2 = abs(x1), abs(x2)
    divisor = _gcd(x1, x2)
    nonzero = select(ufuncs.equal(divisor, 0), convert(1, x1.dtype), divisor)
    return select(ufuncs.equal(x1, 0), convert(0, x1.dtype), x1 * _div(x2, nonzero))


# Limits and tolerance.


def clip(arr=None, /, min=None, max=None):
    """Values below ``min`` become ``min``, values above ``max`` become ``max``; a bound may be None.

    Raises ValueError for complex operands.

    >>> import cyxla.numpy as jnp
    >>> jnp.clip(1.5, 0, 1)
    Array(1., dtype=float32, weak_type=True)
    """
    if arr is None:
        raise ValueError("clip: the array to clip is missing")
    for value in (arr, min, max):
        if value is not None:
            check_kind("clip", typeof(value), "biuf", error=ValueError)
    arr = asarray(arr)
    if min is not None:
        arr = ufuncs.maximum(min, arr)
    if max is not None:
        arr = ufuncs.minimum(max, arr)
    return arr


def fmax(x1, x2):
    """Elementwise larger value, where a NaN counts as missing."""
    return _ignoring_nan(greater, x1, x2)


def fmin(x1, x2):
    """Elementwise smaller value, where a NaN counts as missing."""
    return _ignoring_nan(less, x1, x2)


def _ignoring_nan(compare, x1, x2):
    x1, x2 = promote(x1, x2)
    first = compare(x1, x2)
    if kind(x1.dtype) in "fc":
        first = ufuncs.logical_or(first, ufuncs.not_equal(x2, x2))
    return select(first, x1, x2)


def isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Where |a - b| <= atol + rtol * |b|; infinities of one sign are close, NaNs only with ``equal_nan``."""
    a, b = promote_inexact(a, b)
    real = real_dtype(a.dtype)
    rtol, atol = convert(rtol, real), convert(atol, real)
    near = _less_equal(lax.abs(a - b), atol + rtol * lax.abs(b))
    finite = ufuncs.logical_and(_is_finite(a), _is_finite(b))
    result = ufuncs.logical_or(ufuncs.logical_and(near, finite), ufuncs.equal(a, b))
    if equal_nan:
        result = ufuncs.logical_or(result, ufuncs.logical_and(ufuncs.not_equal(a, a), ufuncs.not_equal(b, b)))
    return result


def _is_finite(x):
    if kind(x.dtype) == "c":
        return ufuncs.logical_and(lax.is_finite(lax.real(x)), lax.is_finite(lax.imag(x)))
    return lax.is_finite(x)
