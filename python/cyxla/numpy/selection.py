"""Picking elements by index and putting them back: take, choose, select, put and their relatives."""

import functools
import math
import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, ArrayImpl, asarray

from . import ufuncs
from .axes import broadcast, broadcast_shapes, canonical_axis
from .creation import array
from .elementwise import select as _select
from .promotion import common_dtype, convert, default_int, kind, like, no_out, promote, requested_dtype
from .shape import ravel, reshape

_MODES = {
    None: lax.GatherScatterMode.FILL_OR_DROP,
    "fill": lax.GatherScatterMode.FILL_OR_DROP,
    "clip": lax.GatherScatterMode.CLIP,
    "promise_in_bounds": lax.GatherScatterMode.PROMISE_IN_BOUNDS,
}


def _index_array(indices, name):
    indices = asarray(indices) if not isinstance(indices, (list, tuple)) else array(indices)
    if kind(indices.dtype) not in "iu":
        raise ValueError(f"{name} indices must be of integer type, got {indices.dtype}")
    return indices


def wrapped(indices, length):
    """Indices with negative ones counted from the end."""
    if kind(indices.dtype) == "u":
        return indices
    if isinstance(indices, ArrayImpl) and indices.size and np.asarray(indices).min() >= 0:
        return indices
    length = np.asarray(length).astype(indices.dtype)
    return _select(lax.lt(indices, np.zeros((), indices.dtype)), indices + length, indices)


def take(
    a,
    indices,
    axis=None,
    out=None,
    mode=None,
    unique_indices=False,
    indices_are_sorted=False,
    fill_value=None,
):
    """The slices of ``a`` at ``indices`` along ``axis`` (elements of the flattened array for None).

    Indices out of bounds give NaN or the lowest integer with mode "fill" (the default), the nearest slice with "clip",
    and count modulo the length with "wrap"; "promise_in_bounds" leaves them undefined. Mode "raise" is not available.

    >>> import cyxla.numpy as jnp
    >>> jnp.take(jnp.array([10, 20, 30]), jnp.array([2, 0]))
    Array([30, 10], dtype=int32)
    """
    no_out(out, "take")
    if mode == "raise":
        raise NotImplementedError(
            "take: compiled code cannot raise, so mode='raise' is not available; use 'clip', 'wrap' or 'fill'"
        )
    if mode not in _MODES and mode != "wrap":
        raise ValueError(f"Invalid mode {mode!r} for np.take")
    x = asarray(a)
    if axis is None:
        x = ravel(x)
        axis = 0
    else:
        axis = canonical_axis(axis, x.ndim)
    indices = _index_array(indices, "take")
    length = x.shape[axis]
    if mode == "wrap":
        from .elementwise import remainder

        indices = remainder(indices, np.asarray(length).astype(indices.dtype))
        mode = "promise_in_bounds"
    elif mode != "promise_in_bounds" or mode is None:
        indices = wrapped(indices, length) if mode != "clip" else indices
    return gather_axis(x, indices, axis, _MODES[mode], unique_indices, indices_are_sorted, fill_value)


@functools.lru_cache(maxsize=256)
def _slices_along(axis, ndim, rank):
    return lax.GatherDimensionNumbers(
        offset_dims=(*range(axis), *range(axis + rank, ndim + rank - 1)),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
    )


def gather_axis(x, indices, axis, mode, unique_indices=False, indices_are_sorted=False, fill_value=None):
    """Whole slices of ``x`` along one axis, at an array of indices of any rank."""
    rank = indices.ndim
    dimensions = _slices_along(axis, x.ndim, rank)
    sizes = x.shape[:axis] + (1,) + x.shape[axis + 1 :]
    return lax.gather(
        x,
        lax.expand_dims(indices, (rank,)),
        dimensions,
        sizes,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=mode,
        fill_value=fill_value,
    )


def take_along_axis(arr, indices, axis=-1, mode=None, fill_value=None, *, wrap_negative_indices=None):
    """For each vector of ``arr`` along ``axis``, the elements at the vector of ``indices`` beside it.

    The other axes broadcast. ``mode`` is as for ``take``.
    """
    x = asarray(arr)
    indices = asarray(indices)
    if kind(indices.dtype) not in "iu":
        raise TypeError(f"take_along_axis indices must be of integer type, got {indices.dtype}")
    if axis is None:
        if indices.ndim != 1:
            raise ValueError(f"take_along_axis indices must be 1D if axis=None, got shape {indices.shape}")
        x = ravel(x)
        axis = 0
    if x.ndim != indices.ndim:
        raise ValueError(f"indices and arr must have the same number of dimensions; {indices.ndim} vs. {x.ndim}")
    axis = canonical_axis(axis, x.ndim)
    if isinstance(mode, str) or mode is None:
        if mode not in _MODES:
            raise ValueError(f"Invalid mode {mode!r} for take_along_axis")
        mode = _MODES[mode]
    length = x.shape[axis]
    if wrap_negative_indices is None:
        wrap_negative_indices = mode is not lax.GatherScatterMode.PROMISE_IN_BOUNDS
    if wrap_negative_indices:
        indices = wrapped(indices, length)
    batch = broadcast_shapes(
        x.shape[:axis] + (1,) + x.shape[axis + 1 :], indices.shape[:axis] + (1,) + indices.shape[axis + 1 :]
    )
    x = broadcast(x, batch[:axis] + (length,) + batch[axis + 1 :])
    indices = broadcast(indices, batch[:axis] + (indices.shape[axis],) + batch[axis + 1 :])
    if 0 in batch:
        return lax.full(indices.shape, 0, x.dtype)
    others = tuple([i for i in range(x.ndim) if i != axis])
    dimensions = lax.GatherDimensionNumbers(
        offset_dims=(),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=others,
        start_indices_batching_dims=others,
    )
    return lax.gather(
        x, lax.expand_dims(indices, (x.ndim,)), dimensions, (1,) * x.ndim, mode=mode, fill_value=fill_value
    )


def choose(a, choices, out=None, mode="raise"):
    """At each position the element of the array among ``choices`` that the integer in ``a`` names.

    ``mode`` says what to do with integers out of range: "wrap", "clip", or "raise" (an error; concrete ``a`` only).
    """
    no_out(out, "choose")
    index = asarray(a)
    if kind(index.dtype) not in "iu":
        raise ValueError("`a` array must be integer typed")
    choices = list(choices) if not isinstance(choices, Array) else _rows(choices)
    n = len(choices)
    if mode == "raise":
        if not isinstance(index, ArrayImpl):
            np.asarray(index)
        values = np.asarray(index)
        if ((values < 0) | (values >= n)).any():
            raise ValueError("invalid entry in choice array")
    elif mode == "wrap":
        from .elementwise import remainder

        index = remainder(index, n)
    elif mode == "clip":
        index = ufuncs.minimum(ufuncs.maximum(index, 0), n - 1)
    else:
        raise ValueError(f"mode={mode!r} not understood. Must be 'raise', 'wrap', or 'clip'")
    choices = promote(*choices)
    shape = broadcast_shapes(index.shape, *[c.shape for c in choices])
    index = broadcast(index, shape)
    stacked = lax.concatenate([lax.expand_dims(broadcast(c, shape), (0,)) for c in choices], 0)
    return lax.squeeze(take_along_axis(stacked, lax.expand_dims(index, (0,)), 0), (0,))


def _rows(x):
    from .joining import unstack

    return list(unstack(x))


def select(condlist, choicelist, default=0):
    """At each position the element of the first array of ``choicelist`` whose condition holds, else ``default``.

    Raises ValueError where the lists are empty or of unequal length.
    """
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"condlist must have length equal to choicelist, got lengths {len(condlist)} and {len(choicelist)}"
        )
    if len(condlist) == 0:
        raise ValueError("condlist must be non-empty")
    conditions = [_truth(condition) for condition in condlist]
    *choices, result = promote(*choicelist, default)
    shape = broadcast_shapes(*[c.shape for c in conditions], *[c.shape for c in choices], result.shape)
    result = broadcast(result, shape)
    for condition, choice in zip(conditions[::-1], choices[::-1]):
        result = lax.select_n(broadcast(condition, shape), result, broadcast(choice, shape))
    return result


def _truth(x):
    x = asarray(x)
    return x if kind(x.dtype) == "b" else ufuncs.not_equal(x, 0)


# Functional forms of NumPy's in-place functions.


def _functional(name, inplace):
    if inplace:
        raise ValueError(
            f"jax.numpy.{name} cannot modify arrays in-place, because arrays are immutable. Pass inplace=False to "
            "instead return an updated array."
        )


def put(a, ind, v, mode=None, *, inplace=True):
    """``a`` with the elements at flat indices ``ind`` replaced by ``v`` (repeated as needed); needs inplace=False."""
    _functional("put", inplace)
    x = asarray(a)
    index, values = ravel(array(ind, copy=False)), ravel(array(v, copy=False))
    if index.size == 0 or values.size == 0:
        return x
    if index.size != values.size:
        from .shape import resize

        values = resize(values, (index.size,))
    if mode == "clip":
        index = ufuncs.minimum(ufuncs.maximum(index, 0), x.size - 1)
    elif mode == "wrap":
        from .elementwise import remainder

        index = remainder(index, x.size)
    elif mode is not None:
        raise ValueError(f"mode should be one of 'wrap' or 'clip'; got {mode=}")
    return reshape(ravel(x).at[index].set(values, mode="clip"), x.shape)


def place(arr, mask, vals, *, inplace=True):
    """``arr`` with the elements where ``mask`` holds replaced by ``vals`` in turn; needs inplace=False."""
    _functional("place", inplace)
    x = asarray(arr)
    mask = asarray(mask) if not isinstance(mask, list) else array(mask)
    values = ravel(array(vals, copy=False))
    if x.size != mask.size:
        raise ValueError("place: arr and mask must be the same size")
    if not values.size:
        raise ValueError("Cannot place values from an empty array")
    if not x.size:
        return x
    from .reductions import _mask
    from .shape import resize

    chosen = ravel(_mask(mask))
    rank = lax.cumsum(convert(chosen, default_int())) - 1
    values = resize(values, (x.size,))
    replaced = take(convert(values, x.dtype), rank, mode="clip")
    return reshape(lax.select_n(chosen, ravel(x), replaced), x.shape)


def put_along_axis(arr, indices, values, axis, inplace=True, *, mode=None):
    """``arr`` with values put where ``take_along_axis`` would take them; needs inplace=False."""
    _functional("put_along_axis", inplace)
    x = asarray(arr)
    indices = asarray(indices)
    if kind(indices.dtype) not in "iu":
        raise TypeError(f"put_along_axis indices must be of integer type, got {indices.dtype}")
    original = x.shape
    if axis is None:
        x = ravel(x)
        axis = 0
    if x.ndim != indices.ndim:
        raise ValueError(
            f"put_along_axis arguments `arr` and `indices` must have same ndim. Got {x.ndim} and {indices.ndim}."
        )
    axis = canonical_axis(axis, x.ndim)
    target = x.shape[:axis] + (indices.shape[axis],) + x.shape[axis + 1 :]
    indices = broadcast(indices, target)
    values = broadcast(convert(array(values, copy=False), x.dtype), target)
    grid = [
        indices
        if i == axis
        else lax.broadcasted_iota(default_int(), tuple([n if i == j else 1 for j in range(x.ndim)]), i)
        for i, n in enumerate(x.shape)
    ]
    return reshape(x.at[tuple(grid)].set(values, mode=mode), original)


# Indices.


def ravel_multi_index(multi_index, dims, mode="raise", order="C", *, dtype=None):
    """The flat index of a position given by one array of indices for each axis.

    ``mode`` says what to do with indices out of range: "raise" (concrete indices only), "wrap" or "clip".
    """
    if len(multi_index) != len(dims):
        raise ValueError(f"len(multi_index)={len(multi_index)} != len(dims)={len(dims)}")
    dims = tuple([operator.index(n) for n in dims])
    index = [asarray(i) if not isinstance(i, (list, tuple)) else array(i) for i in multi_index]
    for i in index:
        if kind(i.dtype) not in "iu":
            raise TypeError("only int indices permitted")
    if mode == "raise":
        for i, n in zip(index, dims):
            values = np.asarray(i)
            if ((values < 0) | (values >= n)).any():
                raise ValueError("invalid entry in coordinates array")
    elif mode == "clip":
        index = [ufuncs.minimum(ufuncs.maximum(i, 0), n - 1) for i, n in zip(index, dims)]
    elif mode == "wrap":
        from .elementwise import remainder

        index = [remainder(i, n) for i, n in zip(index, dims)]
    else:
        raise ValueError(f"invalid mode={mode!r}. Expected 'raise', 'wrap', or 'clip'")
    if order not in ("C", "F"):
        raise ValueError(f"invalid order={order!r}. Expected 'C' or 'F'")
    integer = common_dtype(*index)[0] if dtype is None else requested_dtype(dtype)
    result = convert(0, integer)
    for axis, i in enumerate(index):
        stride = math.prod(dims[axis + 1 :]) if order == "C" else math.prod(dims[:axis])
        result = result + convert(i, integer) * stride
    return result


def unravel_index(indices, shape):
    """For flat indices into an array of the given shape, one array of indices for each axis.

    Indices out of range are clipped.
    """
    index = asarray(indices) if not isinstance(indices, (list, tuple)) else array(indices)
    if kind(index.dtype) not in "iu":
        raise TypeError("only int indices permitted")
    dims = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    dims = tuple([operator.index(n) for n in dims])
    total = math.prod(dims)
    index = wrapped_and_clipped(index, total)
    result = []
    for axis, n in enumerate(dims):
        stride = like(math.prod(dims[axis + 1 :]), index)
        result.append(lax.rem(lax.div(index, stride), like(max(n, 1), index)))
    return tuple(result)


def wrapped_and_clipped(index, total):
    if kind(index.dtype) == "i":
        index = _select(lax.lt(index, like(0, index)), index + like(total, index), index)
    return ufuncs.minimum(ufuncs.maximum(index, 0), max(total - 1, 0))


def ix_(*args):
    """Arrays that index the grid spanned by vectors of indices (or masks)."""
    n = len(args)
    result = []
    for i, a in enumerate(args):
        a = asarray(a) if not isinstance(a, (list, tuple)) else array(a)
        if a.ndim != 1:
            raise ValueError(f"Arguments to jax.numpy.ix_ must be 1-dimensional, got shape {a.shape}")
        if kind(a.dtype) == "b":
            raise NotImplementedError(
                "ix_: boolean masks are not available; give the indices, for example by jnp.nonzero(mask)"
            )
        shape = [1] * n
        shape[i] = a.shape[0]
        result.append(lax.reshape(a, tuple(shape)) if a.size else lax.full(tuple(shape), 0, default_int()))
    return tuple(result)
