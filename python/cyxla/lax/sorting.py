"""Sorting: sort of several operands by several keys, sort_key_val, top_k."""

import numpy as np

from cyxla import lax
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla._engine.core import aval_to_tangent as tangent_aval
from cyxla._engine.dtypes import dtype_code
from cyxla.lax._util import (
    as_operand,
    batch_size,
    canonicalize_axis,
    check_kind,
    dtype_name,
    is_complex,
    kind_of,
    region,
    scalar_like,
    to_front,
    with_shape,
)
from cyxla.lax.binary import eq_to_p, lt_to_p

_INT32 = dtype_code(np.int32)


def take_along(x, positions, dimension):
    """x at the given positions along a dimension, which are in bounds; all other dimensions correspond."""
    others = tuple(d for d in range(x.ndim) if d != dimension)
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(),
        collapsed_slice_dims=(dimension,),
        start_index_map=(dimension,),
        operand_batching_dims=others,
        start_indices_batching_dims=others,
    )
    return lax.gather(
        x,
        lax.reshape(positions, (*positions.shape, 1)),
        numbers,
        slice_sizes=(1,) * x.ndim,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )


# ---- sort


def _sort_abstract(*operands, dimension, is_stable, num_keys):
    shape = operands[0].shape
    if any(x.shape != shape for x in operands):
        raise TypeError(f"sort: operands need one shape, theirs are {', '.join(str(x.shape) for x in operands)}")
    for x in operands[:num_keys]:
        check_kind("sort", x, "biufc")
    return list(operands)


def _as_ordered(x):
    """A key as numbers whose total order is the order of sorting: zeros are equal, NaNs too, and come last."""
    if is_complex(x.aval):
        return _as_ordered(lax.real(x)) + _as_ordered(lax.imag(x))
    if kind_of(x.aval) != "f":
        return [x]
    zero = scalar_like(x, 0)
    one_zero = lax.select(lax.eq(x, zero), zero, x)
    return [lax.select(lax.ne(x, x), scalar_like(x, np.nan), one_zero)]


def _precedes(num_keys):
    def comparator(*pairs):
        lefts = [k for x in pairs[: 2 * num_keys : 2] for k in _as_ordered(x)]
        rights = [k for y in pairs[1 : 2 * num_keys : 2] for k in _as_ordered(y)]
        out = None
        for x, y in zip(reversed(lefts), reversed(rights)):
            less = lt_to_p.bind(x, y)
            out = less if out is None else lax.bitwise_or(less, lax.bitwise_and(eq_to_p.bind(x, y), out))
        return [out]

    return comparator


def _sort_lower(ctx, *operands, dimension, is_stable, num_keys):
    elements = tuple(shaped_array((), a.code, False) for a in ctx.avals_in for _ in range(2))
    body = region(ctx, _precedes(num_keys), elements, ("sort", num_keys))
    types = ", ".join(a.mlir for a in ctx.avals_in)
    n = len(operands)
    out = ctx.op(
        f'"stablehlo.sort"({", ".join(operands)}) <{{dimension = {dimension} : i64, '
        f"is_stable = {str(is_stable).lower()}}}> {body} : ({types}) -> ({types})",
        n,
    )
    return [out] if n == 1 else out


def _sort_jvp(primals, tangents, dimension, is_stable, num_keys):
    shape = primals[0].shape
    positions = lax.broadcasted_iota(np.int32, shape, dimension)
    *outs, order = sort_p.bind(*primals, positions, dimension=dimension, is_stable=is_stable, num_keys=num_keys)
    return outs, [
        Zero(tangent_aval(out.aval)) if type(t) is Zero else take_along(t, order, dimension)
        for out, t in zip(outs, tangents)
    ]


def _sort_batch(args, dims, dimension, is_stable, num_keys):
    size = batch_size(args, dims)
    args = [to_front(x, d, size) for x, d in zip(args, dims)]
    outs = sort_p.bind(*args, dimension=dimension + 1, is_stable=is_stable, num_keys=num_keys)
    return outs, [0] * len(outs)


sort_p = Primitive(
    "sort", multiple_results=True, abstract=_sort_abstract, lower=_sort_lower, jvp=_sort_jvp, batch=_sort_batch
)


def sort(operand, dimension=-1, is_stable=True, num_keys=1):
    """Sorts an array, or several of one shape by the first `num_keys` of them, along a dimension.

    NaNs come last and 0.0 equals -0.0; complex numbers are ordered by real part, then by imaginary part. ValueError for
    a dimension that does not exist or a wrong number of keys, TypeError where shapes differ.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.sort((np.int32([2, 1]), np.int32([5, 6])))
    (Array([1, 2], dtype=int32), Array([6, 5], dtype=int32))
    """
    several = isinstance(operand, (tuple, list))
    operands = [as_operand(x) for x in (operand if several else (operand,))]
    if not operands:
        raise TypeError("sort: no operand was given; one at least is needed")
    if not 1 <= num_keys <= len(operands):
        raise ValueError(f"sort: num_keys={num_keys} must lie in [1, {len(operands)}], the number of operands")
    dimension = canonicalize_axis(dimension, operands[0].ndim)
    outs = sort_p.bind(*operands, dimension=dimension, is_stable=bool(is_stable), num_keys=integer(num_keys))
    return tuple(outs) if several else outs[0]


def sort_key_val(keys, values, dimension=-1, is_stable=True):
    """Sorts keys along a dimension, and the values in the same way.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.sort_key_val(np.int32([2, 1]), np.int32([5, 6]))
    (Array([1, 2], dtype=int32), Array([6, 5], dtype=int32))
    """
    return sort((keys, values), dimension=dimension, is_stable=is_stable, num_keys=1)


# ---- top_k


def _top_k_abstract(x, k, axis):
    if is_complex(x):
        raise ValueError(f"top_k: complex numbers such as {dtype_name(x)} have no order; sort by abs(), .real or .imag")
    check_kind("top_k", x, "biuf")
    if k < 0:
        raise ValueError(f"top_k: k={k} is negative")
    if k > x.shape[axis]:
        raise ValueError(f"top_k: k={k} exceeds the size of axis {axis} of shape {x.shape}")
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return [with_shape(x, shape), shaped_array(shape, _INT32, x.weak_type)]


def _top_k_lower(ctx, x, k, axis):
    aval = ctx.avals_in[0]
    order = tuple(d for d in range(aval.ndim) if d != axis) + (axis,)
    back = tuple(order.index(d) for d in range(aval.ndim))
    last = axis == aval.ndim - 1

    def moved(a):
        return a if last else with_shape(a, tuple(a.shape[d] for d in order))

    source, results = moved(aval), [moved(a) for a in ctx.avals_out]
    if not last:
        x = ctx.op(f"stablehlo.transpose {x}, dims = {list(order)} : ({aval.mlir}) -> {source.mlir}")
    outs = ctx.op(f"chlo.top_k({x}, k = {k}) : {source.mlir} -> ({results[0].mlir}, {results[1].mlir})", 2)
    if last:
        return outs
    return [
        ctx.op(f"stablehlo.transpose {name}, dims = {list(back)} : ({a.mlir}) -> {out.mlir}")
        for name, a, out in zip(outs, results, ctx.avals_out)
    ]


def _top_k_jvp(primals, tangents, k, axis):
    values, positions = top_k_p.bind(*primals, k=k, axis=axis)
    t = tangents[0]
    t = Zero(tangent_aval(values.aval)) if type(t) is Zero else take_along(t, positions, axis)
    return [values, positions], [t, Zero(tangent_aval(positions.aval))]


def _top_k_batch(args, dims, k, axis):
    d = dims[0]
    return top_k_p.bind(args[0], k=k, axis=axis + (axis >= d)), [d, d]


top_k_p = Primitive(
    "top_k", multiple_results=True, abstract=_top_k_abstract, lower=_top_k_lower, jvp=_top_k_jvp, batch=_top_k_batch
)


def top_k(operand, k, *, axis=-1):
    """The k largest values along an axis, in descending order, and their positions; of equal ones the first come first.

    ValueError if the axis has fewer than k elements, TypeError for complex operands.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.top_k(np.int32([1, 3, 2]), 2)
    [Array([3, 2], dtype=int32), Array([1, 2], dtype=int32)]
    """
    operand = as_operand(operand)
    return top_k_p.bind(operand, k=integer(k), axis=canonicalize_axis(axis, operand.ndim))
