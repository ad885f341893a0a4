"""Static and dynamic slices, and their updates.

``slice`` has static bounds. ``dynamic_slice`` and ``dynamic_update_slice`` take their start indices as operands and
clamp them, so that the window always lies inside the array. Under ``vmap`` over the indices they become a gather and a
scatter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla._engine.aval import int_tuple, integer
from cyxla._engine.caches import cached
from cyxla._engine.core import Primitive, UndefinedPrimal, Zero
from cyxla._engine.dtypes import canonicalize_code, code_dtype, dtype_code
from cyxla.lax._util import (
    as_operand,
    batch_size,
    check_same_dtype,
    kind_of,
    move_axis,
    scalar_like,
    short,
    to_front,
    with_shape,
    zeros_of,
)

__all__ = [
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_slice_p",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "dynamic_update_slice_p",
    "index_in_dim",
    "slice",
    "slice_in_dim",
    "slice_p",
]


def instantiate(tangent) -> Array:
    """The tangent itself, or an array of zeros for a symbolic zero."""
    return zeros_of(tangent.aval) if isinstance(tangent, Zero) else tangent


# slice ---------------------------------------------------------------------------------------------------------------


def _static_ints(values, name: str, rank: int, shape) -> None:
    if len(values) != rank:
        raise TypeError(
            f"slice: {name} needs one entry for each of the operand's {rank} dimensions, got {name}={tuple(values)} "
            f"for operand shape {shape}"
        )
    for value in values:
        if type(value) is not int and not isinstance(value, (int, np.integer)):
            raise TypeError(
                f"slice: {name} must hold static integers, got {tuple(values)} with an entry of type "
                f"{type(value).__name__}; use dynamic_slice for traced start indices"
            )


def _slice_abstract(operand, *, start_indices, limit_indices, strides):
    shape = operand.shape
    rank = len(shape)
    _static_ints(start_indices, "start_indices", rank, shape)
    _static_ints(limit_indices, "limit_indices", rank, shape)
    if strides is not None:
        _static_ints(strides, "strides", rank, shape)
    out = []
    for axis in range(rank):
        start, limit = start_indices[axis], limit_indices[axis]
        stride = 1 if strides is None else strides[axis]
        if start < 0:
            raise TypeError(f"slice: start_indices={start_indices} must not be negative; indices count from the front")
        if limit > shape[axis]:
            raise TypeError(f"slice: limit_indices={limit_indices} goes beyond the operand, whose shape is {shape}")
        if limit < start:
            raise TypeError(f"slice: limit_indices={limit_indices} comes before start_indices={start_indices}")
        if stride <= 0:
            raise TypeError(f"slice: strides={strides}; strides of 1 or more are needed (lax.rev reverses)")
        out.append((limit - start + stride - 1) // stride)
    return with_shape(operand, tuple(out))


def _slice_lower(ctx, x, *, start_indices, limit_indices, strides):
    if strides is None:
        bounds = ", ".join(f"{a}:{b}" for a, b in zip(start_indices, limit_indices))
    else:
        bounds = ", ".join(
            f"{a}:{b}" if s == 1 else f"{a}:{b}:{s}" for a, b, s in zip(start_indices, limit_indices, strides)
        )
    return ctx.op(f"stablehlo.slice {x} [{bounds}] : ({ctx.avals_in[0].mlir}) -> {ctx.avals_out[0].mlir}")


def _slice_transpose(ct, operand, *, start_indices, limit_indices, strides):
    shape = operand.aval.shape
    strides = strides or (1,) * len(shape)
    config = []
    for start, stride, size, n in zip(start_indices, strides, shape, ct.shape):
        covered = start + (n - 1) * stride + 1 if n else start
        config.append((start, size - covered, stride - 1))
    return [lax.pad(ct, scalar_like(ct, 0), tuple(config))]


def _slice_batch(args, dims, *, start_indices, limit_indices, strides):
    (x,), (dim,) = args, dims

    def insert(values, value):
        return values[:dim] + (value,) + values[dim:]

    out = slice_p.bind(
        x,
        start_indices=insert(start_indices, 0),
        limit_indices=insert(limit_indices, x.shape[dim]),
        strides=None if strides is None else insert(strides, 1),
    )
    return out, dim


slice_p = Primitive(
    "slice",
    abstract=_slice_abstract,
    lower=_slice_lower,
    linear=True,
    transpose=_slice_transpose,
    batch=_slice_batch,
    host=True,
)


def slice(
    operand, start_indices: Sequence[int], limit_indices: Sequence[int], strides: Sequence[int] | None = None
) -> Array:
    """The elements from ``start_indices`` up to ``limit_indices`` in steps of ``strides``, all static and in bounds.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.slice(jnp.arange(6), (1,), (6,), (2,))
    Array([1, 3, 5], dtype=int32)
    """
    return slice_p.bind(
        as_operand(operand),
        start_indices=tuple(start_indices),
        limit_indices=tuple(limit_indices),
        strides=None if strides is None else tuple(strides),
    )


def _axis(axis: int, rank: int) -> int:
    axis = integer(axis)
    if not -rank <= axis < rank:
        raise IndexError(f"axis {axis} does not exist in an array of {rank} axes")
    return axis % rank


def slice_in_dim(operand, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0) -> Array:
    """Static slice along one axis, with Python's rules for negative and missing bounds.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.slice_in_dim(jnp.arange(6), -4, None, 2)
    Array([2, 4], dtype=int32)
    """
    operand = as_operand(operand)
    shape = operand.shape
    axis = _axis(axis, len(shape))
    size = shape[axis]
    start = 0 if start_index is None else integer(start_index)
    limit = size if limit_index is None else integer(limit_index)
    starts = [0] * len(shape)
    limits = list(shape)
    strides = [1] * len(shape)
    starts[axis] = start + size if start < 0 else start
    limits[axis] = limit + size if limit < 0 else limit
    strides[axis] = integer(stride)
    return slice(operand, starts, limits, strides)


def index_in_dim(operand, index: int, axis: int = 0, keepdims: bool = True) -> Array:
    """The element at a static index along one axis. IndexError where it is out of bounds.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.index_in_dim(jnp.arange(6).reshape(2, 3), -1, axis=1, keepdims=False)
    Array([2, 5], dtype=int32)
    """
    operand = as_operand(operand)
    index = integer(index)
    axis = _axis(axis, operand.ndim)
    size = operand.shape[axis]
    if not -size <= index < size:
        raise IndexError(f"index_in_dim: index {index} is out of bounds, axis {axis} has size {size}")
    index %= size
    out = slice_in_dim(operand, index, index + 1, 1, axis)
    return out if keepdims else lax.squeeze(out, (axis,))


# dynamic_slice -------------------------------------------------------------------------------------------------------


def _check_start_indices(name: str, indices, shape) -> None:
    if len(indices) != len(shape):
        raise TypeError(
            f"{name}: one start index is needed for each dimension of the operand, got {len(indices)} for operand "
            f"shape {shape}"
        )
    if not indices:
        return
    code = indices[0].code
    if any(i.code != code for i in indices) or kind_of(indices[0]) not in "iu":
        found = ", ".join(str(i.dtype) for i in indices)
        raise TypeError(f"{name}: start indices need one integer dtype, theirs are {found}")
    if any(i.shape for i in indices):
        found = ", ".join(short(i) for i in indices)
        raise TypeError(f"{name}: each start index must be a scalar, got {found}")


def _dynamic_slice_abstract(operand, *indices, slice_sizes):
    shape = operand.shape
    if len(slice_sizes) != len(shape):
        raise TypeError(
            f"dynamic_slice: slice_sizes needs one entry for each dimension of the operand, got "
            f"slice_sizes={slice_sizes} for operand shape {shape}"
        )
    for size, n in zip(slice_sizes, shape):
        if size > n:
            raise TypeError(f"dynamic_slice: slice_sizes={slice_sizes} exceeds the operand, whose shape is {shape}")
        if size < 0:
            raise TypeError(f"dynamic_slice: slice_sizes={slice_sizes} is negative")
    _check_start_indices("dynamic_slice", indices, shape)
    return with_shape(operand, slice_sizes)


def _dynamic_slice_lower(ctx, x, *indices, slice_sizes):
    types = ", ".join(a.mlir for a in ctx.avals_in)
    operands = ", ".join((x, *indices))
    sizes = ", ".join(map(str, slice_sizes))
    return ctx.op(f"stablehlo.dynamic_slice {operands}, sizes = [{sizes}] : ({types}) -> {ctx.avals_out[0].mlir}")


def _dynamic_slice_jvp(primals, tangents, *, slice_sizes):
    out = dynamic_slice_p.bind(*primals, slice_sizes=slice_sizes)
    t = tangents[0]
    if isinstance(t, Zero):
        return out, Zero(with_shape(t.aval, slice_sizes))
    return out, dynamic_slice_p.bind(t, *primals[1:], slice_sizes=slice_sizes)


def _dynamic_slice_transpose(ct, operand, *indices, slice_sizes):
    return [dynamic_update_slice_p.bind(zeros_of(operand.aval), ct, *indices)] + [None] * len(indices)


def _stack_indices(indices, dims, size: int | None) -> Array:
    """Scalar indices (batched where their dim is 0) as one index vector in the last axis."""
    if size is None:
        return lax.concatenate([lax.broadcast_in_dim(i, (1,), ()) for i in indices], 0)
    columns = [lax.broadcast_in_dim(i, (size, 1), () if dim is None else (0,)) for i, dim in zip(indices, dims)]
    return lax.concatenate(columns, 1)


def _zero_index(indices) -> Array:
    return scalar_like(indices[0], 0) if indices else asarray(np.int32(0))


def _batch_axis_at(x, source: int | None, size: int, destination: int) -> Array:
    return move_axis(to_front(x, source, size), 0, destination) if source is None else move_axis(x, source, destination)


def _dynamic_slice_batch(args, dims, *, slice_sizes):
    x, *indices = args
    dim, *index_dims = dims
    if all(d is None for d in index_dims):
        indices.insert(dim, _zero_index(indices))
        sizes = slice_sizes[:dim] + (x.shape[dim],) + slice_sizes[dim:]
        return dynamic_slice_p.bind(x, *indices, slice_sizes=sizes), dim
    rank = len(slice_sizes)
    starts = _stack_indices(indices, index_dims, batch_size(indices, index_dims))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(rank)), collapsed_slice_dims=(), start_index_map=tuple(range(rank))
    )
    return lax.gather_p.batch(
        (x, starts),
        (dim, 0),
        dimension_numbers=numbers,
        slice_sizes=slice_sizes,
        indices_are_sorted=True,
        unique_indices=True,
        mode=lax.GatherScatterMode.CLIP,
        fill_value=None,
    )


dynamic_slice_p = Primitive(
    "dynamic_slice",
    abstract=_dynamic_slice_abstract,
    lower=_dynamic_slice_lower,
    jvp=_dynamic_slice_jvp,
    transpose=_dynamic_slice_transpose,
    batch=_dynamic_slice_batch,
    host=True,
)


def _start_indices(name: str, start_indices, shape, allow_negative_indices) -> list[Array]:
    """Start indices as scalars of one dtype, negative ones counted from the end where allowed."""
    rank = len(shape)
    if isinstance(start_indices, (Array, np.ndarray)):
        start_indices = as_operand(start_indices)
        if start_indices.ndim != 1:
            error = ValueError if start_indices.ndim else TypeError
            raise error(f"{name}: an array of start indices must be one-dimensional, got {start_indices.aval}")
        count = start_indices.shape[0]
        if count == rank:
            start_indices = [index_in_dim(start_indices, i, 0, keepdims=False) for i in range(rank)]
    else:
        if not isinstance(start_indices, Iterable):
            raise TypeError(
                f"{name}: start_indices must be an array or a sequence of integers, got {start_indices!r:.200}"
            )
        start_indices = tuple(start_indices)
        count = len(start_indices)
    if count != rank:
        raise ValueError(
            f"{name}: the number of start indices must match the number of operand dimensions, got {count} start "
            f"indices for operand shape {shape}"
        )
    if isinstance(allow_negative_indices, (bool, np.bool_)):
        allow_negative_indices = (bool(allow_negative_indices),) * rank
    elif len(allow_negative_indices) != rank:
        raise ValueError(
            f"{name}: allow_negative_indices needs one entry for each of the operand's {rank} dimensions, got "
            f"{allow_negative_indices}"
        )
    # Static indices take the dtype of the others, so that mixing them needs no conversion in the program.
    prepared = [i if type(i) is int else _prepare_index(i, size) for i, size in zip(start_indices, shape)]
    dtype = _common_index_dtype(prepared, shape)
    result = []
    for index, size, allow_negative in zip(prepared, shape, allow_negative_indices):
        if type(index) is int:
            value = index + size if index < 0 and allow_negative else index
            result.append(_static_index(value, dtype))
            continue
        if allow_negative and kind_of(index.aval) == "i" and not index.ndim:
            wrapped = lax.add(index, scalar_like(index, size))
            index = lax.select(lax.lt(index, scalar_like(index, 0)), wrapped, index)
        if index.dtype != dtype and kind_of(index.aval) in "iu":
            index = lax.convert_element_type(index, dtype)
        result.append(index)
    return result


def _prepare_index(index, size: int):
    """A Python int for static integers, an Array for the rest, of a dtype that can hold the size of the axis."""
    if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        return int(index)
    index = as_operand(index)
    if kind_of(index.aval) in "iu" and index.dtype.itemsize < 4 and size >= 1 << (8 * index.dtype.itemsize - 1):
        index = lax.convert_element_type(index, np.int32)
    return index


def _common_index_dtype(indices, shape):
    dtype = None
    for index in indices:
        if type(index) is int:
            continue
        if dtype is None or index.dtype == dtype:
            dtype = index.dtype
        elif kind_of(index.aval) in "iu":
            dtype = np.promote_types(dtype, index.dtype)
    if dtype is not None:
        return code_dtype(canonicalize_code(dtype_code(dtype)))
    return np.dtype(np.int64 if any(n >= 2**31 for n in shape) else np.int32)


@cached("indices of slices", 4096)
def _static_index(value: int, dtype) -> Array:
    """A static index as a scalar. It is brought into the dtype's range: indices are clamped anyway."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        value = min(max(value, info.min), info.max)
    return asarray(np.asarray(value, dtype))


def dynamic_slice(
    operand,
    start_indices,
    slice_sizes: Sequence[int],
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Array:
    """The window of static size ``slice_sizes`` at ``start_indices``, which may be traced.

    Start indices are clamped so that the window lies inside ``operand``. Negative ones count from the end of their
    axis, unless ``allow_negative_indices`` is false.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.dynamic_slice(jnp.arange(6), (4,), (3,))
    Array([3, 4, 5], dtype=int32)
    """
    operand = as_operand(operand)
    indices = _start_indices("dynamic_slice", start_indices, operand.shape, allow_negative_indices)
    return dynamic_slice_p.bind(operand, *indices, slice_sizes=int_tuple(slice_sizes))


def dynamic_slice_in_dim(
    operand, start_index, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Array:
    """``dynamic_slice`` along one axis, with the whole of every other axis."""
    operand = as_operand(operand)
    shape = operand.shape
    axis = _axis(axis, len(shape))
    starts = [0] * len(shape)
    starts[axis] = start_index
    sizes = list(shape)
    sizes[axis] = integer(slice_size)
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


def dynamic_index_in_dim(
    operand, index, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Array:
    """The element at a possibly traced index along one axis; the index is clamped.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.dynamic_index_in_dim(jnp.arange(6).reshape(2, 3), 1, keepdims=False)
    Array([3, 4, 5], dtype=int32)
    """
    operand = as_operand(operand)
    axis = _axis(axis, operand.ndim)
    out = dynamic_slice_in_dim(operand, index, 1, axis, allow_negative_indices=allow_negative_indices)
    return out if keepdims else lax.squeeze(out, (axis,))


# dynamic_update_slice ------------------------------------------------------------------------------------------------


def _dynamic_update_slice_abstract(operand, update, *indices):
    if operand.ndim != update.ndim:
        raise TypeError(
            f"dynamic_update_slice: update must have the operand's rank, got update shape {update.shape} for operand "
            f"shape {operand.shape}"
        )
    if any(u > n for u, n in zip(update.shape, operand.shape)):
        raise TypeError(
            f"dynamic_update_slice: update must not be larger than the operand, got update shape {update.shape} for "
            f"operand shape {operand.shape}"
        )
    check_same_dtype("dynamic_update_slice", (operand, update))
    _check_start_indices("dynamic_update_slice", indices, operand.shape)
    return operand


def _dynamic_update_slice_lower(ctx, *operands):
    types = ", ".join(a.mlir for a in ctx.avals_in)
    return ctx.op(f"stablehlo.dynamic_update_slice {', '.join(operands)} : ({types}) -> {ctx.avals_out[0].mlir}")


def _dynamic_update_slice_jvp(primals, tangents):
    out = dynamic_update_slice_p.bind(*primals)
    t_operand, t_update = tangents[:2]
    if isinstance(t_operand, Zero) and isinstance(t_update, Zero):
        return out, Zero(t_operand.aval)
    return out, dynamic_update_slice_p.bind(instantiate(t_operand), instantiate(t_update), *primals[2:])


def _dynamic_update_slice_transpose(ct, operand, update, *indices):
    ct_operand = ct_update = None
    if isinstance(operand, UndefinedPrimal):
        shape = update.aval.shape
        ct_operand = dynamic_update_slice_p.bind(ct, lax.full(shape, 0, ct.dtype), *indices)
    if isinstance(update, UndefinedPrimal):
        ct_update = dynamic_slice_p.bind(ct, *indices, slice_sizes=update.aval.shape)
    return [ct_operand, ct_update] + [None] * len(indices)


def _dynamic_update_slice_batch(args, dims):
    operand, update, *indices = args
    operand_dim, update_dim, *index_dims = dims
    size = batch_size(args, dims)
    if all(d is None for d in index_dims):
        dim = operand_dim if operand_dim is not None else 0
        operand = _batch_axis_at(operand, operand_dim, size, dim)
        update = _batch_axis_at(update, update_dim, size, dim)
        indices.insert(dim, _zero_index(indices))
        return dynamic_update_slice_p.bind(operand, update, *indices), dim
    rank = len(indices)
    starts = _stack_indices(indices, index_dims, size)
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=tuple(range(rank)), inserted_window_dims=(), scatter_dims_to_operand_dims=tuple(range(rank))
    )
    return lax.scatter_p.batch(
        (operand, starts, update),
        (operand_dim, 0, update_dim),
        dimension_numbers=numbers,
        indices_are_sorted=True,
        unique_indices=True,
        mode=lax.GatherScatterMode.CLIP,
        update_jaxpr=None,
        update_consts=(),
    )


dynamic_update_slice_p = Primitive(
    "dynamic_update_slice",
    abstract=_dynamic_update_slice_abstract,
    lower=_dynamic_update_slice_lower,
    jvp=_dynamic_update_slice_jvp,
    transpose=_dynamic_update_slice_transpose,
    batch=_dynamic_update_slice_batch,
    host=True,
)


def dynamic_update_slice(
    operand, update, start_indices, *, allow_negative_indices: bool | Sequence[bool] = True
) -> Array:
    """``operand`` with the window at ``start_indices`` replaced by ``update``, which has the same rank and dtype.

    Start indices are clamped so that the window lies inside ``operand``.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.dynamic_update_slice(jnp.zeros(5), jnp.ones(2), (3,))
    Array([0., 0., 0., 1., 1.], dtype=float32)
    """
    operand, update = as_operand(operand), as_operand(update)
    indices = _start_indices("dynamic_update_slice", start_indices, operand.shape, allow_negative_indices)
    return dynamic_update_slice_p.bind(operand, update, *indices)


def dynamic_update_slice_in_dim(
    operand, update, start_index, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """``dynamic_update_slice`` along one axis, from the start of every other axis."""
    operand = as_operand(operand)
    axis = _axis(axis, operand.ndim)
    starts = [0] * operand.ndim
    starts[axis] = start_index
    return dynamic_update_slice(operand, update, starts, allow_negative_indices=allow_negative_indices)


def dynamic_update_index_in_dim(operand, update, index, axis: int, *, allow_negative_indices: bool = True) -> Array:
    """``operand`` with one element along ``axis`` replaced; ``update`` may lack that axis or have it with size 1.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.dynamic_update_index_in_dim(jnp.zeros(3), 1.0, 1, axis=0)
    Array([0., 1., 0.], dtype=float32)
    """
    operand, update = as_operand(operand), as_operand(update)
    axis = _axis(axis, operand.ndim)
    if update.ndim != operand.ndim:
        if update.ndim + 1 != operand.ndim:
            raise TypeError(
                f"dynamic_update_index_in_dim: update must have the operand's rank or one less, got update shape "
                f"{update.shape} for operand shape {operand.shape}"
            )
        update = lax.expand_dims(update, (axis,))
    return dynamic_update_slice_in_dim(operand, update, index, axis, allow_negative_indices=allow_negative_indices)
