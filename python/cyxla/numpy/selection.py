"""Picking elements by index and putting them back: take, choose, select, put and their relatives."""

import math
import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, ArrayImpl, asarray
from cyxla._engine.caches import cached
from cyxla.lax._util import check_choice, check_kind, check_rank

from . import ufuncs
from .axes import broadcast, broadcast_shapes, canonical_axis
from .creation import array
from .elementwise import select as _select
from .promotion import common_dtype, convert, default_int, kind, like, no_inplace, no_out, promote, requested_dtype
from .shape import ravel, reshape

_MODES = {
    None: lax.GatherScatterMode.FILL_OR_DROP,
    "fill": lax.GatherScatterMode.FILL_OR_DROP,
    "clip": lax.GatherScatterMode.CLIP,
    "promise_in_bounds": lax.GatherScatterMode.PROMISE_IN_BOUNDS,
}


def _index_array(indices, name):
    indices = asarray(indices) if not isinstance(indices, (list, tuple)) else array(indices)
    check_kind(name, indices.aval, "iu", "the indices", ValueError)
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
    check_choice("take", "mode", mode, (*_MODES, "wrap"))
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


@cached("slices along an axis", 256)
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
    check_kind("take_along_axis", indices.aval, "iu", "the indices")
    if axis is None:
        check_rank("take_along_axis", "indices", indices, 1, 1)
        x = ravel(x)
        axis = 0
    if x.ndim != indices.ndim:
        raise ValueError(f"take_along_axis: indices need as many axes as arr, got shapes {indices.shape} and {x.shape}")
    axis = canonical_axis(axis, x.ndim)
    if isinstance(mode, str) or mode is None:
        check_choice("take_along_axis", "mode", mode, _MODES)
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
    check_kind("choose", index.aval, "iu", "a", ValueError)
    choices = list(choices) if not isinstance(choices, Array) else _rows(choices)
    n = len(choices)
    if mode == "raise":
        if not isinstance(index, ArrayImpl):
            np.asarray(index)
        values = np.asarray(index)
        if ((values < 0) | (values >= n)).any():
            raise ValueError(
                f"choose: a must index the {n} choices, but holds other numbers; give mode='wrap' or 'clip'"
            )
    elif mode == "wrap":
        from .elementwise import remainder

        index = remainder(index, n)
    elif mode == "clip":
        index = ufuncs.minimum(ufuncs.maximum(index, 0), n - 1)
    else:
        raise ValueError(f"choose: mode={mode!r} is unknown; choose one of 'raise', 'wrap', 'clip'")
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
        raise ValueError(f"select: each condition needs a choice, got {len(condlist)} and {len(choicelist)}")
    if len(condlist) == 0:
        raise ValueError("select: condlist is empty; one condition at least is needed")
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


def put(a, ind, v, mode=None, *, inplace=True):
    """``a`` with the elements at flat indices ``ind`` replaced by ``v`` (repeated as needed); needs inplace=False."""
    no_inplace(inplace, "put")
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
        raise ValueError(f"put: mode={mode!r} is unknown; choose one of 'wrap', 'clip'")
    return reshape(ravel(x).at[index].set(values, mode="clip"), x.shape)


def place(arr, mask, vals, *, inplace=True):
    """``arr`` with the elements where ``mask`` holds replaced by ``vals`` in turn; needs inplace=False."""
    no_inplace(inplace, "place")
    x = asarray(arr)
    mask = asarray(mask) if not isinstance(mask, list) else array(mask)
    values = ravel(array(vals, copy=False))
    if x.size != mask.size:
        raise ValueError(f"place: arr and mask must hold equally many elements, got {x.size} and {mask.size}")
    if not values.size:
        raise ValueError("place: vals is empty, so there is nothing to write")
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
    no_inplace(inplace, "put_along_axis")
    x = asarray(arr)
    indices = asarray(indices)
    check_kind("put_along_axis", indices.aval, "iu", "the indices")
    original = x.shape
    if axis is None:
        x = ravel(x)
        axis = 0
    if x.ndim != indices.ndim:
        raise ValueError(f"put_along_axis: indices need as many axes as arr, got shapes {indices.shape} and {x.shape}")
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
        raise ValueError(
            f"ravel_multi_index: each of the {len(dims)} dimensions needs an index array, got {len(multi_index)}"
        )
    dims = tuple([operator.index(n) for n in dims])
    index = [asarray(i) if not isinstance(i, (list, tuple)) else array(i) for i in multi_index]
    for i in index:
        check_kind("ravel_multi_index", i.aval, "iu", "an index array")
    if mode == "raise":
        for i, n in zip(index, dims):
            values = np.asarray(i)
            if ((values < 0) | (values >= n)).any():
                raise ValueError(
                    f"ravel_multi_index: indices must lie in dims={dims}; give mode='wrap' or 'clip' for others"
                )
    elif mode == "clip":
        index = [ufuncs.minimum(ufuncs.maximum(i, 0), n - 1) for i, n in zip(index, dims)]
    elif mode == "wrap":
        from .elementwise import remainder

        index = [remainder(i, n) for i, n in zip(index, dims)]
    else:
        raise ValueError(f"ravel_multi_index: mode={mode!r} is unknown; choose one of 'raise', 'wrap', 'clip'")
    check_choice("ravel_multi_index", "order", order, ("C", "F"))
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
    check_kind("unravel_index", index.aval, "iu", "the indices")
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
        check_rank("ix_", "an argument", a, 1, 1)
        if kind(a.dtype) == "b":
            raise NotImplementedError(
                "ix_: boolean masks are not available; give the indices, for example by jnp.nonzero(mask)"
            )
        shape = [1] * n
        shape[i] = a.shape[0]
        result.append(lax.reshape(a, tuple(shape)) if a.size else lax.full(tuple(shape), 0, default_int()))
    return tuple(result)
