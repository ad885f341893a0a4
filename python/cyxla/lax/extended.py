"""Lowering for arrays of extended dtypes such as typed PRNG keys, of what moves elements about and of equality.

To traces and jaxprs such an array is one like any other. A program computes with its physical array, which has further
trailing dimensions; so the parameters of the operation get entries for these, and its own lowering rule does the rest.
"""

import numpy as np

from cyxla._engine.aval import shaped_array
from cyxla._engine.dtypes import dtype_code
from cyxla.lax.binary import eq_p, ne_p
from cyxla.lax.convert import copy_p, optimization_barrier_p
from cyxla.lax.gather_scatter import GatherDimensionNumbers, ScatterDimensionNumbers, gather_p, scatter_p
from cyxla.lax.pieces import concatenate_p, split_p, stack_p, tile_p, unstack_p
from cyxla.lax.select import select_n_p
from cyxla.lax.shape import broadcast_in_dim_p, reshape_p, rev_p, squeeze_p, transpose_p
from cyxla.lax.slicing import dynamic_slice_p, dynamic_update_slice_p, slice_p

INT32 = dtype_code(np.int32)


def is_extended(aval) -> bool:
    """Whether the array with this aval has an extended dtype."""
    return hasattr(aval.dtype, "physical_shape")


def _trailing(aval):
    return aval.dtype.physical_shape


# Each rewrite takes (ctx, names, avals_in, avals_out, params), the avals still logical, and returns names, physical
# avals of the operands, and params.


def _unchanged(ctx, names, avals, out, params):
    return names, [a.physical() for a in avals], params


def _broadcast_in_dim(ctx, names, avals, out, params):
    tail, rank = _trailing(out), out.ndim
    dims = (*params["broadcast_dimensions"], *range(rank, rank + len(tail)))
    return names, [avals[0].physical()], {**params, "shape": params["shape"] + tail, "broadcast_dimensions": dims}


def _reshape(ctx, names, avals, out, params):
    tail, rank = _trailing(out), avals[0].ndim
    order = params.get("dimensions")
    if order is not None:
        order = (*order, *range(rank, rank + len(tail)))
    new = {**params, "new_sizes": params["new_sizes"] + tail, "dimensions": order}
    return names, [avals[0].physical()], new


def _transpose(ctx, names, avals, out, params):
    tail, rank = _trailing(out), out.ndim
    order = (*params["permutation"], *range(rank, rank + len(tail)))
    return names, [avals[0].physical()], {**params, "permutation": order}


def _tile(ctx, names, avals, out, params):
    return names, [avals[0].physical()], {**params, "reps": (*params["reps"], *(1 for _ in _trailing(out)))}


def _slice(ctx, names, avals, out, params):
    tail, strides = _trailing(out), params["strides"]
    zeros, ones = (0,) * len(tail), (1,) * len(tail)
    new = {
        "start_indices": tuple(params["start_indices"]) + zeros,
        "limit_indices": tuple(params["limit_indices"]) + tail,
        "strides": None if strides is None else tuple(strides) + ones,
    }
    return names, [avals[0].physical()], new


def _zero_starts(ctx, avals, tail):
    aval = avals[-1] if avals else shaped_array((), INT32, False)
    return [ctx.constant(0, aval) for _ in tail], [aval for _ in tail]


def _dynamic_slice(ctx, names, avals, out, params):
    tail = _trailing(out)
    zeros, zero_avals = _zero_starts(ctx, avals[1:], tail)
    sizes = tuple(params["slice_sizes"]) + tail
    return [*names, *zeros], [avals[0].physical(), *avals[1:], *zero_avals], {**params, "slice_sizes": sizes}


def _dynamic_update_slice(ctx, names, avals, out, params):
    zeros, zero_avals = _zero_starts(ctx, avals[2:], _trailing(out))
    return [*names, *zeros], [*(a.physical() for a in avals[:2]), *avals[2:], *zero_avals], params


def _select_n(ctx, names, avals, out, params):
    which, cases = avals[0], [a.physical() for a in avals[1:]]
    if which.ndim:
        wide = shaped_array(cases[0].shape, which.code, False)
        names = [ctx.broadcast(names[0], which, wide, tuple(range(which.ndim))), *names[1:]]
        which = wide
    return names, [which, *cases], params


def _gather(ctx, names, avals, out, params):
    tail, rank = _trailing(out), out.ndim
    offset_dims, *others = params["dimension_numbers"]
    numbers = GatherDimensionNumbers((*offset_dims, *range(rank, rank + len(tail))), *others)
    fill = params["fill_value"]
    if not isinstance(fill, (int, np.integer)):
        fill = np.iinfo(np.uint32).max
    new = {
        **params,
        "dimension_numbers": numbers,
        "slice_sizes": tuple(params["slice_sizes"]) + tail,
        "fill_value": fill,
    }
    return names, [avals[0].physical(), avals[1]], new


def _scatter(ctx, names, avals, out, params):
    operand, indices, updates = avals
    window_dims, *others = params["dimension_numbers"]
    tail = _trailing(out)
    window = (*window_dims, *range(updates.ndim, updates.ndim + len(tail)))
    numbers = ScatterDimensionNumbers(window, *others)
    return names, [operand.physical(), indices, updates.physical()], {**params, "dimension_numbers": numbers}


_REWRITES = {
    broadcast_in_dim_p: _broadcast_in_dim,
    concatenate_p: _unchanged,
    copy_p: _unchanged,
    dynamic_slice_p: _dynamic_slice,
    dynamic_update_slice_p: _dynamic_update_slice,
    gather_p: _gather,
    optimization_barrier_p: _unchanged,
    reshape_p: _reshape,
    rev_p: _unchanged,
    scatter_p: _scatter,
    select_n_p: _select_n,
    slice_p: _slice,
    split_p: _unchanged,
    squeeze_p: _unchanged,
    stack_p: _unchanged,
    tile_p: _tile,
    transpose_p: _transpose,
    unstack_p: _unchanged,
}


def _extended_rule(rule, rewrite):
    def lower(ctx, *names, **params):
        avals_in, avals_out = ctx.avals_in, ctx.avals_out
        if not is_extended(avals_out[0]):
            return rule(ctx, *names, **params)
        names, physical, params = rewrite(ctx, names, avals_in, avals_out[0], params)
        ctx.avals_in, ctx.avals_out = tuple(physical), tuple(a.physical() for a in avals_out)
        return rule(ctx, *names, **params)

    return lower


def _comparison_rule(rule, combine, neutral):
    """Two elements are equal where all the numbers that represent them are."""

    def lower(ctx, x, y):
        avals, (out,) = ctx.avals_in, ctx.avals_out
        if not is_extended(avals[0]):
            return rule(ctx, x, y)
        names, tail = [], _trailing(avals[0])
        wide = shaped_array(out.shape + tail, avals[0].physical().code, False)
        for name, aval in ((x, avals[0]), (y, avals[1])):
            dims = tuple(range(out.ndim - aval.ndim, out.ndim + len(tail)))
            names.append(ctx.broadcast(name, aval.physical(), wide, dims))
        parts = shaped_array(wide.shape, out.code, False)
        ctx.avals_in, ctx.avals_out = (wide, wide), (parts,)
        result = rule(ctx, *names)
        start = ctx.constant(neutral, shaped_array((), out.code, False))
        over = ", ".join(map(str, range(out.ndim, parts.ndim)))
        return ctx.op(
            f"stablehlo.reduce({result} init: {start}) applies stablehlo.{combine} across dimensions = [{over}] : "
            f"({parts.mlir}, tensor<i1>) -> {out.mlir}"
        )

    return lower


def install() -> None:
    """Gives the primitives above rules for extended dtypes; called by the module that makes the first such dtype."""
    if _REWRITES:
        eq_p.lower = _comparison_rule(eq_p.lower, "and", True)
        ne_p.lower = _comparison_rule(ne_p.lower, "or", False)
    while _REWRITES:
        primitive, rewrite = _REWRITES.popitem()
        primitive.lower = _extended_rule(primitive.lower, rewrite)
