"""Finding elements and counting them: where, nonzero, searchsorted, histograms, interpolation in tables."""

import math
import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, ArrayImpl, asarray
from cyxla.lax._util import check_choice, check_kind, check_not_negative, check_rank

from . import reductions, ufuncs
from .axes import broadcast
from .creation import array, linspace
from .elementwise import select
from .promotion import concrete, convert, default_int, inexact_dtype, kind, promote, promote_inexact
from .reductions import _mask
from .selection import take
from .shape import ravel

_BOOL = np.dtype(bool)
_INT32 = np.dtype(np.int32)  # of positions in a table, whatever the default integer
_SIZE_NEEDED = "the size of the result of jnp.nonzero depends on it: pass size=..."
_LENGTH_NEEDED = "the length of the result of jnp.bincount depends on it: pass length=..."


def where(condition, x=None, y=None, /, *, size=None, fill_value=None):
    """Elements of ``x`` where the condition holds, of ``y`` elsewhere; with one argument, the indices where it holds.

    ``size`` and ``fill_value`` are for the form with one argument, see ``nonzero``.

    >>> import cyxla.numpy as jnp
    >>> jnp.where(jnp.array([True, False]), 1, 2)
    Array([1, 2], dtype=int32, weak_type=True)
    """
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if size is not None or fill_value is not None:
        raise ValueError("where: size and fill_value go with the condition alone, not with x and y")
    if x is None or y is None:
        raise TypeError(f"where: {'x' if x is None else 'y'} is None; give both x and y, or neither")
    condition = asarray(condition)
    if condition.dtype != _BOOL:
        condition = ufuncs.not_equal(condition, 0)
    return select(condition, x, y)


def nonzero(a, *, size=None, fill_value=None):
    """The indices of the elements that are not zero, as one array for each axis.

    Their number depends on the values, so under ``jit`` it must be fixed by ``size``: surplus indices are dropped,
    missing ones are ``fill_value`` (0 by default; a tuple gives one for each axis).
    """
    x = asarray(a)
    if x.ndim == 0:
        raise ValueError("nonzero: a scalar has no positions; use jnp.atleast_1d(x).nonzero()")
    mask = _mask(x)
    integer = default_int()
    if size is None:
        # The shape of the result depends on the values: they must be concrete.
        return tuple([asarray(index.astype(integer)) for index in np.nonzero(concrete(mask, _SIZE_NEEDED))])
    size = operator.index(size)
    fills = fill_value if isinstance(fill_value, tuple) else (fill_value or 0,) * x.ndim
    if len(fills) != x.ndim or any(np.ndim(fill) != 0 for fill in fills if not isinstance(fill, Array)):
        raise ValueError(
            f"nonzero: fill_value must be a scalar, or a tuple of one for each of the {x.ndim} axes; got "
            f"{fill_value!r:.100}"
        )
    if x.size == 0 or size == 0:
        return tuple([lax.full((size,), convert(fill, integer), integer) for fill in fills])
    flat = convert(ravel(mask), integer)
    counts = lax.cumsum(flat)
    # bins[j] elements before a position have at most j true ones, so the k-th true one is at the sum of the first bins.
    found = lax.cumsum(bincount(counts, length=size))
    strides = [math.prod(x.shape[i + 1 :]) for i in range(x.ndim)]
    total = reductions.sum(flat)
    missing = lax.ge(lax.iota(integer, size), broadcast(total, (size,)))
    result = []
    for stride, length, fill in zip(strides, x.shape, fills):
        index = lax.rem(lax.div(found, np.asarray(stride, integer)), np.asarray(length, integer))
        result.append(select(missing, convert(fill, integer), index))
    return tuple(result)


def argwhere(a, *, size=None, fill_value=None):
    """The indices of the elements that are not zero, one a row; see ``nonzero``."""
    x = asarray(a)
    if x.ndim == 0:
        n = (operator.index(size) if size is not None else int(bool(x)),)
        return lax.full((*n, 0), 0, default_int())
    found = nonzero(x, size=size, fill_value=fill_value)
    return lax.concatenate([lax.reshape(index, (index.shape[0], 1)) for index in found], 1)


def flatnonzero(a, *, size=None, fill_value=None):
    """The indices of the elements of the flattened array that are not zero; see ``nonzero``."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


# Sorted tables.

_SEARCH_METHODS = ("scan", "scan_unrolled", "sort", "compare_all")


def searchsorted(a, v, side="left", sorter=None, *, method="scan"):
    """The indices at which elements ``v`` are to be inserted into the sorted vector ``a`` to keep it sorted.

    With ``side="right"`` they come after equal elements. ``method`` is "scan" (binary search), "scan_unrolled",
    "sort" or "compare_all" (best for few elements). Raises ValueError where ``a`` is not 1-D.

    >>> import cyxla.numpy as jnp
    >>> jnp.searchsorted(jnp.array([1, 3, 5]), 3)
    Array(1, dtype=int32)
    """
    check_choice("searchsorted", "side", side, ("left", "right"))
    check_choice("searchsorted", "method", method, _SEARCH_METHODS)
    a = asarray(a)
    check_rank("searchsorted", "a", a, 1, 1)
    a, v = promote(a, v)
    if sorter is not None:
        a = take(a, sorter)
    integer = _INT32
    n = a.shape[0]
    if n == 0:
        return lax.full(v.shape, 0, integer)
    if method == "compare_all":
        return _search_by_comparing(a, v, side)
    if method == "sort":
        return _search_by_sorting(a, v, side)
    return _search_by_bisection(a, v, side, method == "scan_unrolled")


def _precedes(x, y, or_equal):
    """Whether x sorts before y; NaN sort after everything and are equal to each other, as are the zeros."""
    letter = kind(x.dtype)
    if letter == "c":
        from .elementwise import less, less_equal

        return (less_equal if or_equal else less)(x, y)
    before = lax.le(x, y) if or_equal else lax.lt(x, y)
    if letter == "f":
        y_is_nan = ufuncs.not_equal(y, y)
        if not or_equal:
            y_is_nan = ufuncs.logical_and(y_is_nan, ufuncs.equal(x, x))
        return ufuncs.logical_or(before, y_is_nan)
    return before


def _search_by_comparing(a, v, side):
    shape = (*v.shape, a.shape[0])
    table = lax.broadcast_in_dim(a, shape, (v.ndim,))
    query = lax.broadcast_in_dim(v, shape, tuple(range(v.ndim)))
    return reductions.sum(_precedes(table, query, side == "right"), -1, _INT32)


def _search_by_sorting(a, v, side):
    integer = _INT32
    n = a.shape[0]
    flat = lax.reshape(v, (v.size,))
    both = [flat, a] if side == "left" else [a, flat]
    x = lax.concatenate(both, 0)
    total = x.shape[0]
    _, order = lax.sort((x, lax.iota(integer, total)), num_keys=1)
    # ranks[i]: the position of element i after sorting; less its rank among the queries alone.
    ranks = lax.sort_key_val(order, lax.iota(integer, total))[1]
    low = 0 if side == "left" else n
    ranks = lax.slice(ranks, (low,), (low + flat.shape[0],))
    _, own = lax.sort((flat, lax.iota(integer, flat.shape[0])), num_keys=1)
    own_rank = lax.sort_key_val(own, lax.iota(integer, flat.shape[0]))[1]
    return lax.reshape(ranks - own_rank, v.shape)


def _search_by_bisection(a, v, side, unrolled):
    integer = _INT32
    n = a.shape[0]
    low = lax.full(v.shape, 0, integer)
    high = lax.full(v.shape, n, integer)

    def step(_, bounds):
        low, high = bounds
        middle = lax.div(low + high, lax.full_like(low, 2))
        # Where the bounds have met behind the end there is nothing to read.
        value = take(a, lax.min(middle, lax.full_like(middle, n - 1)), mode="clip")
        go_right = _precedes(value, v, side == "right")
        go_right = ufuncs.logical_and(go_right, lax.lt(low, high))
        return select(go_right, middle + 1, low), select(go_right, high, middle)

    rounds = n.bit_length()
    if unrolled:
        bounds = (low, high)
        for i in range(rounds):
            bounds = step(i, bounds)
        return bounds[0]
    return lax.fori_loop(0, rounds, step, (low, high))[0]


def digitize(x, bins, right=False, *, method=None):
    """The number of the bin to which each element of ``x`` belongs, for monotonic ``bins`` in either direction."""
    x, bins = asarray(x), asarray(bins)
    check_rank("digitize", "bins", bins, 1, 1)
    if bins.shape[0] == 0:
        return lax.full(x.shape, 0, _INT32)
    side = "right" if not right else "left"
    method = method or "scan"
    n = bins.shape[0]
    first = lax.reshape(lax.slice(bins, (0,), (1,)), ())
    last = lax.reshape(lax.slice(bins, (n - 1,), (n,)), ())
    rising = searchsorted(bins, x, side=side, method=method)
    falling = n - searchsorted(lax.rev(bins, (0,)), x, side=side, method=method)
    return select(lax.ge(last, first), rising, falling)


def interp(x, xp, fp, left=None, right=None, period=None):
    """Linear interpolation at ``x`` of the function with values ``fp`` at the increasing points ``xp``.

    Outside, the value is ``left`` and ``right`` (the end values by default; "extrapolate" continues the end segments).
    With ``period`` the points are taken modulo the period. Raises ValueError for tables that are not vectors.

    >>> import cyxla.numpy as jnp
    >>> jnp.interp(2.5, jnp.array([1.0, 2.0, 3.0]), jnp.array([3.0, 2.0, 0.0]))
    Array(1., dtype=float32)
    """
    if asarray(xp).ndim != 1 or asarray(fp).ndim != 1 or asarray(xp).shape != asarray(fp).shape:
        raise ValueError(
            f"interp: xp and fp must be vectors of one length, got shapes {asarray(xp).shape} and {asarray(fp).shape}"
        )
    x, xp = promote_inexact(x, xp)
    (fp,) = promote_inexact(fp)
    check_kind("interp", x.aval, "biuf", "x", ValueError)
    extrapolate = []
    for name, value in (("left", left), ("right", right)):
        if isinstance(value, str) and value != "extrapolate":
            raise ValueError(f"interp: {name}={value!r} must be a number or 'extrapolate'")
        extrapolate.append(isinstance(value, str))
    if period is not None:
        from .elementwise import remainder

        check_rank("interp", "period", asarray(period), 0, 0)
        period = ufuncs.maximum(lax.abs(convert(period, xp.dtype)), convert(0, xp.dtype))
        x = remainder(x, period)
        xp = remainder(xp, period)
        xp, order = lax.sort((xp, lax.iota(default_int(), xp.shape[0])), num_keys=1)
        fp = take(fp, order)
        n = xp.shape[0]
        xp = lax.concatenate([lax.slice(xp, (n - 1,), (n,)) - period, xp, lax.slice(xp, (0,), (1,)) + period], 0)
        fp = lax.concatenate([lax.slice(fp, (n - 1,), (n,)), fp, lax.slice(fp, (0,), (1,))], 0)
    n = xp.shape[0]
    i = lax.clamp(np.asarray(1, _INT32), searchsorted(xp, x, side="right"), np.asarray(max(n - 1, 1), _INT32))
    high = ufuncs.minimum(i, n - 1)
    low = ufuncs.maximum(i - 1, 0)
    x_low, x_high = take(xp, low, mode="clip"), take(xp, high, mode="clip")
    f_low, f_high = take(fp, low, mode="clip"), take(fp, high, mode="clip")
    run, offset, rise = x_high - x_low, x - x_low, f_high - f_low
    flat = ufuncs.equal(run, 0)
    slope = ufuncs.divide(offset, select(flat, convert(1, run.dtype), run))
    result = select(flat, f_low, f_low + slope * rise)
    if not extrapolate[0]:
        edge = lax.reshape(lax.slice(fp, (0,), (1,)), ()) if left is None or period is not None else left
        first = lax.reshape(lax.slice(xp, (0,), (1,)), ())
        result = select(lax.lt(x, broadcast(first, x.shape)), edge, result)
    if not extrapolate[1]:
        edge = lax.reshape(lax.slice(fp, (n - 1,), (n,)), ()) if right is None or period is not None else right
        last = lax.reshape(lax.slice(xp, (n - 1,), (n,)), ())
        result = select(lax.gt(x, broadcast(last, x.shape)), edge, result)
    return result


# Counting.


def bincount(x, weights=None, minlength=0, *, length=None, out_sharding=None):
    """How often each integer occurs in the vector ``x``, or the sum of ``weights`` where it occurs.

    The length of the result depends on the values unless ``length`` fixes it; integers beyond it are dropped, negative
    ones are counted as 0. Raises TypeError where x is not of integers, ValueError where it is not 1-D.
    """
    x = asarray(x)
    check_kind("bincount", x.aval, "biu", "x")
    check_rank("bincount", "x", x, 1, 1)
    minlength = operator.index(minlength)
    check_not_negative("bincount", "minlength", minlength)
    if length is None:
        length = max(int(concrete(x, _LENGTH_NEEDED).max()) + 1, minlength) if x.size else minlength
    else:
        length = operator.index(length)
    if weights is None:
        weights = convert(1, default_int())
    else:
        weights = asarray(weights)
        if weights.shape != x.shape:
            raise ValueError(f"bincount: weights must have the shape of x, got {weights.shape} for {x.shape}")
    x = convert(x, default_int()) if kind(x.dtype) == "b" else x
    if kind(x.dtype) == "i":
        x = ufuncs.maximum(x, 0)
    counts = lax.full((length,), 0, weights.dtype)
    return scatter_add_1d(counts, x, broadcast(weights, x.shape))


def scatter_add_1d(target, index, values):
    """``target`` with ``values`` added at the positions ``index``; positions beyond the end are dropped."""
    dimensions = lax.ScatterDimensionNumbers(
        update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
    )
    return lax.scatter_add(
        target, lax.expand_dims(index, (1,)), values, dimensions, mode=lax.GatherScatterMode.FILL_OR_DROP
    )


def histogram_bin_edges(a, bins=10, range=None, weights=None):
    """The edges of ``bins`` bins of equal width over the range of ``a``; ``bins`` itself where it is a vector."""
    if isinstance(bins, str):
        raise NotImplementedError(
            f"histogram_bin_edges: bins={bins!r} must be a number of bins or their edges; no rules are known by name"
        )
    (x,) = promote_inexact(ravel(a))
    edges = asarray(bins) if not isinstance(bins, (list, tuple)) else array(bins)
    if edges.ndim == 1:
        return convert(edges, x.dtype)
    bins = operator.index(bins)
    if range is None:
        if x.size == 0:
            low, high = convert(0.0, x.dtype), convert(1.0, x.dtype)
        else:
            low, high = reductions.min(x), reductions.max(x)
    else:
        low, high = [convert(bound, x.dtype) for bound in (range if isinstance(range, (tuple, list)) else array(range))]
    width = ufuncs.subtract(high, low)
    empty = ufuncs.equal(width, 0)
    half = convert(0.5, x.dtype)
    return linspace(select(empty, low - half, low), select(empty, high + half, high), bins + 1, dtype=x.dtype)


def histogram(a, bins=10, range=None, weights=None, density=None):
    """(counts, edges): how many elements of ``a`` lie in each bin; the last bin includes its right edge.

    With ``density`` the counts are divided by their sum and the widths of the bins.
    """
    x = ravel(a)
    counted = weights
    if weights is None:
        counted = lax.full_like(x, 1, dtype=inexact_dtype(x.dtype))
    else:
        counted = ravel(weights)
        if asarray(a).shape != asarray(weights).shape:
            raise ValueError(
                f"histogram: weights must have the shape of a, got {asarray(weights).shape} for {asarray(a).shape}"
            )
    edges = histogram_bin_edges(a, bins, range, weights)
    (x,) = promote_inexact(x)
    n = edges.shape[0]
    last = lax.reshape(lax.slice(edges, (n - 1,), (n,)), ())
    index = searchsorted(edges, x, side="right")
    index = select(ufuncs.equal(x, last), convert(n - 1, index.dtype), index)
    counts = scatter_add_1d(lax.full((n,), 0, counted.dtype), index, counted)
    counts = lax.slice(counts, (1,), (n,))
    if density:
        widths = lax.slice(edges, (1,), (n,)) - lax.slice(edges, (0,), (n - 1,))
        counts = ufuncs.divide(ufuncs.divide(counts, widths), reductions.sum(counts))
    return counts, edges


def histogram2d(x, y, bins=10, range=None, weights=None, density=None):
    """(counts, edges of x, edges of y) of points in the plane."""
    x, y = asarray(x), asarray(y)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"histogram2d: x and y must be vectors of one length, got shapes {x.shape} and {y.shape}")
    many = isinstance(bins, (list, tuple)) or getattr(bins, "ndim", 0)
    if many and len(bins) not in (1, 2):
        edges = array(bins)
        bins = [edges, edges]
    sample = lax.concatenate([lax.expand_dims(v, (1,)) for v in promote(x, y)], 1)
    counts, edges = histogramdd(sample, bins, range, weights, density)
    return counts, edges[0], edges[1]


def histogramdd(sample, bins=10, range=None, weights=None, density=None):
    """(counts, list of edges) of points, one a row of ``sample``."""
    from .joining import unstack

    (sample,) = promote_inexact(sample if isinstance(sample, (Array, np.ndarray)) else array(sample))
    if sample.ndim != 2:
        raise ValueError(f"histogramdd: sample must be of shape (points, dimensions), got {sample.shape}")
    n, d = sample.shape
    if weights is not None and asarray(weights).shape != (n,):
        raise ValueError(
            f"histogramdd: weights need one number for each of the {n} points, got shape {asarray(weights).shape}"
        )
    if range is not None and (len(range) != d or any(r is not None and len(r) != 2 for r in range)):
        raise ValueError(f"histogramdd: range={range!r} needs a pair or None for each of the {d} dimensions")
    per_axis = list(bins) if isinstance(bins, (list, tuple)) or getattr(bins, "ndim", 0) else [bins] * d
    if len(per_axis) != d:
        raise ValueError(f"histogramdd: bins needs an entry for each of the {d} dimensions, got {len(per_axis)}")
    integer = default_int()
    columns = unstack(sample, axis=1)
    edges, flat_index, sizes = [], lax.full((n,), 0, integer), []
    for i, x in enumerate(columns):
        e = histogram_bin_edges(x, per_axis[i], None if range is None else range[i])
        m = e.shape[0]
        index = searchsorted(e, x, side="right")
        last = lax.reshape(lax.slice(e, (m - 1,), (m,)), ())
        index = select(ufuncs.equal(x, last), index - 1, index)
        edges.append(e)
        sizes.append(m + 1)
        flat_index = flat_index * (m + 1) + index
    counted = lax.full((n,), 1, integer) if weights is None else asarray(weights)
    counts = scatter_add_1d(lax.full((math.prod(sizes),), 0, counted.dtype), flat_index, counted)
    counts = lax.reshape(counts, tuple(sizes))
    counts = lax.slice(counts, (1,) * d, tuple([m - 1 for m in sizes]))
    if density:
        counts = ufuncs.divide(convert(counts, sample.dtype), reductions.sum(counts))
        for i, e in enumerate(edges):
            m = e.shape[0]
            widths = lax.slice(e, (1,), (m,)) - lax.slice(e, (0,), (m - 1,))
            counts = ufuncs.divide(counts, lax.broadcast_in_dim(widths, counts.shape, (i,)))
    return counts, edges


def compress(condition, a, axis=None, *, size=None, fill_value=0, out=None):
    """The slices of ``a`` along ``axis`` (elements of the flattened array for None) where the vector condition holds.

    Under ``jit`` the number of them must be fixed by ``size``; missing ones are ``fill_value``.
    """
    from .promotion import no_out
    from .shape import moveaxis

    no_out(out, "compress")
    condition = _mask(condition if not isinstance(condition, (list, tuple)) else array(condition))
    check_rank("compress", "condition", condition, 1, 1)
    x = asarray(a)
    x = ravel(x) if axis is None else moveaxis(x, axis, 0)
    n = condition.shape[0]
    if n > x.shape[0]:
        if isinstance(condition, ArrayImpl) and np.asarray(condition)[x.shape[0] :].any():
            raise ValueError(
                f"compress: condition of length {condition.shape[0]} selects beyond the {x.shape[0]} elements"
            )
        condition = lax.slice(condition, (0,), (x.shape[0],))
        n = x.shape[0]
    index = nonzero(condition, size=size)[0]
    result = take(x, index, axis=0)
    if size is not None:
        present = lax.lt(lax.iota(default_int(), size), broadcast(reductions.sum(condition), (size,)))
        shape = (size,) + (1,) * (x.ndim - 1)
        result = select(broadcast(lax.reshape(present, shape), result.shape), result, convert(fill_value, x.dtype))
    return result if axis is None else moveaxis(result, 0, axis)


def extract(condition, arr, *, size=None, fill_value=0):
    """The elements of the flattened ``arr`` where the flattened condition holds; see ``compress``."""
    return compress(ravel(condition), ravel(arr), size=size, fill_value=fill_value)
