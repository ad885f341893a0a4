"""Quantiles, percentiles and medians."""

import math

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import check_choice, check_rank

from . import reductions, ufuncs
from .axes import broadcast, canonical_axes
from .creation import array
from .elementwise import select
from .promotion import convert, default_int, kind, promote_inexact, strong

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def quantile(
    a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None
):  # fmt: skip
    """The values below which a fraction ``q`` (0 to 1, a scalar or an array) of the elements over ``axis`` lies.

    ``method`` says how to choose between two neighbours ("linear", "lower", "higher", "midpoint", "nearest",
    "inverted_cdf", ...). The axes of ``q`` come first in the result. NaN where an element is NaN.

    >>> import cyxla.numpy as jnp
    >>> jnp.quantile(jnp.array([1.0, 2.0, 3.0, 4.0]), 0.5)
    Array(2.5, dtype=float32)
    """
    return _checked("quantile", a, q, axis, out, overwrite_input, method, keepdims, weights, False)


def nanquantile(
    a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None
):  # fmt: skip
    """``quantile`` of the elements that are not NaN."""
    return _checked("nanquantile", a, q, axis, out, overwrite_input, method, keepdims, weights, True)


def percentile(
    a,
    q,
    axis=None,
    out=None,
    overwrite_input=False,
    method="linear",
    keepdims=False,
    *,
    weights=None,
    out_sharding=None,
):
    """``quantile`` with ``q`` in percent.

    >>> import cyxla.numpy as jnp
    >>> jnp.percentile(jnp.array([1.0, 2.0, 3.0]), 50)
    Array(2., dtype=float32)
    """
    return quantile(a, _hundredth(q), axis, out, overwrite_input, method, keepdims, weights=weights)


def nanpercentile(
    a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None
):  # fmt: skip
    """``percentile`` of the elements that are not NaN."""
    return nanquantile(a, _hundredth(q), axis, out, overwrite_input, method, keepdims, weights=weights)


def _hundredth(q):
    (q,) = promote_inexact(q)
    return ufuncs.divide(q, 100.0)


def median(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """The middle of the sorted elements over ``axis``, or the mean of the two in the middle.

    >>> import cyxla.numpy as jnp
    >>> jnp.median(jnp.array([3, 1, 2]))
    Array(2., dtype=float32)
    """
    return quantile(a, 0.5, axis, out, overwrite_input, "midpoint", keepdims)


def nanmedian(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """``median`` of the elements that are not NaN."""
    return nanquantile(a, 0.5, axis, out, overwrite_input, "midpoint", keepdims)


def _checked(name, a, q, axis, out, overwrite_input, method, keepdims, weights, skip_nan):
    if overwrite_input or out is not None:
        raise ValueError(f"{name}: arrays are immutable, so leave out= and overwrite_input= out")
    check_choice(name, "method", method, _METHODS)
    check_rank(name, "q", asarray(q), 0, 1)
    if kind(asarray(a).dtype) == "c" or kind(asarray(q).dtype) == "c":
        raise ValueError(f"{name}: complex numbers have no order; take the .real and .imag of a and q")
    if weights is not None:
        if method != "inverted_cdf":
            raise NotImplementedError(f"{name}: method {method!r} takes no weights; 'inverted_cdf' does")
        if skip_nan:
            a, w = promote_inexact(a, weights)
            missing = ufuncs.not_equal(a, a)
            zero = convert(0, w.dtype)
            w = select(missing, zero, _like_operand(w, a, axis))
            return _weighted(select(missing, convert(math.inf, a.dtype), a), q, axis, keepdims, w)
        return _weighted(a, q, axis, keepdims, weights)
    return _quantile(a, q, axis, method, keepdims, skip_nan)


def _columns(x, axis, keepdims):
    """``x`` with the reduced axes flattened into the last; and how to shape a reduced result."""
    axes = canonical_axes(axis, x.ndim)
    kept = tuple([i for i in range(x.ndim) if i not in axes])
    columns = lax.transpose(x, kept + axes)
    columns = lax.reshape(columns, tuple([x.shape[i] for i in kept]) + (reductions.axis_size(x.shape, axes),))
    shape = tuple([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else columns.shape[:-1]
    return columns, shape


def _gather_last(x, index):
    """Elements of the sorted ``x`` along its last axis: index has the shape of q followed by that of the columns."""
    from .selection import take_along_axis

    leading = math.prod(index.shape[: index.ndim - x.ndim + 1])
    flat = lax.reshape(index, (leading, *x.shape[:-1]))
    rows = lax.transpose(flat, (*range(1, flat.ndim), 0))
    picked = take_along_axis(x, rows, axis=-1)
    return lax.reshape(lax.transpose(picked, (picked.ndim - 1, *range(picked.ndim - 1))), index.shape)


def _quantile(a, q, axis, method, keepdims, skip_nan):
    x, q = promote_inexact(*promote_inexact(a), q)
    x, dtype = strong(x), x.dtype
    columns, shape = _columns(x, axis, keepdims)
    n = columns.shape[-1]
    is_nan = ufuncs.not_equal(columns, columns)
    if skip_nan:
        columns = lax.sort(select(is_nan, convert(math.nan, dtype), columns), dimension=columns.ndim - 1)
        count = reductions.sum(ufuncs.logical_not(is_nan), -1, dtype)
    else:
        any_nan = reductions.any(is_nan, -1, keepdims=True)
        columns = select(any_nan, convert(math.nan, dtype), columns)
        columns = lax.sort(columns, dimension=columns.ndim - 1)
        count = None
    if n == 0:
        return lax.full(q.shape + shape, math.nan, dtype)
    target = q.shape + columns.shape[:-1]
    q = lax.broadcast_in_dim(q, target, tuple(range(q.ndim)))
    if count is None:
        last = convert(n - 1, dtype)
        total = convert(n, dtype)
    else:
        count = broadcast(count, target)
        last = ufuncs.subtract(count, 1)
        total = count
    if method == "inverted_cdf":
        low = high = ufuncs.subtract(lax.ceil(ufuncs.multiply(q, total)), 1)
        weight = None
    else:
        position = ufuncs.multiply(q, last)
        low, high = lax.floor(position), lax.ceil(position)
        weight = ufuncs.subtract(position, low)
    zero = convert(0.0, dtype)
    upper = ufuncs.maximum(last, zero)
    low = ufuncs.minimum(ufuncs.maximum(low, zero), upper)
    high = ufuncs.minimum(ufuncs.maximum(high, zero), upper)
    low_value = _gather_last(columns, convert(low, default_int()))
    high_value = _gather_last(columns, convert(high, default_int()))
    if method in ("lower", "inverted_cdf"):
        result = low_value
    elif method == "higher":
        result = high_value
    elif method == "nearest":
        result = select(lax.le(weight, lax.full_like(weight, 0.5)), low_value, high_value)
    elif method == "midpoint":
        result = ufuncs.multiply(ufuncs.add(low_value, high_value), convert(0.5, dtype))
    else:
        result = ufuncs.add(ufuncs.multiply(low_value, ufuncs.subtract(1, weight)), ufuncs.multiply(high_value, weight))
    return lax.reshape(result, target[: len(target) - columns.ndim + 1] + shape)


def _like_operand(weights, x, axis):
    if weights.shape == x.shape:
        return weights
    axes = canonical_axes(axis, x.ndim)
    return lax.broadcast_in_dim(weights, x.shape, axes)


def _weighted(a, q, axis, keepdims, weights):
    x, q, w = promote_inexact(a, array(q, copy=False), weights)
    if w.shape != x.shape:
        reductions.weighted_axes("quantile", x.shape, w.shape, axis, TypeError)
    w = _like_operand(w, x, axis)
    columns, shape = _columns(x, axis, keepdims)
    w, _ = _columns(w, axis, keepdims)
    any_nan = reductions.any(ufuncs.not_equal(columns, columns), -1)
    columns, w = lax.sort((columns, w), dimension=columns.ndim - 1, num_keys=1)
    cumulative = lax.cumsum(w, axis=w.ndim - 1)
    total = lax.slice_in_dim(cumulative, w.shape[-1] - 1, w.shape[-1], axis=-1)
    cumulative = ufuncs.divide(cumulative, total)
    target = q.shape + columns.shape[:-1]
    expanded = lax.broadcast_in_dim(q, (*target, columns.shape[-1]), tuple(range(q.ndim)))
    reached = lax.ge(broadcast(cumulative, expanded.shape), expanded)
    # Elements of weight 0 do not count, at q = 0 either.
    reached = ufuncs.logical_and(reached, broadcast(lax.gt(w, lax.full_like(w, 0)), expanded.shape))
    index = reductions.argmax(reached, -1)
    result = _gather_last(columns, index)
    result = select(broadcast(any_nan, result.shape), convert(math.nan, result.dtype), result)
    return lax.reshape(result, q.shape + shape)
