"""Joining arrays, cutting them into parts, repeating them, inserting and deleting elements."""

import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla._engine.ufunc import promote_operands
from cyxla.lax._util import check_not_negative, check_rank

from . import ufuncs
from .axes import broadcast, broadcast_shapes, canonical_axis
from .creation import array
from .elementwise import select
from .promotion import convert, default_int, no_out, promote, requested_dtype
from .shape import atleast_1d, atleast_2d, atleast_3d, moveaxis, ravel

_concatenate = lax.concatenate_p.bind
_stack = lax.stack_p.bind


def _operands(name, arrays, dtype=None):
    """The elements of a sequence (or the rows of an array) as Arrays of one dtype."""
    if dtype is None and arrays.__class__ in (list, tuple) and arrays:
        return promote_operands(tuple(arrays))
    if isinstance(arrays, (Array, np.ndarray)):
        arrays = list(arrays) if isinstance(arrays, np.ndarray) else unstack(arrays)
    elif not hasattr(arrays, "__iter__"):
        raise TypeError(
            f"{name}: give the arrays in a list or tuple, not {arrays!r:.100} of type {type(arrays).__name__}"
        )
    else:
        arrays = list(arrays)
    if not arrays:
        raise ValueError(f"{name}: no arrays were given; one at least is needed")
    if dtype is None:
        return promote(*arrays) if len(arrays) > 1 else [asarray(arrays[0])]
    dtype = requested_dtype(dtype)
    return [convert(x, dtype) for x in arrays]


def concatenate(arrays, axis=0, dtype=None):
    """Arrays joined along an axis that they have; ``axis=None`` flattens them first.

    Raises ValueError for an empty sequence or for scalars, TypeError where the other sizes differ.

    >>> import cyxla.numpy as jnp
    >>> jnp.concatenate([jnp.zeros((2, 3)), jnp.zeros((1, 3))]).shape
    (3, 3)
    """
    xs = _operands("concatenate", arrays, dtype)
    if axis is None:
        xs = [ravel(x) for x in xs]
        axis = 0
    ndim = xs[0].ndim
    if ndim == 0:
        raise ValueError("concatenate: scalars have no axis to join along; use stack")
    axis = canonical_axis(axis, ndim)
    return xs[0] if len(xs) == 1 else _concatenate(*xs, dimension=axis)


def concat(arrays, /, *, axis=0):
    """Arrays joined along an axis that they have; see ``concatenate``."""
    return concatenate(arrays, axis)


def stack(arrays, axis=0, out=None, dtype=None):
    """Arrays of one shape joined along a new axis.

    Raises ValueError where the shapes differ.

    >>> import cyxla.numpy as jnp
    >>> jnp.stack([jnp.zeros(3), jnp.ones(3)], axis=1).shape
    (3, 2)
    """
    no_out(out, "stack")
    xs = _operands("stack", arrays, dtype)
    shape = xs[0].shape
    if any(x.shape != shape for x in xs):
        raise ValueError(f"stack: arrays need one shape, theirs are {', '.join([str(x.shape) for x in xs])}")
    axis = canonical_axis(axis, len(shape) + 1)
    return _stack(*xs, axis=axis)


def unstack(x, /, *, axis=0):
    """The slices of ``x`` along ``axis``, as a tuple."""
    x = asarray(x)
    check_rank("unstack", "x", x, 1)
    axis = canonical_axis(axis, x.ndim)
    n = x.shape[axis]
    if n == 0:
        return ()
    return tuple([lax.squeeze(part, (axis,)) for part in lax.split(x, (1,) * n, axis)])


def vstack(tup, dtype=None):
    """Arrays (vectors as rows) joined along the first axis."""
    return concatenate(_at_least(tup, atleast_2d), 0, dtype)


def hstack(tup, dtype=None):
    """Arrays joined along the second axis, vectors along the first."""
    xs = _at_least(tup, atleast_1d)
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1, dtype)


def dstack(tup, dtype=None):
    """Arrays joined along the third axis."""
    return concatenate(_at_least(tup, atleast_3d), 2, dtype)


def _at_least(arrays, extend):
    if isinstance(arrays, Array):
        arrays = unstack(arrays)
    return [extend(x) for x in arrays]


def column_stack(tup):
    """Vectors as columns and matrices as they are, joined along the second axis."""
    xs = [asarray(x) for x in (unstack(tup) if isinstance(tup, Array) else tup)]
    return concatenate([x if x.ndim >= 2 else lax.reshape(x, (x.size, 1)) for x in xs], 1)


def block(arrays):
    """An array from nested lists of blocks: the innermost lists are joined along the last axis, and so on outwards."""
    return _block(arrays)[0]


def _block(xs):
    if isinstance(xs, tuple):
        raise ValueError(f"block: lists nest the arrays, a tuple does not: {xs!r:.100}")
    if not isinstance(xs, list):
        return asarray(xs), 1
    if not xs:
        raise ValueError("block: a list is empty, which has no shape")
    parts, depths = zip(*[_block(x) for x in xs])
    if any(depth != depths[0] for depth in depths):
        raise ValueError(f"block: lists must be equally deep, depths {sorted(set(depths))} were found")
    rank = max(depths[0], max([x.ndim for x in parts]))
    parts = [lax.reshape(x, (1,) * (rank - x.ndim) + x.shape) for x in parts]
    return concatenate(parts, axis=-depths[0]), depths[0] + 1


# Cutting.


def split(ary, indices_or_sections, axis=0):
    """``ary`` cut along ``axis`` into equal sections, or before each of the given indices; a list.

    Raises ValueError where the axis does not divide into that many equal sections.

    >>> import cyxla.numpy as jnp
    >>> [x.shape for x in jnp.split(jnp.zeros(6), 3)]
    [(2,), (2,), (2,)]
    """
    return _split("split", ary, indices_or_sections, axis)


def array_split(ary, indices_or_sections, axis=0):
    """As ``split``, where sections need not be of equal length."""
    return _split("array_split", ary, indices_or_sections, axis)


def vsplit(ary, indices_or_sections):
    """``split`` along the first axis."""
    return _split("vsplit", ary, indices_or_sections, 0)


def hsplit(ary, indices_or_sections):
    """``split`` along the second axis, of vectors along the first."""
    x = asarray(ary)
    return _split("hsplit", x, indices_or_sections, 0 if x.ndim == 1 else 1)


def dsplit(ary, indices_or_sections):
    """``split`` along the third axis."""
    return _split("dsplit", ary, indices_or_sections, 2)


def _split(name, ary, indices_or_sections, axis):
    x = asarray(ary)
    axis = canonical_axis(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(indices_or_sections, (tuple, list)) or getattr(indices_or_sections, "ndim", 0) > 0:
        points = [min(max(i + length if i < 0 else i, 0), length) for i in map(operator.index, indices_or_sections)]
        sizes = []
        previous = 0
        parts = []
        for point in [*points, length]:
            sizes.append(point - previous)
            parts.append((previous, max(point, previous)))
            previous = point
        if any(n < 0 for n in sizes):
            return [lax.slice_in_dim(x, low, high, axis=axis) for low, high in parts]
    else:
        sections = operator.index(indices_or_sections)
        if sections <= 0:
            raise ValueError(f"{name}: {sections} is no number of sections; give 1 or more")
        each, rest = divmod(length, sections)
        if rest and name != "array_split":
            raise ValueError(
                f"{name}: axis {axis} of size {length} does not divide into {sections} equal sections; use array_split"
            )
        sizes = [each + 1] * rest + [each] * (sections - rest)
    return list(lax.split(x, tuple(sizes), axis))


# Repeating.


def tile(A, reps):
    """``A`` repeated ``reps`` times along each axis."""
    x = asarray(A)
    reps = (operator.index(reps),) if not hasattr(reps, "__iter__") else tuple(map(operator.index, reps))
    reps = (1,) * (x.ndim - len(reps)) + reps
    if x.ndim < len(reps):
        x = lax.reshape(x, (1,) * (len(reps) - x.ndim) + x.shape)
    return lax.tile_p.bind(x, reps=reps)


def repeat(a, repeats, axis=None, *, total_repeat_length=None, out_sharding=None):
    """Each element (or slice along ``axis``) of ``a`` repeated ``repeats`` times.

    ``repeats`` may be an array with a number for each element; where it is traced, ``total_repeat_length`` must give
    the length of the result.

    >>> import cyxla.numpy as jnp
    >>> jnp.repeat(jnp.array([1, 2]), 2)
    Array([1, 1, 2, 2], dtype=int32)
    """
    x = asarray(a)
    if axis is None:
        x = ravel(x)
        axis = 0
    elif x.ndim == 0:
        axis = canonical_axis(axis, 1)
        x = lax.reshape(x, (1,))
    axis = canonical_axis(axis, x.ndim)
    length = x.shape[axis]
    if total_repeat_length is None:
        if repeats.__class__ is int:
            return _repeat_each(x, repeats, axis)
        if isinstance(repeats, Array) and not _is_concrete(repeats):
            raise _not_concrete(repeats)
        counts = np.asarray(repeats)
        if counts.size and counts.dtype.kind not in "iub":
            raise TypeError(f"repeat: repeats must hold integers, got dtype {counts.dtype}")
        if counts.ndim == 0 or counts.shape == (1,):
            return _repeat_each(x, int(counts.reshape(())), axis)
        if counts.ndim != 1 or counts.shape[0] != length:
            raise ValueError(
                f"repeat: repeats of shape {counts.shape} must be a scalar or hold one count for each of the {length} "
                "elements"
            )
        return _take(x, asarray(np.repeat(np.arange(length, dtype=np.int32), counts)), axis)
    total = operator.index(total_repeat_length)
    counts = array(repeats)
    if counts.ndim == 0 or counts.shape == (1,):
        counts = broadcast(ravel(counts), (length,))
    if counts.ndim != 1 or counts.shape[0] != length:
        raise ValueError(
            f"repeat: repeats of shape {counts.shape} must be a scalar or hold one count for each of the {length} "
            "elements"
        )
    if length == 0 or total == 0:
        shape = x.shape[:axis] + (total,) + x.shape[axis + 1 :]
        return lax.full(shape, 0, x.dtype)
    # Position i of the result holds the number of elements whose copies all come before i.
    ends = lax.cumsum(convert(counts, default_int()))
    position = lax.iota(default_int(), total)
    source = lax.reduce_sum(
        convert(
            lax.ge(
                lax.broadcast_in_dim(position, (total, length), (0,)), lax.broadcast_in_dim(ends, (total, length), (1,))
            ),
            default_int(),
        ),
        (1,),
    )
    return _take(x, ufuncs.minimum(source, length - 1), axis)


def _take(x, indices, axis):
    from .selection import take

    return take(x, indices, axis=axis, mode="clip")


def _is_concrete(x):
    from cyxla._engine.array import ArrayImpl

    return isinstance(x, ArrayImpl)


def _not_concrete(repeats):
    try:
        np.asarray(repeats)
    except Exception as error:
        error.add_note(
            "repeat: the size of the result must be known while tracing; give repeats whose values are known, or "
            "total_repeat_length"
        )
        return error
    return TypeError("repeat: repeats must hold known numbers")


def _repeat_each(x, n, axis):
    check_not_negative("repeat", "repeats", n)
    shape = x.shape
    wide = shape[: axis + 1] + (n,) + shape[axis + 1 :]
    kept = tuple([i for i in range(len(wide)) if i != axis + 1])
    x = lax.broadcast_in_dim(x, wide, kept)
    return lax.reshape(x, shape[:axis] + (shape[axis] * n,) + shape[axis + 1 :])


# Inserting and deleting.


def append(arr, values, axis=None):
    """``values`` joined to the end of ``arr`` along ``axis``; both are flattened for None."""
    return concatenate([arr, values], axis)


def delete(arr, obj, axis=None, *, assume_unique_indices=False):
    """``arr`` without the slices at ``obj`` (an index, a slice, an array of indices or a mask) along ``axis``.

    An array of indices must be concrete unless ``assume_unique_indices``, as the shape depends on how many differ.
    """
    x = asarray(arr)
    if axis is None:
        x = ravel(x)
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(obj, slice):
        return _keep(x, np.delete(np.arange(length), obj), axis)
    traced = isinstance(obj, Array) and not _is_concrete(obj)
    if not traced:
        obj_values = np.asarray(obj)
        if obj_values.dtype == bool and obj_values.ndim and obj_values.shape != (length,):
            raise ValueError(
                f"delete: a mask must be a vector of the axis' length {length}, got shape {obj_values.shape}"
            )
        if obj_values.size and obj_values.dtype.kind not in "iub":
            raise IndexError(f"delete: obj must hold integers or booleans, got dtype {obj_values.dtype}")
        return _keep(
            x, np.delete(np.arange(length), np.asarray(obj_values, obj_values.dtype if obj_values.size else int)), axis
        )
    if obj.ndim == 0:
        index = ufuncs.minimum(
            ufuncs.maximum(select(lax.lt(obj, np.zeros((), obj.dtype)), obj + length, obj), 0), length
        )
        position = lax.iota(default_int(), length - 1)
        return _take(
            x,
            position
            + convert(lax.ge(position, broadcast(convert(index, default_int()), position.shape)), default_int()),
            axis,
        )
    if not assume_unique_indices:
        np.asarray(obj)
    index = ravel(obj)
    index = lax.sort(convert(select(ufuncs.equal(lax.sign(index), -1), index + length, index), default_int()))
    # The j-th kept position skips as many deleted ones as lie at or before it.
    shifted = index - lax.iota(default_int(), index.shape[0])
    n = length - index.shape[0]
    position = lax.iota(default_int(), n)
    skipped = lax.reduce_sum(
        convert(
            lax.ge(
                lax.broadcast_in_dim(position, (n, index.shape[0]), (0,)),
                lax.broadcast_in_dim(shifted, (n, index.shape[0]), (1,)),
            ),
            default_int(),
        ),
        (1,),
    )
    return _take(x, position + skipped, axis)


def _keep(x, kept, axis):
    if kept.size == x.shape[axis]:
        return x
    return _take(x, asarray(kept.astype(np.int32)), axis)


def insert(arr, obj, values, axis=None):
    """``arr`` with ``values`` inserted before the positions ``obj`` along ``axis``. Positions must be concrete."""
    x = asarray(arr)
    x, new = promote(x, array(values, copy=False))
    if axis is None:
        x = ravel(x)
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(obj, slice):
        positions = np.arange(length)[obj]
    else:
        positions = np.asarray(obj)
        if positions.size and positions.dtype.kind not in "iub":
            raise TypeError(f"insert: obj must hold integers, got dtype {positions.dtype}")
    scalar_position = positions.ndim == 0
    positions = np.atleast_1d(positions).astype(np.int64)
    if positions.ndim > 1:
        raise ValueError(f"insert: obj must be a slice, an integer or a vector of integers, got {obj!r:.100}")
    positions = np.clip(np.where(positions < 0, positions + length, positions), 0, length)
    if positions.size == 1:
        if scalar_position and new.ndim:
            new = moveaxis(new, 0, axis) if new.ndim == x.ndim else new
        shape = list(x.shape)
        rank_padded = (1,) * (x.ndim - new.ndim) + new.shape
        shape[axis] = rank_padded[axis]
        new = broadcast(lax.reshape(new, rank_padded), tuple(shape))
        positions = np.repeat(positions, shape[axis])
    else:
        shape = list(x.shape)
        shape[axis] = positions.size
        rank_padded = (1,) * (x.ndim - new.ndim) + new.shape
        broadcast_shapes(rank_padded, tuple(shape))
        new = broadcast(lax.reshape(new, rank_padded), tuple(shape))
    order = np.argsort(positions, kind="stable")
    source = np.empty(length + positions.size, np.int32)
    inserted = np.zeros(source.shape, bool)
    inserted[positions[order] + np.arange(positions.size)] = True
    source[inserted] = length + order
    source[~inserted] = np.arange(length)
    return _take(lax.concatenate([x, new], axis), asarray(source), axis)
