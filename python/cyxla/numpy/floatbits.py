"""Elementwise functions on the parts of floating-point numbers: sign, exponent, mantissa, infinities and NaN."""

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray, typeof
from cyxla.lax._util import check_kind

from . import ufuncs
from .axes import broadcast_together
from .dtypes import finfo
from .elementwise import _greater_equal, _less, ceil, floor, select
from .promotion import ACCUMULATE_IN, convert, inexact_dtype, kind, no_out, promote_inexact

_BOOL = np.dtype(bool)
_INT32 = np.dtype(np.int32)


def _format(dtype):
    """(unsigned dtype of the same width, number of mantissa bits, exponent bias) of a float dtype."""
    bits = dtype.itemsize * 8
    mantissa = finfo(dtype).nmant
    return np.dtype(f"uint{bits}"), mantissa, (1 << (bits - mantissa - 2)) - 1


def isfinite(x, /):
    """Where x is neither infinite nor NaN."""
    x = asarray(x)
    letter = kind(x.dtype)
    if letter == "f":
        return lax.is_finite(x)
    if letter == "c":
        return ufuncs.logical_and(lax.is_finite(lax.real(x)), lax.is_finite(lax.imag(x)))
    return lax.full_like(x, True, dtype=_BOOL)


def isinf(x, /):
    """Where x (or a part of complex x) is infinite."""
    x = asarray(x)
    letter = kind(x.dtype)
    if letter == "f":
        return ufuncs.equal(lax.abs(x), np.inf)
    if letter == "c":
        return ufuncs.logical_or(ufuncs.equal(lax.abs(lax.real(x)), np.inf), ufuncs.equal(lax.abs(lax.imag(x)), np.inf))
    return lax.full_like(x, False, dtype=_BOOL)


def isnan(x, /):
    """Where x (or a part of complex x) is NaN."""
    x = asarray(x)
    if kind(x.dtype) in "fc":
        return ufuncs.not_equal(x, x)
    return lax.full_like(x, False, dtype=_BOOL)


def isposinf(x, /, out=None):
    """Where x is positive infinity. Raises ValueError for complex x."""
    return _is_infinity(x, np.inf, out)


def isneginf(x, /, out=None):
    """Where x is negative infinity. Raises ValueError for complex x."""
    return _is_infinity(x, -np.inf, out)


def _is_infinity(x, infinity, out):
    no_out(out, "isposinf/isneginf")
    x = asarray(x)
    letter = kind(x.dtype)
    check_kind("isposinf and isneginf", x.aval, "biuf", error=ValueError)
    if letter == "f":
        return ufuncs.equal(x, infinity)
    return lax.full_like(x, False, dtype=_BOOL)


def signbit(x, /):
    """Where the sign bit is set, that of -0.0 and of NaN included. Raises ValueError for complex x."""
    x = asarray(x)
    letter = kind(x.dtype)
    if letter == "f":
        unsigned, _, _ = _format(x.dtype)
        bits = lax.bitcast_convert_type(x, unsigned)
        return ufuncs.not_equal(lax.shift_right_logical(bits, lax.full_like(bits, unsigned.itemsize * 8 - 1)), 0)
    check_kind("signbit", x.aval, "biuf", error=ValueError)
    if letter == "i":
        return _less(x, 0)
    return lax.full_like(x, False, dtype=_BOOL)


def copysign(x1, x2, /):
    """The magnitude of x1 with the sign of x2, in floating point."""
    x1, x2 = promote_inexact(x1, x2)
    check_kind("copysign", x1.aval, "biuf")
    return select(signbit(x2), -lax.abs(x1), lax.abs(x1))


def modf(x, /, out=None):
    """(fractional part, whole part) of x, both with the sign of x; (NaN, x) for infinite x."""
    no_out(out, "modf")
    (x,) = promote_inexact(x)
    whole = select(_greater_equal(x, 0), floor(x), ceil(x))
    return x - whole, whole


def frexp(x, /):
    """(mantissa, exponent) with x == mantissa * 2**exponent and 0.5 <= |mantissa| < 1; (x, 0) for 0, inf and NaN.

    Raises TypeError for complex x.
    """
    check_kind("frexp", typeof(x), "biuf")
    (x,) = promote_inexact(x)
    dtype = x.dtype
    unsigned, mantissa_bits, bias = _format(dtype)
    exponent_mask = (1 << (unsigned.itemsize * 8 - mantissa_bits - 1)) - 1
    # Subnormal numbers have no exponent of their own until they are scaled up.
    smallest_normal = 2.0 ** (1 - bias)
    subnormal = _less(lax.abs(x), smallest_normal)
    scaled = select(subnormal, x * convert(2.0**mantissa_bits, dtype), x)
    bits = lax.bitcast_convert_type(scaled, unsigned)
    field = lax.shift_right_logical(bits, lax.full_like(bits, mantissa_bits)) & convert(exponent_mask, unsigned)
    exponent = convert(field, _INT32) - (bias - 1)
    exponent = select(subnormal, exponent - mantissa_bits, exponent)
    kept = (1 << (unsigned.itemsize * 8)) - 1 - (exponent_mask << mantissa_bits)
    half = (bias - 1) << mantissa_bits
    mantissa_as_bits = (bits & asarray(unsigned.type(kept))) | asarray(unsigned.type(half))
    mantissa = lax.bitcast_convert_type(mantissa_as_bits, dtype)
    as_is = ufuncs.logical_or(ufuncs.equal(x, 0), ufuncs.logical_not(lax.is_finite(x)))
    return select(as_is, x, mantissa), select(as_is, asarray(np.int32(0)), exponent)


def ldexp(x1, x2, /):
    """x1 * 2**x2 for integer x2, exact as far as the result can be represented.

    Raises ValueError where x2 is not an integer or x1 is complex.
    """
    t1, t2 = typeof(x1), typeof(x2)
    if kind(t2.dtype) not in "biu" or kind(t1.dtype) == "c":
        raise ValueError(f"ldexp: a real number and an integer are needed, got {t1.dtype} and {t2.dtype}")
    result_dtype = inexact_dtype(t1.dtype)
    dtype = ACCUMULATE_IN.get(result_dtype, result_dtype)
    x1, exponent = broadcast_together(convert(x1, dtype), convert(x2, _INT32))
    _, mantissa_bits, bias = _format(dtype)
    integer = np.dtype(f"int{dtype.itemsize * 8}")
    # Powers of two beyond the exponent range of the dtype are applied in steps that are each representable.
    for _ in range(3):
        step = lax.clamp(np.int32(1 - bias), exponent, np.int32(bias))
        exponent = exponent - step
        bits = lax.shift_left(convert(step + bias, integer), lax.full_like(step, mantissa_bits, dtype=integer))
        x1 = x1 * lax.bitcast_convert_type(bits, dtype)
    return convert(x1, result_dtype)


def spacing(x, /):
    """The distance from x to the next representable number away from zero, with the sign of x."""
    (x,) = promote_inexact(x)
    check_kind("spacing", x.aval, "biuf", error=ValueError)
    infinity = convert(np.inf, x.dtype)
    positive = ufuncs.nextafter(x, infinity) - x
    negative = ufuncs.nextafter(x, -infinity) - x
    return select(signbit(x), negative, positive)


def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """NaN replaced by ``nan``, infinities by ``posinf`` and ``neginf`` (the largest finite numbers by default)."""
    x = asarray(x)
    letter = kind(x.dtype)
    if letter == "c":
        return lax.complex(
            nan_to_num(lax.real(x), copy, nan, posinf, neginf), nan_to_num(lax.imag(x), copy, nan, posinf, neginf)
        )
    if letter != "f":
        return x
    limits = finfo(x.dtype)
    posinf = limits.max if posinf is None else posinf
    neginf = limits.min if neginf is None else neginf
    x = select(ufuncs.not_equal(x, x), convert(nan, x.dtype), x)
    x = select(ufuncs.equal(x, np.inf), convert(posinf, x.dtype), x)
    return select(ufuncs.equal(x, -np.inf), convert(neginf, x.dtype), x)
