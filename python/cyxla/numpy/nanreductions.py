"""Reductions that leave NaN out."""

import math

from cyxla import lax
from cyxla._engine.array import asarray

from . import reductions, ufuncs
from .elementwise import select
from .promotion import convert, default_int, inexact_dtype, kind, no_out, real_dtype, requested_dtype


def _is_nan(x):
    return ufuncs.not_equal(x, x)


def _filled(x, value):
    """``x`` with NaN replaced; ``x`` itself where its dtype has none."""
    return select(_is_nan(x), convert(value, x.dtype), x) if kind(x.dtype) in "fc" else x


def _present(x, where):
    """A mask of the elements that count."""
    present = ufuncs.equal(x, x)
    return present if where is None else ufuncs.logical_and(present, where)


def nansum(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None):
    """``sum`` with NaN counted as 0."""
    no_out(out, "nansum")
    return reductions.sum(_filled(asarray(a), 0), axis, dtype, None, keepdims, initial, where)


def nanprod(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None):
    """``prod`` with NaN counted as 1."""
    no_out(out, "nanprod")
    return reductions.prod(_filled(asarray(a), 1), axis, dtype, None, keepdims, initial, where)


def _nan_extreme(name, reduce, infinity, a, axis, out, keepdims, initial, where):
    no_out(out, name)
    x = asarray(a)
    if kind(x.dtype) not in "fc":
        return reduce(x, axis, None, keepdims, initial, where)
    result = reduce(_filled(x, infinity), axis, None, keepdims, initial, where)
    if initial is not None:
        return result
    all_nan = reductions.all(_is_nan(x), axis, keepdims=keepdims)
    return select(all_nan, convert(math.nan, result.dtype), result)


def nanmax(a, axis=None, out=None, keepdims=False, initial=None, where=None):
    """``max`` of the elements that are not NaN; NaN where all are."""
    return _nan_extreme("nanmax", reductions.max, -math.inf, a, axis, out, keepdims, initial, where)


def nanmin(a, axis=None, out=None, keepdims=False, initial=None, where=None):
    """``min`` of the elements that are not NaN; NaN where all are."""
    return _nan_extreme("nanmin", reductions.min, math.inf, a, axis, out, keepdims, initial, where)


def nanmean(a, axis=None, dtype=None, out=None, keepdims=False, where=None):
    """``mean`` of the elements that are not NaN."""
    no_out(out, "nanmean")
    x = asarray(a)
    if kind(x.dtype) not in "fc":
        return reductions.mean(x, axis, dtype, None, keepdims, where=where)
    dtype = x.dtype if dtype is None else requested_dtype(dtype)
    count = reductions.sum(_present(x, where), axis, default_int(), keepdims=keepdims)
    total = nansum(x, axis, dtype, keepdims=keepdims, where=where)
    return ufuncs.divide(total, convert(count, dtype))


def _nan_variance(name, a, axis, dtype, out, ddof, keepdims, where, mean):
    no_out(out, name)
    x = asarray(a)
    if kind(x.dtype) not in "fc":
        return reductions.var(x, axis, dtype, None, ddof, keepdims, where=where, mean=mean)
    dtype = real_dtype(x.dtype) if dtype is None else requested_dtype(dtype)
    wide = inexact_dtype(dtype)
    x = convert(x, wide) if kind(x.dtype) != "c" else x
    present = _present(x, where)
    if mean is None:
        mean = nanmean(x, axis, keepdims=True, where=where)
    centered = select(present, ufuncs.subtract(x, mean), convert(0, x.dtype))
    squares = lax.real(centered * lax.conj(centered)) if kind(x.dtype) == "c" else lax.square(centered)
    count = reductions.sum(present, axis, default_int(), keepdims=keepdims)
    divisor = convert(count, squares.dtype) - convert(ddof, squares.dtype)
    result = ufuncs.divide(reductions.sum(squares, axis, keepdims=keepdims), divisor)
    result = select(lax.le(divisor, convert(0, divisor.dtype)), convert(math.nan, result.dtype), result)
    return convert(result, dtype)


def nanvar(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, where=None, mean=None):
    """``var`` of the elements that are not NaN."""
    return _nan_variance("nanvar", a, axis, dtype, out, ddof, keepdims, where, mean)


def nanstd(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, where=None, mean=None):
    """``std`` of the elements that are not NaN."""
    return lax.sqrt(_nan_variance("nanstd", a, axis, dtype, out, ddof, keepdims, where, mean))


def _nan_position(name, position, infinity, a, axis, out, keepdims):
    no_out(out, name)
    x = asarray(a)
    if kind(x.dtype) not in "fc":
        return position(x, axis, keepdims=keepdims)
    result = position(_filled(x, infinity), axis, keepdims=keepdims)
    all_nan = reductions.all(_is_nan(x), axis, keepdims=bool(keepdims))
    return select(all_nan, convert(-1, result.dtype), result)


def nanargmax(a, axis=None, out=None, keepdims=None):
    """``argmax`` of the elements that are not NaN; -1 where all are."""
    return _nan_position("nanargmax", reductions.argmax, -math.inf, a, axis, out, keepdims)


def nanargmin(a, axis=None, out=None, keepdims=None):
    """``argmin`` of the elements that are not NaN; -1 where all are."""
    return _nan_position("nanargmin", reductions.argmin, math.inf, a, axis, out, keepdims)
