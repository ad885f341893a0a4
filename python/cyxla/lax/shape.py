"""Changing the shape of an array without computing: broadcast, reshape, transpose, squeeze, reverse."""

from math import prod
from operator import index

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, typeof
from cyxla._engine.aval import int_tuple
from cyxla._engine.caches import cached
from cyxla._engine.core import Primitive
from cyxla.lax._util import (
    as_operand,
    broadcast_error,
    canonicalize_axes,
    canonicalize_axis,
    canonicalize_shape,
    check_axes,
    check_not_negative,
    move_axis,
    with_shape,
)

# ---- broadcast_in_dim


def _broadcast_in_dim_abstract(x, shape, broadcast_dimensions, sharding=None):
    check_not_negative("broadcast_in_dim", "shape", shape, TypeError)
    ndim = x.ndim
    if ndim > len(shape):
        raise TypeError(f"broadcast_in_dim: shape={shape} has fewer axes than the operand, whose shape is {x.shape}")
    if len(broadcast_dimensions) != ndim:
        raise TypeError(
            f"broadcast_in_dim: broadcast_dimensions={broadcast_dimensions} needs one entry for each axis of the "
            f"operand, whose shape is {x.shape}"
        )
    check_axes("broadcast_in_dim", "broadcast_dimensions", broadcast_dimensions, shape, TypeError)
    if any(n not in (1, shape[d]) for n, d in zip(x.shape, broadcast_dimensions)):
        raise TypeError(
            f"broadcast_in_dim: an axis is stretched from size 1 only; the operand of shape {x.shape} does not fit "
            f"shape={shape} with broadcast_dimensions={broadcast_dimensions}"
        )
    return with_shape(x, shape)


def _broadcast_in_dim_transpose(ct, x, shape, broadcast_dimensions, sharding=None):
    aval = x.aval
    sizes = dict(zip(broadcast_dimensions, aval.shape))
    summed = tuple(d for d, n in enumerate(shape) if d not in sizes or sizes[d] != n)
    ct = lax.reduce_sum(ct, summed)
    kept = [d for d in broadcast_dimensions if d not in summed]
    order = sorted(kept)
    if kept != order:
        ct = lax.transpose(ct, tuple(map(order.index, kept)))
    return [lax.reshape(ct, aval.shape)]


def _broadcast_in_dim_batch(args, dims, shape, broadcast_dimensions, sharding=None):
    x = move_axis(args[0], dims[0], 0)
    out = broadcast_in_dim_p.bind(
        x,
        shape=(x.shape[0], *shape),
        broadcast_dimensions=(0, *(d + 1 for d in broadcast_dimensions)),
        sharding=sharding,
    )
    return out, 0


broadcast_in_dim_p = Primitive(
    "broadcast_in_dim",
    abstract=_broadcast_in_dim_abstract,
    lower=lambda ctx, x, shape, broadcast_dimensions, sharding=None: ctx.op(
        f"stablehlo.broadcast_in_dim {x}, dims = {list(broadcast_dimensions)} : "
        f"({ctx.avals_in[0].mlir}) -> {ctx.avals_out[0].mlir}"
    ),
    linear=True,
    transpose=_broadcast_in_dim_transpose,
    batch=_broadcast_in_dim_batch,
    host=True,
)


def broadcast_in_dim(operand, shape, broadcast_dimensions, *, out_sharding=None):
    """Broadcasts an array to a shape; `broadcast_dimensions[i]` is the dimension of the result that holds dimension i.

    Dimensions of size 1 stretch. TypeError where dimensions do not fit.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.broadcast_in_dim(np.int32([1, 2]), (2, 3), (0,))
    Array([[1, 1, 1],
           [2, 2, 2]], dtype=int32)
    """
    if not isinstance(operand, Array):
        operand = as_operand(operand)
    try:
        shape = tuple(map(index, shape))
    except TypeError:
        shape = canonicalize_shape(shape)
    broadcast_dimensions = int_tuple(broadcast_dimensions)
    if operand.shape == shape and broadcast_dimensions == tuple(range(len(shape))):
        return operand
    return broadcast_in_dim_p.bind(
        operand, shape=shape, broadcast_dimensions=broadcast_dimensions, sharding=out_sharding
    )


def broadcast(operand, sizes, *, out_sharding=None):
    """Adds leading dimensions of the given sizes, filled with copies.

    >>> from cyxla import lax
    >>> lax.broadcast(1.0, (2,))
    Array([1., 1.], dtype=float32, weak_type=True)
    """
    if not isinstance(operand, Array):
        operand = as_operand(operand)
    sizes = canonicalize_shape(sizes)
    if not sizes:
        return operand
    n = len(sizes)
    return broadcast_in_dim(
        operand, sizes + operand.shape, tuple(range(n, n + operand.ndim)), out_sharding=out_sharding
    )


@cached("shapes broadcast together", 1024)
def _broadcast_shapes(shapes):
    ndim = max(map(len, shapes))
    out = []
    for sizes in zip(*((1,) * (ndim - len(s)) + s for s in shapes)):
        stretched = {n for n in sizes if n != 1}
        if len(stretched) > 1:
            raise broadcast_error(shapes)
        out.append(stretched.pop() if stretched else 1)
    return tuple(out)


def broadcast_shapes(*shapes):
    """The shape that NumPy's rules broadcast the given shapes to; ValueError where they do not fit.

    >>> from cyxla import lax
    >>> lax.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    if not shapes:
        return ()
    return _broadcast_shapes(tuple(map(canonicalize_shape, shapes)))


def broadcast_to_rank(x, rank):
    """Adds leading dimensions of size 1 up to a rank."""
    x = as_operand(x)
    missing = rank - x.ndim
    if missing < 0:
        raise ValueError(f"broadcast_to_rank: operand of shape {x.shape} has rank above {rank}")
    return expand_dims(x, tuple(range(missing))) if missing else x


def broadcast_like(arr, like_arr):
    """Broadcasts an array, by NumPy's rules, to the shape of another one."""
    arr, shape = as_operand(arr), typeof(like_arr).shape
    return broadcast_in_dim(arr, shape, tuple(range(len(shape) - arr.ndim, len(shape))))


def shape_as_value(shape):
    """A shape as a 1D integer array."""
    return np.array(canonicalize_shape(shape), dtype=np.int32)


# ---- reshape


def _reshape_abstract(x, new_sizes, dimensions, sharding=None):
    check_not_negative("reshape", "new_sizes", new_sizes, TypeError)
    if prod(new_sizes) != x.size:
        raise TypeError(f"reshape: new_sizes={new_sizes} has {prod(new_sizes)} elements, shape {x.shape} has {x.size}")
    if dimensions is not None and sorted(dimensions) != list(range(x.ndim)):
        raise TypeError(f"reshape: dimensions={dimensions} must name each axis of shape {x.shape} once")
    return with_shape(x, new_sizes)


def _reshape_lower(ctx, x, new_sizes, dimensions, sharding=None):
    aval = ctx.avals_in[0]
    if dimensions is not None:
        moved = with_shape(aval, tuple(aval.shape[d] for d in dimensions))
        x = ctx.op(f"stablehlo.transpose {x}, dims = {list(dimensions)} : ({aval.mlir}) -> {moved.mlir}")
        aval = moved
    return ctx.op(f"stablehlo.reshape {x} : ({aval.mlir}) -> {ctx.avals_out[0].mlir}")


def _reshape_transpose(ct, x, new_sizes, dimensions, sharding=None):
    shape = x.aval.shape
    if dimensions is None:
        return [lax.reshape(ct, shape)]
    return [lax.transpose(lax.reshape(ct, tuple(shape[d] for d in dimensions)), inverse_permutation(dimensions))]


def _reshape_batch(args, dims, new_sizes, dimensions, sharding=None):
    x = move_axis(args[0], dims[0], 0)
    if dimensions is not None:
        dimensions = (0, *(d + 1 for d in dimensions))
    return lax.reshape(x, (x.shape[0], *new_sizes), dimensions), 0


reshape_p = Primitive(
    "reshape",
    abstract=_reshape_abstract,
    lower=_reshape_lower,
    linear=True,
    transpose=_reshape_transpose,
    batch=_reshape_batch,
    host=True,
)


def reshape(operand, new_sizes, dimensions=None, *, out_sharding=None):
    """The same elements in another shape, in row-major order, or in the order of a permutation of the dimensions.

    TypeError if the number of elements changes; -1 is not inferred here (numpy.reshape does).

    >>> from cyxla import lax
    >>> lax.reshape(lax.iota("int32", 4), (2, 2))
    Array([[0, 1],
           [2, 3]], dtype=int32)
    """
    if not isinstance(operand, Array):
        operand = as_operand(operand)
    try:
        new_sizes = tuple(map(index, new_sizes))
    except TypeError:
        new_sizes = canonicalize_shape(new_sizes)
    if dimensions is not None:
        dimensions = canonicalize_shape(dimensions)
        if dimensions == tuple(range(operand.ndim)):
            dimensions = None
    if dimensions is None and operand.shape == new_sizes:
        return operand
    return reshape_p.bind(operand, new_sizes=new_sizes, dimensions=dimensions, sharding=out_sharding)


def collapse(operand, start_dimension, stop_dimension=None):
    """Joins the dimensions from `start_dimension` up to (not including) `stop_dimension` into one.

    The bounds are those of a Python slice of the shape. ValueError for an empty range that runs backwards.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.collapse(np.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    operand = as_operand(operand)
    low, high, _ = slice(start_dimension, stop_dimension).indices(operand.ndim)
    if high < low:
        raise ValueError(f"collapse: the dimensions from {low} to {high} are no range of axes of shape {operand.shape}")
    shape = operand.shape
    return reshape(operand, (*shape[:low], prod(shape[low:high]), *shape[high:]))


# ---- transpose


def inverse_permutation(permutation):
    out = [0] * len(permutation)
    for i, p in enumerate(permutation):
        out[p] = i
    return tuple(out)


def _transpose_abstract(x, permutation):
    if sorted(permutation) != list(range(x.ndim)):
        raise TypeError(f"transpose: permutation={permutation} must name each axis of shape {x.shape} once")
    shape = x.shape
    return with_shape(x, tuple(shape[p] for p in permutation))


def _transpose_batch(args, dims, permutation):
    d = dims[0]
    return lax.transpose(args[0], (d, *(p + (p >= d) for p in permutation))), 0


transpose_p = Primitive(
    "transpose",
    abstract=_transpose_abstract,
    lower=lambda ctx, x, permutation: ctx.op(
        f"stablehlo.transpose {x}, dims = {list(permutation)} : ({ctx.avals_in[0].mlir}) -> {ctx.avals_out[0].mlir}"
    ),
    linear=True,
    transpose=lambda ct, x, permutation: [lax.transpose(ct, inverse_permutation(permutation))],
    batch=_transpose_batch,
    host=True,
)


def transpose(operand, permutation):
    """Permutes the dimensions: dimension i of the result is `permutation[i]` of the operand.

    TypeError for what is not a permutation of the dimensions.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.transpose(np.zeros((2, 3)), (1, 0)).shape
    (3, 2)
    """
    if not isinstance(operand, Array):
        operand = as_operand(operand)
    permutation = int_tuple(permutation)
    if permutation == tuple(range(operand.ndim)):
        return operand
    return transpose_p.bind(operand, permutation=permutation)


# ---- squeeze and expand_dims


def _squeeze_abstract(x, dimensions):
    shape = x.shape
    check_axes("squeeze", "dimensions", dimensions, x.shape)
    if any(shape[d] != 1 for d in dimensions):
        raise ValueError(f"squeeze: only axes of size 1 can go, got dimensions={dimensions} for shape {shape}")
    return with_shape(x, tuple(n for d, n in enumerate(shape) if d not in dimensions))


def _squeeze_batch(args, dims, dimensions):
    d = dims[0]
    moved = tuple(i + (i >= d) for i in dimensions)
    return squeeze_p.bind(args[0], dimensions=moved), d - sum(i < d for i in moved)


squeeze_p = Primitive(
    "squeeze",
    abstract=_squeeze_abstract,
    lower=lambda ctx, x, dimensions: ctx.op(
        f"stablehlo.reshape {x} : ({ctx.avals_in[0].mlir}) -> {ctx.avals_out[0].mlir}"
    ),
    linear=True,
    transpose=lambda ct, x, dimensions: [lax.reshape(ct, x.aval.shape)],
    batch=_squeeze_batch,
    host=True,
)


def squeeze(array, dimensions):
    """Drops dimensions, which must have size 1 (ValueError otherwise).

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.squeeze(np.zeros((1, 3)), (0,)).shape
    (3,)
    """
    if not isinstance(array, Array):
        array = as_operand(array)
    dimensions = canonicalize_axes(dimensions, array.ndim)
    if not dimensions:
        return array
    return squeeze_p.bind(array, dimensions=dimensions)


@cached("shapes with axes of size 1", 1024)
def _expanded(shape, dimensions):
    """The shape with dimensions of size 1 added, and where the others are in it."""
    ndim = len(shape) + len(dimensions)
    added = {canonicalize_axis(d, ndim) for d in dimensions}
    if len(added) != len(dimensions):
        raise ValueError(f"expand_dims: dimensions={dimensions} names an axis twice")
    sizes = iter(shape)
    expanded = tuple(1 if d in added else next(sizes) for d in range(ndim))
    return expanded, tuple(d for d in range(ndim) if d not in added)


def expand_dims(array, dimensions):
    """Adds dimensions of size 1 that then have the given positions (ValueError for repeated or impossible ones).

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.expand_dims(np.zeros((2, 3)), (0, -1)).shape
    (1, 2, 3, 1)
    """
    if not isinstance(array, Array):
        array = as_operand(array)
    if isinstance(dimensions, int):
        dimensions = (dimensions,)
    if not dimensions:
        return array
    shape, kept = _expanded(array.shape, tuple(dimensions))
    return broadcast_in_dim_p.bind(array, shape=shape, broadcast_dimensions=kept, sharding=None)


# ---- rev


def _rev_abstract(x, dimensions):
    check_axes("rev", "dimensions", dimensions, x.shape, TypeError)
    return x


rev_p = Primitive(
    "rev",
    abstract=_rev_abstract,
    lower=lambda ctx, x, dimensions: ctx.op(
        f"stablehlo.reverse {x}, dims = {list(dimensions)} : {ctx.avals_out[0].mlir}"
    ),
    linear=True,
    transpose=lambda ct, x, dimensions: [lax.rev(ct, dimensions)],
    batch=lambda args, dims, dimensions: (
        rev_p.bind(args[0], dimensions=tuple(d + (d >= dims[0]) for d in dimensions)),
        dims[0],
    ),
    host=True,
)


def rev(operand, dimensions):
    """Reverses the order of the elements along dimensions.

    >>> from cyxla import lax
    >>> lax.rev(lax.iota("int32", 3), (0,))
    Array([2, 1, 0], dtype=int32)
    """
    return rev_p.bind(operand, dimensions=int_tuple(dimensions))
