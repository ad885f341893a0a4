"""Reductions over axes: sums, products, extremes, truth, averages, spreads, positions of extremes.

float16 and bfloat16 are accumulated in float32; small integers are summed in the default integer. Those that skip NaN
are in nanreductions.py.
"""

import functools
import math

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import check_rank

from . import ufuncs
from .axes import broadcast, canonical_axes, canonical_axis
from .elementwise import select
from .promotion import (
    ACCUMULATE_IN,
    common_dtype,
    convert,
    default_int,
    default_uint,
    inexact_dtype,
    kind,
    no_out,
    promote_inexact,
    real_dtype,
    requested_dtype,
    strong,
)

_BOOL = np.dtype(bool)
_FLOAT32 = np.dtype(np.float32)
_SUMMED_AS_THEY_ARE = {np.dtype(name) for name in ("float32", "float64", "complex64", "complex128", "int64", "uint64")}
_bind_sum = functools.partial(lax.reduce_sum_p.bind, out_sharding=None)
_bind_prod = lax.reduce_prod_p.bind
_bind_argmax = lax.argmax_p.bind
_bind_argmin = lax.argmin_p.bind


def _keep(x, axes, shape):
    """The result of a reduction over ``axes``, with these axes put back as size 1."""
    sizes = list(shape)
    for axis in axes:
        sizes[axis] = 1
    kept = tuple([i for i in range(len(shape)) if i not in axes])
    return lax.broadcast_in_dim_p.bind(x, shape=tuple(sizes), broadcast_dimensions=kept, sharding=None)


def summation_dtype(dtype, requested, promote_integers):
    """The dtype of a sum or product of elements of ``dtype``."""
    if requested is not None:
        return requested_dtype(requested)
    letter = kind(dtype)
    if letter == "b":
        return default_int()
    if promote_integers:
        if letter == "i":
            return default_int() if dtype.itemsize < default_int().itemsize else dtype
        if letter == "u":
            return default_uint() if dtype.itemsize < default_uint().itemsize else dtype
    return dtype


def _axes(axis, ndim):
    if axis is None:
        return tuple(range(ndim))
    if axis.__class__ is int and -ndim <= axis < ndim:
        return (axis,) if axis >= 0 else (axis + ndim,)
    return canonical_axes(axis, ndim)


def _accumulate(name, reduce, combine, identity, a, axis, dtype, keepdims, initial, where, promote_integers):
    x = asarray(a)
    aval = x.aval
    shape = aval.shape
    if dtype is None and aval.dtype in _SUMMED_AS_THEY_ARE and not aval.weak_type:
        dtype = compute = aval.dtype
    else:
        dtype = summation_dtype(aval.dtype, dtype, promote_integers)
        compute = ACCUMULATE_IN.get(dtype, dtype)
        x = strong(convert(x, compute))
    if where is not None:
        x = select(_where(where, name), x, convert(identity, compute))
        shape = x.shape
    axes = _axes(axis, len(shape))
    x = reduce(x, axes=axes)
    if initial is not None:
        x = combine(_initial(initial, compute, name), x)
    if compute is not dtype:
        x = convert(x, dtype)
    return _keep(x, axes, shape) if keepdims else x


def _mask(where):
    where = asarray(where)
    return where if where.dtype == _BOOL else ufuncs.not_equal(where, 0)


def _where(where, name):
    where = asarray(where)
    if where.dtype != _BOOL:
        raise ValueError(f"{name}: where must be a boolean array, got dtype {where.dtype}")
    return where


def _initial(initial, dtype, name):
    initial = convert(initial, dtype)
    check_rank(name, "initial", initial, 0, 0)
    return initial


def sum(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None, promote_integers=True):
    """The sum of elements over ``axis`` (an int, several, or None for all).

    ``initial`` is added, elements where the mask ``where`` is not set are left out, ``keepdims`` keeps the reduced
    axes with size 1. bfloat16 and float16 are accumulated in float32.

    >>> import cyxla.numpy as jnp
    >>> jnp.sum(jnp.array([[1, 2], [3, 4]]), axis=0)
    Array([4, 6], dtype=int32)
    """
    if out is not None:
        no_out(out, "sum")
    return _accumulate("sum", _bind_sum, ufuncs.add, 0, a, axis, dtype, keepdims, initial, where, promote_integers)


def prod(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None, promote_integers=True):
    """The product of elements over ``axis``; arguments as for ``sum``.

    >>> import cyxla.numpy as jnp
    >>> jnp.prod(jnp.array([2, 3, 4]))
    Array(24, dtype=int32)
    """
    if out is not None:
        no_out(out, "prod")
    return _accumulate(
        "prod", _bind_prod, ufuncs.multiply, 1, a, axis, dtype, keepdims, initial, where, promote_integers
    )


def _extreme_identity(dtype, largest):
    """The value that never wins: the smallest of the dtype for a maximum."""
    letter = kind(dtype)
    if letter == "b":
        return not largest
    if letter in "iu":
        from .dtypes import iinfo

        limits = iinfo(dtype)
        return limits.min if largest else limits.max
    return -math.inf if largest else math.inf


def _extreme(name, reduce, combine, a, axis, out, keepdims, initial, where):
    if out is not None:
        no_out(out, name)
    x = asarray(a)
    shape = x.shape
    if where is not None:
        if initial is None:
            raise ValueError(f"{name}: where may leave no element; give initial=, the result in that case")
        x = select(_where(where, name), x, convert(_extreme_identity(x.dtype, name == "max"), x.dtype))
        shape = x.shape
    axes = _axes(axis, len(shape))
    if initial is None:
        for i in axes:
            if shape[i] == 0:
                raise ValueError(
                    f"{name}: the array is empty along axis {i} (its shape is {shape}); give initial=, the result in "
                    "that case"
                )
    x = reduce(x, axes)
    if x.weak_type:
        x = strong(x)
    if initial is not None:
        x = combine(_initial(initial, x.dtype, name), x)
    return _keep(x, axes, shape) if keepdims else x


def _complex_extreme(x, axes, largest):
    """The extreme of complex numbers in lexicographic order; a NaN wins."""
    real, imag = lax.real(x), lax.imag(x)
    reduce = lax.reduce_max if largest else lax.reduce_min
    is_nan = ufuncs.not_equal(x, x)
    best = _keep(reduce(real, axes), axes, x.shape)
    worst = convert(_extreme_identity(imag.dtype, largest), imag.dtype)
    chosen = select(ufuncs.equal(real, best), imag, worst)
    result = lax.complex(lax.reshape(best, lax.reduce_max(real, axes).shape), reduce(chosen, axes))
    any_nan = lax.reduce_or(is_nan, axes)
    return select(any_nan, convert(math.nan, x.dtype), result)


def _reduce_max(x, axes):
    letter = kind(x.dtype)
    if letter == "b":
        return lax.reduce_or(x, axes)
    if letter == "c":
        return _complex_extreme(x, axes, True)
    return lax.reduce_max_p.bind(x, axes=axes)


def _reduce_min(x, axes):
    letter = kind(x.dtype)
    if letter == "b":
        return lax.reduce_and(x, axes)
    if letter == "c":
        return _complex_extreme(x, axes, False)
    return lax.reduce_min_p.bind(x, axes=axes)


def max(a, axis=None, out=None, keepdims=False, initial=None, where=None):
    """The largest element over ``axis``; NaN where there is one.

    Raises ValueError for no elements without ``initial``, and for ``where`` without ``initial``.

    >>> import cyxla.numpy as jnp
    >>> jnp.max(jnp.array([3, 1, 2]))
    Array(3, dtype=int32)
    """
    return _extreme("max", _reduce_max, ufuncs.maximum, a, axis, out, keepdims, initial, where)


def min(a, axis=None, out=None, keepdims=False, initial=None, where=None):
    """The smallest element over ``axis``; NaN where there is one. Raises ValueError as ``max`` does."""
    return _extreme("min", _reduce_min, ufuncs.minimum, a, axis, out, keepdims, initial, where)


amax = max
amin = min


def ptp(a, axis=None, out=None, keepdims=False):
    """The largest element minus the smallest over ``axis``."""
    no_out(out, "ptp")
    return ufuncs.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def _truth(name, reduce, identity, a, axis, out, keepdims, where):
    if out is not None:
        no_out(out, name)
    x = _mask(a)
    if where is not None:
        x = select(_where(where, name), x, convert(identity, _BOOL))
    shape = x.shape
    axes = _axes(axis, len(shape))
    x = reduce(x, axes)
    return _keep(x, axes, shape) if keepdims else x


def all(a, axis=None, out=None, keepdims=False, *, where=None):
    """Whether every element over ``axis`` is true (nonzero)."""
    return _truth("all", lax.reduce_and, True, a, axis, out, keepdims, where)


def any(a, axis=None, out=None, keepdims=False, *, where=None):
    """Whether some element over ``axis`` is true (nonzero)."""
    return _truth("any", lax.reduce_or, False, a, axis, out, keepdims, where)


def count_nonzero(a, axis=None, keepdims=False):
    """The number of elements over ``axis`` that are not zero."""
    return sum(_mask(a), axis, default_int(), keepdims=keepdims)


# Averages and spreads.


def axis_size(shape, axes):
    return math.prod([shape[i] for i in axes])


def count_where(where, shape, axes, dtype, keepdims):
    """How many elements of a reduction the mask selects, as ``dtype``."""
    return sum(broadcast(_where(where, "mean"), shape), axes, dtype, keepdims=keepdims)


def _mean_dtypes(x, dtype):
    """(dtype of a mean, dtype in which it is computed)."""
    result = inexact_dtype(x.dtype) if dtype is None else requested_dtype(dtype)
    return result, ACCUMULATE_IN.get(result, result)


def mean(a, axis=None, dtype=None, out=None, keepdims=False, *, where=None):
    """The arithmetic mean over ``axis``, in floating point.

    >>> import cyxla.numpy as jnp
    >>> jnp.mean(jnp.array([1, 2, 3, 6]))
    Array(3., dtype=float32)
    """
    if out is not None:
        no_out(out, "mean")
    x = asarray(a)
    aval = x.aval
    axes = _axes(axis, aval.ndim)
    if dtype is None and where is None and not keepdims and aval.dtype is _FLOAT32 and not aval.weak_type:
        return ufuncs.divide(_bind_sum(x, axes=axes), float(axis_size(aval.shape, axes)))
    dtype, compute = _mean_dtypes(x, dtype)
    if where is None:
        count = axis_size(x.shape, axes)
    else:
        count = count_where(where, x.shape, axes, inexact_dtype(real_dtype(compute)), keepdims)
    total = sum(x, axes, compute, keepdims=keepdims, where=where)
    return convert(ufuncs.divide(total, convert(count, total.dtype)), dtype)


def weighted_axes(name, shape, weights_shape, axis, error):
    """The axes of an array that weights of another shape are for; `error` where no axis is given."""
    if axis is None:
        raise error(
            f"{name}: weights of shape {weights_shape} for an array of shape {shape} need axis=, which they are for"
        )
    axes = canonical_axes(axis, len(shape))
    wanted = tuple([shape[i] for i in axes])
    if weights_shape != wanted:
        raise ValueError(
            f"{name}: weights for axis={axis} of shape {shape} must have shape {wanted}, not {weights_shape}"
        )
    return axes


def average(a, axis=None, weights=None, returned=False, keepdims=False):
    """The mean over ``axis`` weighted by ``weights``; with ``returned`` also the sum of weights.

    Raises TypeError or ValueError where the weights' shape fits neither ``a`` nor its axis.
    """
    if weights is None:
        (x,) = promote_inexact(a)
        axes = canonical_axes(axis, x.ndim)
        result = mean(x, axes, keepdims=keepdims)
        total = convert(axis_size(x.shape, axes), result.dtype)
    else:
        x, w = promote_inexact(a, weights)
        if x.shape != w.shape:
            axes = weighted_axes("average", x.shape, w.shape, axis, ValueError)
            order = tuple(sorted(range(len(axes)), key=lambda i: axes[i]))
            w = lax.broadcast_in_dim(lax.transpose(w, order), x.shape, tuple(sorted(axes)))
        axes = canonical_axes(axis, x.ndim)
        total = sum(w, axes, keepdims=keepdims)
        result = ufuncs.divide(sum(ufuncs.multiply(x, w), axes, keepdims=keepdims), total)
    if returned:
        return result, broadcast(total, result.shape)
    return result


def _centered_square(x, mean_):
    centered = ufuncs.subtract(x, mean_)
    if kind(centered.dtype) == "c":
        return lax.real(ufuncs.multiply(centered, lax.conj(centered)))
    return lax.square(centered)


def _variance(name, a, axis, dtype, out, ddof, keepdims, where, mean_, correction):
    if out is not None:
        no_out(out, name)
    if correction is not None:
        if not isinstance(ddof, int) or ddof != 0:
            raise ValueError(f"{name}: ddof and correction are two names of one number; give one of them")
        ddof = correction
    x = asarray(a)
    dtype = inexact_dtype(real_dtype(x.dtype)) if dtype is None else requested_dtype(dtype)
    wide = common_dtype(x, np.zeros((), dtype))[0] if kind(x.dtype) == "c" else inexact_dtype(dtype)
    wide = ACCUMULATE_IN.get(wide, wide)
    x = convert(x, wide)
    axes = _axes(axis, x.ndim)
    if mean_ is None:
        mean_ = mean(x, axes, wide, keepdims=True, where=where)
    else:
        mean_ = convert(mean_, wide)
        if not keepdims and mean_.ndim != x.ndim:
            mean_ = _keep(mean_, axes, x.shape)
    squares = _centered_square(x, mean_)
    if where is None:
        count = convert(axis_size(x.shape, axes), squares.dtype)
    else:
        count = count_where(where, x.shape, axes, squares.dtype, keepdims)
    count = ufuncs.subtract(count, convert(ddof, squares.dtype))
    total = sum(squares, axes, keepdims=keepdims, where=where)
    result = convert(ufuncs.divide(total, count), dtype)
    if where is None and isinstance(ddof, (int, float)):
        if axis_size(x.shape, axes) - ddof > 0:
            return result
        return lax.full_like(result, math.nan)
    return select(lax.gt(count, convert(0, count.dtype)), result, convert(math.nan, result.dtype))


def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None):
    """The variance over ``axis``: mean squared distance from the mean, with ``ddof`` taken off the number of elements.

    The mean may be given to save computing it. NaN where no degrees of freedom are left.

    >>> import cyxla.numpy as jnp
    >>> jnp.var(jnp.array([1.0, 3.0]))
    Array(1., dtype=float32)
    """
    return _variance("var", a, axis, dtype, out, ddof, keepdims, where, mean, correction)


def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None):
    """The standard deviation over ``axis``, the square root of ``var``."""
    x = asarray(a)
    wanted = inexact_dtype(real_dtype(x.dtype)) if dtype is None else requested_dtype(dtype)
    compute = ACCUMULATE_IN.get(wanted, wanted)
    return convert(lax.sqrt(_variance("std", x, axis, compute, out, ddof, keepdims, where, mean, correction)), wanted)


# Positions of extremes.


def _argument_extreme(name, bind, a, axis, out, keepdims):
    if out is not None:
        no_out(out, name)
    x = asarray(a)
    shape = x.shape
    flat = axis is None
    if flat:
        x = lax.reshape(x, (x.size,)) if x.ndim != 1 else x
        axis = 0
    else:
        axis = canonical_axis(axis, len(shape))
    if x.shape[axis] == 0:
        raise ValueError(f"{name}: axis {axis} of shape {x.shape} is empty, so it has no extreme element")
    result = bind(x, axes=(axis,), index_dtype=default_int())
    if keepdims:
        return lax.reshape(result, (1,) * len(shape)) if flat else lax.expand_dims(result, (axis,))
    return result


def argmax(a, axis=None, out=None, keepdims=None):
    """The index of the first largest element along ``axis``, or in the flattened array.

    >>> import cyxla.numpy as jnp
    >>> jnp.argmax(jnp.array([1, 5, 2]))
    Array(1, dtype=int32)
    """
    return _argument_extreme("argmax", _bind_argmax, a, axis, out, keepdims)


def argmin(a, axis=None, out=None, keepdims=None):
    """The index of the first smallest element along ``axis``, or in the flattened array."""
    return _argument_extreme("argmin", _bind_argmin, a, axis, out, keepdims)


# Running sums and products.


def _running(name, cumulative, a, axis, dtype, out, fill=None):
    if out is not None:
        no_out(out, name)
    x = asarray(a)
    if axis is None or x.ndim == 0:
        if axis is not None:
            canonical_axis(axis, 1)
        x = lax.reshape(x, (x.size,))
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    if fill is not None and kind(x.dtype) in "fc":
        x = select(ufuncs.not_equal(x, x), convert(fill, x.dtype), x)
    if dtype is None:
        dtype = default_int() if kind(x.dtype) == "b" else x.dtype
    else:
        dtype = requested_dtype(dtype)
    if kind(dtype) == "b":
        return ufuncs.not_equal(cumulative(convert(x, default_int()), axis), 0)
    return cumulative(strong(convert(x, dtype)), axis)


def cumsum(a, axis=None, dtype=None, out=None):
    """Running sums along ``axis``, of the flattened array for None.

    >>> import cyxla.numpy as jnp
    >>> jnp.cumsum(jnp.array([1, 2, 3]))
    Array([1, 3, 6], dtype=int32)
    """
    return _running("cumsum", lax.cumsum, a, axis, dtype, out)


def cumprod(a, axis=None, dtype=None, out=None):
    """Running products along ``axis``, of the flattened array for None."""
    return _running("cumprod", lax.cumprod, a, axis, dtype, out)


def nancumsum(a, axis=None, dtype=None, out=None):
    """``cumsum`` with NaN counted as 0."""
    return _running("nancumsum", lax.cumsum, a, axis, dtype, out, fill=0)


def nancumprod(a, axis=None, dtype=None, out=None):
    """``cumprod`` with NaN counted as 1."""
    return _running("nancumprod", lax.cumprod, a, axis, dtype, out, fill=1)


def _cumulative(name, running, start, x, axis, dtype, include_initial):
    x = asarray(x)
    check_rank(name, "the array", x, 1)
    if axis is None:
        if x.ndim > 1:
            raise ValueError(f"{name}: give axis=, along which to accumulate an array of shape {x.shape}")
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    if dtype is None:
        dtype = summation_dtype(x.dtype, None, True)
    result = running(x, axis, dtype)
    if include_initial:
        shape = list(result.shape)
        shape[axis] = 1
        result = lax.concatenate([lax.full(tuple(shape), start, result.dtype), result], axis)
    return result


def cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False):
    """Running sums along ``axis``, optional for vectors; ``include_initial`` puts a 0 first."""
    return _cumulative("cumulative_sum", cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False):
    """Running products along ``axis``, optional for vectors; ``include_initial`` puts a 1 first."""
    return _cumulative("cumulative_prod", cumprod, 1, x, axis, dtype, include_initial)
