"""The k largest or smallest elements, found approximately where the hardware is faster at that."""

import math

import numpy as np

from cyxla import lax
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.caches import cached
from cyxla._engine.core import ClosedJaxpr, Primitive, Zero
from cyxla._engine.core import aval_to_tangent as tangent_aval
from cyxla._engine.dtypes import dtype_code
from cyxla._engine.staging import trace_flat
from cyxla.lax._util import (
    as_operand,
    canonicalize_axis,
    check_arrays,
    check_kind,
    check_rank,
    dtype_name,
    with_shape,
)
from cyxla.lax.sorting import take_along

_INT32 = dtype_code(np.int32)


def _result_size(size, rank, k, recall_target, aggregate_to_topk, size_override):
    """How many elements remain: k, or what the partial reduction of XLA leaves for the recall to be met."""
    if aggregate_to_topk:
        return k
    # Vectors are reduced in tiles of eight rows of lanes, other arrays in rows.
    tile = 1024 if rank == 1 else 128
    if size <= tile or (recall_target == 1 and k > 1):
        return size
    if k == 1:
        return tile
    needed = max(int((1 - k) / math.log(recall_target)), tile)
    available = (size_override if size_override >= 0 else size) // needed
    if available < 2:
        return size
    halvings = min(available.bit_length() - 1, (size // tile - 1).bit_length())
    return -(-size // (tile << halvings)) * tile


def _approx_abstract(
    x, *, k, reduction_dimension, recall_target, is_max_k, reduction_input_size_override, aggregate_to_topk
):
    check_rank("approx_top_k", "operand", x, 1, error=TypeError)
    check_kind("approx_top_k", x, "f", error=ValueError)
    size = x.shape[reduction_dimension]
    if not 0 < k <= size:
        raise ValueError(f"approx_top_k: k={k} must lie in [1, {size}], the size of the reduced dimension")
    if not 0 < recall_target <= 1:
        raise ValueError(f"approx_top_k: recall_target={recall_target} must lie in (0, 1]")
    if 0 <= reduction_input_size_override < size:
        raise ValueError(
            f"approx_top_k: reduction_input_size_override={reduction_input_size_override} must not be below {size}, "
            "the size of the reduced dimension, or must be -1"
        )
    shape = list(x.shape)
    shape[reduction_dimension] = _result_size(
        size, x.ndim, k, recall_target, aggregate_to_topk, reduction_input_size_override
    )
    out = with_shape(x, tuple(shape))
    return [out, shaped_array(out.shape, _INT32, x.weak_type)]


@cached("comparators of approx_max_k", 64)
def _comparator(aval, is_max_k):
    """Which of two elements comes first; their positions do not count."""
    element, place = shaped_array((), aval.code, False), shaped_array((), _INT32, False)
    comes_first = lax.gt if is_max_k else lax.lt
    return ClosedJaxpr(*trace_flat(lambda args: [comes_first(*args[:2])], [element, element, place, place]))


def _approx_lower(
    ctx, x, *, k, reduction_dimension, recall_target, is_max_k, reduction_input_size_override, aggregate_to_topk
):
    aval, outs = ctx.avals_in[0], ctx.avals_out
    element, place = shaped_array((), aval.code, False), shaped_array((), _INT32, False)
    places = shaped_array(aval.shape, _INT32, False)
    hint = f"top_k_{'gt' if is_max_k else 'lt'}_{dtype_name(aval)}_comparator"
    comparator = ctx.private_function(_comparator(element, is_max_k), hint)
    worst = ctx.constant(-np.inf if is_max_k else np.inf, element)
    nowhere = ctx.constant(-1, place)
    positions = ctx.op(f"stablehlo.iota dim = {reduction_dimension} : {places.mlir}")
    options = (
        f"aggregate_to_topk = {str(aggregate_to_topk).lower()}, is_fallback = {str(ctx.platform != 'tpu').lower()}, "
        f"recall_target = {recall_target:.9e} : f32, reduction_dim = {reduction_dimension} : i64, "
        f"reduction_input_size_override = {reduction_input_size_override} : i64, top_k = {k} : i64"
    )
    return ctx.op(
        f'stablehlo.custom_call @ApproxTopK({x}, {positions}, {worst}, {nowhere}) {{backend_config = "", '
        f"called_computations = [@{comparator}], mhlo.backend_config = {{{options}}}}} : "
        f"({aval.mlir}, {places.mlir}, {element.mlir}, {place.mlir}) -> ({outs[0].mlir}, {outs[1].mlir})",
        2,
    )


def _approx_jvp(primals, tangents, *, reduction_dimension, **params):
    values, positions = approx_top_k_p.bind(*primals, reduction_dimension=reduction_dimension, **params)
    t = tangents[0]
    t = Zero(tangent_aval(values.aval)) if type(t) is Zero else take_along(t, positions, reduction_dimension)
    return [values, positions], [t, Zero(tangent_aval(positions.aval))]


def _approx_batch(args, dims, *, reduction_dimension, **params):
    d = dims[0]
    outs = approx_top_k_p.bind(args[0], reduction_dimension=reduction_dimension + (reduction_dimension >= d), **params)
    return outs, [d, d]


approx_top_k_p = Primitive(
    "approx_top_k",
    multiple_results=True,
    abstract=_approx_abstract,
    lower=_approx_lower,
    jvp=_approx_jvp,
    batch=_approx_batch,
)


def _approx_top_k(operand, k, reduction_dimension, recall_target, size_override, aggregate_to_topk, is_max_k):
    check_arrays("approx_top_k", operand)
    operand = as_operand(operand)
    check_rank("approx_top_k", "operand", operand, 1, error=TypeError)
    return approx_top_k_p.bind(
        operand,
        k=integer(k),
        reduction_dimension=canonicalize_axis(reduction_dimension, operand.ndim),
        recall_target=float(recall_target),
        is_max_k=is_max_k,
        reduction_input_size_override=integer(size_override),
        aggregate_to_topk=bool(aggregate_to_topk),
    )


def approx_max_k(
    operand,
    k,
    reduction_dimension=-1,
    recall_target=0.95,
    reduction_input_size_override=-1,
    aggregate_to_topk=True,
):
    """The k largest elements along a dimension and their positions; approximately on TPU, exactly elsewhere.

    ``recall_target`` is the share of the true k largest that is to be found. Without ``aggregate_to_topk`` the result
    holds the larger number of candidates that are left before the last step. ``reduction_input_size_override`` is the
    size that the recall is to be worked out for. ValueError for other than floats, or for k above the size.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.approx_max_k(jnp.float32([1, 3, 2]), 2)
    [Array([3., 2.], dtype=float32), Array([1, 2], dtype=int32)]
    """
    return _approx_top_k(
        operand, k, reduction_dimension, recall_target, reduction_input_size_override, aggregate_to_topk, True
    )


def approx_min_k(
    operand,
    k,
    reduction_dimension=-1,
    recall_target=0.95,
    reduction_input_size_override=-1,
    aggregate_to_topk=True,
):
    """The k smallest elements along a dimension and their positions; see `approx_max_k`.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.approx_min_k(jnp.float32([1, 3, 2]), 2)
    [Array([1., 2.], dtype=float32), Array([0, 2], dtype=int32)]
    """
    return _approx_top_k(
        operand, k, reduction_dimension, recall_target, reduction_input_size_override, aggregate_to_topk, False
    )
