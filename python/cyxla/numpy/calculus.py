"""Differences, integrals and convolutions of sampled functions, and statistics of pairs of variables."""

import builtins
import math
import operator

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import check_kind, check_not_negative, check_rank

from . import reductions, ufuncs
from .axes import broadcast, canonical_axes, canonical_axis
from .contraction import dot
from .creation import array
from .elementwise import remainder, select
from .promotion import convert, default_float, inexact_dtype, kind, promote, promote_inexact, requested_dtype
from .shape import moveaxis, ravel


def _at(x, axis, low, high):
    return lax.slice_in_dim(x, low, high, axis=axis)


def diff(a, n=1, axis=-1, prepend=None, append=None):
    """Differences of neighbours along ``axis``, taken ``n`` times; of bools, whether neighbours differ.

    >>> import cyxla.numpy as jnp
    >>> jnp.diff(jnp.array([1, 4, 9]))
    Array([3, 5], dtype=int32)
    """
    x = asarray(a)
    n = operator.index(n)
    if n == 0:
        return x
    check_not_negative("diff", "n", n)
    check_rank("diff", "a", x, 1)
    axis = canonical_axis(axis, x.ndim)
    ends = []
    for end in (prepend, append):
        if end is not None:
            end = asarray(end)
            if end.ndim == 0:
                end = broadcast(end, x.shape[:axis] + (1,) + x.shape[axis + 1 :])
        ends.append(end)
    parts = [part for part in (ends[0], x, ends[1]) if part is not None]
    if len(parts) > 1:
        x = lax.concatenate(promote(*parts), axis)
    for _ in range(n):
        m = x.shape[axis]
        later, earlier = _at(x, axis, 1, m), _at(x, axis, 0, builtins.max(m - 1, 0))
        x = ufuncs.not_equal(later, earlier) if kind(x.dtype) == "b" else ufuncs.subtract(later, earlier)
    return x


def ediff1d(ary, to_end=None, to_begin=None):
    """Differences of neighbours in the flattened array, with values put before and after."""
    x = ravel(ary)
    parts = [diff(x)]
    if to_begin is not None:
        parts.insert(0, convert(ravel(asarray(to_begin)), x.dtype))
    if to_end is not None:
        parts.append(convert(ravel(asarray(to_end)), x.dtype))
    return lax.concatenate(parts, 0) if len(parts) > 1 else parts[0]


def gradient(f, *varargs, axis=None, edge_order=None):
    """Central differences along each axis (one-sided at the ends), as a list where there are several axes.

    ``varargs`` gives the spacing: a number for all axes, one for each, or the coordinates along each.
    """
    x = asarray(f)
    if edge_order is not None:
        raise NotImplementedError("gradient: edge_order is not available")
    (x,) = promote_inexact(x)
    axes = canonical_axes(axis, x.ndim)
    if builtins.min([x.shape[i] for i in axes], default=2) < 2:
        raise ValueError(f"gradient: axes {axes} of shape {x.shape} need 2 elements or more each")
    if len(varargs) == 0:
        spacing = [1] * len(axes)
    elif len(varargs) == 1:
        spacing = list(varargs) * len(axes)
    elif len(varargs) == len(axes):
        spacing = list(varargs)
    else:
        raise TypeError(
            f"gradient: {len(varargs)} spacings were given; give none, one, or one for each of the axes {axes}"
        )
    result = [_gradient_along(x, h, i) for h, i in zip(spacing, axes)]
    return result[0] if len(result) == 1 else result


def _gradient_along(x, h, axis):
    n = x.shape[axis]
    h = asarray(h) if not isinstance(h, (list, tuple)) else array(h)
    if h.ndim == 0:
        inner = ufuncs.multiply(ufuncs.subtract(_at(x, axis, 2, n), _at(x, axis, 0, n - 2)), 0.5)
        first = ufuncs.subtract(_at(x, axis, 1, 2), _at(x, axis, 0, 1))
        last = ufuncs.subtract(_at(x, axis, n - 1, n), _at(x, axis, n - 2, n - 1))
        return ufuncs.divide(lax.concatenate([first, inner, last], axis), h)
    if h.ndim != 1 or h.shape[0] != n:
        raise ValueError(
            f"gradient: an array of positions must be a vector as long as its axis, {n}; got shape {h.shape}"
        )
    (h,) = promote_inexact(h)
    step = lax.slice(h, (1,), (n,)) - lax.slice(h, (0,), (n - 1,))
    shape = tuple([n - 1 if i == axis else 1 for i in range(x.ndim)])
    step = convert(lax.reshape(step, shape), x.dtype)
    slope = ufuncs.divide(ufuncs.subtract(_at(x, axis, 1, n), _at(x, axis, 0, n - 1)), step)
    before, after = _at(step, axis, 0, n - 2), _at(step, axis, 1, n - 1)
    weighted = ufuncs.multiply(_at(slope, axis, 0, n - 2), after) + ufuncs.multiply(_at(slope, axis, 1, n - 1), before)
    inner = ufuncs.divide(weighted, before + after)
    return lax.concatenate([_at(slope, axis, 0, 1), inner, _at(slope, axis, n - 2, n - 1)], axis)


def trapezoid(y, x=None, dx=1.0, axis=-1):
    """The integral of ``y`` along ``axis`` by the trapezoidal rule, at points ``x`` or at equal distances ``dx``."""
    if x is None:
        (y,) = promote_inexact(y)
        y = moveaxis(y, axis, -1)
        step = asarray(dx)
    else:
        y, x = promote_inexact(y, x)
        y = moveaxis(y, axis, -1)
        x = x if x.ndim == 1 else moveaxis(x, axis, -1)
        step = diff(x)
    n = y.shape[-1]
    heights = ufuncs.add(_at(y, -1, 1, n), _at(y, -1, 0, n - 1))
    return ufuncs.multiply(0.5, reductions.sum(ufuncs.multiply(step, heights), -1))


def unwrap(p, discont=None, axis=-1, period=2 * math.pi):
    """``p`` with multiples of ``period`` added so that neighbours differ by at most ``discont`` (half a period)."""
    check_kind("unwrap", asarray(p).aval, "biuf", error=ValueError)
    x = asarray(p)
    if x.shape[canonical_axis(axis, x.ndim)] == 0:
        return promote_inexact(x)[0]
    if kind(x.dtype) in "biu" and not isinstance(period, int):
        x = convert(x, default_float())
    axis = canonical_axis(axis, x.ndim)
    if discont is None:
        discont = period / 2
    step = diff(x, axis=axis)
    if kind(x.dtype) in "iu":
        high, odd = divmod(period, 2)
        low = -high
        on_boundary = not odd
    else:
        high = period / 2
        low = -high
        on_boundary = True
    wrapped = ufuncs.add(remainder(ufuncs.subtract(step, low), period), low)
    if on_boundary:
        at_end = ufuncs.logical_and(ufuncs.equal(wrapped, low), lax.gt(step, lax.full_like(step, 0)))
        wrapped = select(at_end, convert(high, wrapped.dtype), wrapped)
    correction = ufuncs.subtract(wrapped, step)
    small = lax.lt(lax.abs(step), lax.full_like(step, 0) + convert(discont, step.dtype))
    correction = select(small, convert(0, correction.dtype), correction)
    total = lax.cumsum(correction, axis=axis)
    n = x.shape[axis]
    return lax.concatenate([_at(x, axis, 0, 1), ufuncs.add(_at(x, axis, 1, n), total)], axis)


# Convolution.


def convolve(a, v, mode="full", *, precision=None, preferred_element_type=None):
    """The discrete convolution of two vectors; ``mode`` is "full", "same" or "valid".

    Raises ValueError for operands that are not vectors or are empty.

    >>> import cyxla.numpy as jnp
    >>> jnp.convolve(jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0]))
    Array([1., 3., 2.], dtype=float32)
    """
    return _convolve(a, v, mode, "convolve", precision, preferred_element_type)


def correlate(a, v, mode="valid", *, precision=None, preferred_element_type=None):
    """The cross-correlation of two vectors, the second one conjugated; ``mode`` is "full", "same" or "valid"."""
    return _convolve(a, v, mode, "correlate", precision, preferred_element_type)


def _convolve(a, v, mode, name, precision, preferred):
    a, v = promote_inexact(a, v)
    if a.ndim != 1 or v.ndim != 1:
        raise ValueError(f"{name}: vectors are needed, got shapes {a.shape} and {v.shape}")
    if a.shape[0] == 0 or v.shape[0] == 0:
        raise ValueError(f"{name}: neither vector can be empty, got shapes {a.shape} and {v.shape}")
    swapped = False
    if name == "correlate":
        v = lax.conj(v) if kind(v.dtype) == "c" else v
        if a.shape[0] < v.shape[0]:
            swapped = True
            a, v = v, a
    else:
        if a.shape[0] < v.shape[0]:
            a, v = v, a
        v = lax.rev(v, (0,))
    m = v.shape[0]
    if mode == "valid":
        padding = (0, 0)
    elif mode == "same":
        # As long as the longer operand; for an even window the odd element falls on the left.
        padding = (m // 2, m - m // 2 - 1)
    elif mode == "full":
        padding = (m - 1, m - 1)
    else:
        raise ValueError(f"{name}: mode={mode!r} is unknown; choose one of 'full', 'same', 'valid'")
    result = lax.conv_general_dilated(
        lax.reshape(a, (1, 1, a.shape[0])),
        lax.reshape(v, (1, 1, m)),
        (1,),
        [padding],
        precision=precision,
        preferred_element_type=preferred,
    )
    result = lax.reshape(result, (result.shape[2],))
    return lax.rev(result, (0,)) if swapped else result


# Statistics of pairs.


def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, dtype=None):
    """The covariance matrix of variables, the rows of ``m`` (columns unless ``rowvar``), with the rows of ``y`` added.

    ``fweights`` repeats observations, ``aweights`` weighs them. Raises ValueError or TypeError for weights that do not
    fit.
    """
    dtype = requested_dtype(dtype)
    xs = [asarray(m)] if y is None else [asarray(m), asarray(y)]
    if builtins.max([x.ndim for x in xs]) > 2:
        raise ValueError(f"cov: variables are the rows of a matrix, got arrays of shapes {[x.shape for x in xs]}")
    xs = promote_inexact(*xs)
    if dtype is not None:
        xs = [convert(x, dtype) for x in xs]
    rows = []
    for x in xs:
        if x.ndim < 2:
            x = lax.reshape(x, (1, x.size))
        elif not rowvar and x.shape[0] != 1:
            x = lax.transpose(x, (1, 0))
        rows.append(x)
    if y is None and rows[0].shape[0] == 0:
        return lax.full((0, 0), math.nan, rows[0].dtype)
    x = lax.concatenate(rows, 0) if len(rows) > 1 else rows[0]
    if ddof is None:
        ddof = 1 if not bias else 0
    n = x.shape[1]
    weights = None
    if fweights is not None:
        weights = _observation_weights("fweights", fweights, n)
        check_kind("cov", weights.aval, "biu", "fweights")
        weights = convert(lax.abs(weights), inexact_dtype(x.dtype))
    if aweights is not None:
        aweights = lax.abs(convert(_observation_weights("aweights", aweights, n), x.dtype))
        weights = aweights if weights is None else weights * aweights
    if weights is None:
        mean = reductions.mean(x, 1, keepdims=True)
        norm = convert(n - ddof, x.dtype)
    else:
        weights = convert(weights, x.dtype)
        total = reductions.sum(weights)
        mean = ufuncs.divide(reductions.sum(x * weights, 1, keepdims=True), total)
        if ddof == 0:
            norm = total
        elif aweights is None:
            norm = total - ddof
        else:
            norm = total - ufuncs.divide(ddof * reductions.sum(weights * aweights), total)
    x = x - mean
    other = x if weights is None else x * weights
    product = dot(x, lax.transpose(lax.conj(other) if kind(x.dtype) == "c" else other, (1, 0)))
    result = ufuncs.divide(product, norm)
    return lax.reshape(result, ()) if result.shape == (1, 1) else result


def _observation_weights(name, weights, n):
    weights = asarray(weights)
    check_rank("cov", name, weights, 0, 1, RuntimeError)
    if weights.shape != (n,):
        raise RuntimeError(
            f"cov: {name} needs one weight for each of the {n} observations, its shape is {weights.shape}"
        )
    return weights


def corrcoef(x, y=None, rowvar=True, dtype=None):
    """The matrix of correlation coefficients of variables; see ``cov``."""
    from .elementwise import clip
    from .triangles import diagonal

    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return ufuncs.divide(c, c)
    deviations = lax.sqrt(lax.real(diagonal(c)) if kind(c.dtype) == "c" else diagonal(c))
    deviations = convert(deviations, c.dtype)
    n = c.shape[0]
    c = ufuncs.divide(c, lax.reshape(deviations, (n, 1)))
    c = ufuncs.divide(c, lax.reshape(deviations, (1, n)))
    if kind(c.dtype) == "c":
        return lax.complex(clip(lax.real(c), -1, 1), clip(lax.imag(c), -1, 1))
    return clip(c, -1, 1)
