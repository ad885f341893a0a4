"""What an index of a reference points at: parsed, read and written as operations on arrays.

The form of an index is described in `_core/indices.py`. Indices known beforehand must be in bounds; others are clamped
where scalars, and where arrays clamped for reading and left out for writing.
"""

import operator

import numpy as np

from cyxla import lax
from cyxla._core.errors import NonConcreteBooleanIndexError
from cyxla._core.indices import Slice, split_arrays
from cyxla._engine.array import Array, ArrayImpl, asarray, is_arraylike


def _entry(item, size):
    """One entry of a level, and the array it takes if it is an operand."""
    if isinstance(item, slice):
        if not all(x is None or hasattr(x, "__index__") for x in (item.start, item.stop, item.step)):
            raise TypeError(f"the bounds of a slice of a reference are integers known beforehand, got {item}")
        start, stop, step = item.indices(size)
        if step < 1:
            raise ValueError(f"a slice of a reference goes upwards, got a step of {step}: reverse what it gives")
        return Slice(start, len(range(start, stop, step)), step), None
    if type(item) is int or (isinstance(item, (np.integer, ArrayImpl)) and not item.shape and _is_integer(item)):
        number = operator.index(item)
        if not -size <= number < size:
            raise ValueError(f"the index {number} is out of bounds for an axis of {size} elements of a reference")
        return number % size, None
    if item is None or isinstance(item, (str, bytes)) or not (is_arraylike(item) or isinstance(item, list)):
        raise TypeError(f"a reference is indexed by integers, slices, ... and arrays of integers, not by {item!r:.100}")
    array = asarray(np.asarray(item)) if isinstance(item, list) else asarray(item)
    if array.dtype == bool and array.ndim:
        if not isinstance(array, ArrayImpl):
            raise NonConcreteBooleanIndexError(array)
        raise IndexError("a reference is not indexed by a boolean mask: use the positions, from jnp.nonzero(mask)")
    if not _is_integer(array):
        raise TypeError(f"a reference is indexed by integers, got an array of dtype {array.dtype}")
    return None, array


def _is_integer(x):
    return x.dtype.kind in "iu"


def parse(index, shape):
    """`(level, arrays)` of an index of an array of this shape; the level is () where it is all of it."""
    if index is None or index is Ellipsis or (type(index) is tuple and not index):
        return (), []
    items = list(index) if type(index) is tuple else [index]
    given = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(given) > 1:
        raise IndexError(f"an index has one ... at most, got {index}")
    missing = len(shape) - len(items) + len(given)
    if missing < 0:
        raise ValueError(f"{len(items) - len(given)} indices are too many for a reference of shape {shape}")
    where = given[0] if given else len(items)
    items[where : where + len(given)] = [slice(None)] * missing
    level, arrays = [], []
    for item, size in zip(items, shape):
        entry, array = _entry(item, size)
        level.append(entry)
        if array is not None:
            arrays.append(array)
    if all(isinstance(e, Slice) and e.is_all(n) for e, n in zip(level, shape)):
        return (), []
    return tuple(level), arrays


def is_basic(level, arrays):
    """Whether a level points at one box: its operands are scalars."""
    return not any(a.ndim for a in arrays)


def numpy_index(level, arrays):
    arrays = iter(arrays)
    return tuple(next(arrays) if e is None else e.as_slice() if isinstance(e, Slice) else e for e in level)


def _window(level, arrays):
    """Starts and sizes of the box that a level points at, strides aside; and the axes that are no slices."""
    arrays = iter(arrays)
    starts = [next(arrays) if e is None else e.start if isinstance(e, Slice) else e for e in level]
    sizes = [e.size if isinstance(e, Slice) else 1 for e in level]
    return starts, sizes, tuple(axis for axis, e in enumerate(level) if not isinstance(e, Slice))


def _has_strides(level):
    return any(isinstance(e, Slice) and e.stride != 1 for e in level)


def _read_level(x, level, arrays):
    if not level:
        return x
    if not is_basic(level, arrays) or (arrays and _has_strides(level)):
        return x[numpy_index(level, arrays)]
    starts, sizes, dropped = _window(level, arrays)
    if arrays:
        return lax.squeeze(lax.dynamic_slice(x, _as_starts(starts, arrays), sizes), dropped)
    strides = [e.stride if isinstance(e, Slice) else 1 for e in level]
    limits = [start + (size - 1) * stride + 1 if size else start for start, size, stride in zip(starts, sizes, strides)]
    return lax.squeeze(lax.slice(x, starts, limits, strides if _has_strides(level) else None), dropped)


def _as_starts(starts, arrays):
    dtype = arrays[0].dtype if arrays else np.dtype("int32")
    return [s.astype(dtype) if isinstance(s, Array) and s.dtype != dtype else s for s in starts]


def _write_level(x, level, arrays, value):
    if not level:
        return value
    if not is_basic(level, arrays) or _has_strides(level):
        return x.at[numpy_index(level, arrays)].set(value)
    starts, _, dropped = _window(level, arrays)
    update = lax.expand_dims(value, dropped) if dropped else value
    return lax.dynamic_update_slice(x, update, _as_starts(starts, arrays))


def read(x, index, arrays):
    """What an index points at in an array."""
    for level, mine in zip(index, split_arrays(index, arrays)):
        x = _read_level(x, level, mine)
    return x


def write(x, index, arrays, value):
    """The array with a value where an index points at."""
    if not index:
        return value
    mine, *rest = split_arrays(index, arrays)
    if len(index) > 1:
        inner = _read_level(x, index[0], mine)
        value = write(inner, index[1:], [a for part in rest for a in part], value)
    return _write_level(x, index[0], mine, value)


def add(x, index, arrays, value):
    """The array with a value added where an index points at, as often as it points there."""
    if not index:
        return lax.add_any(x, value)
    mine, *rest = split_arrays(index, arrays)
    if len(index) == 1 and not is_basic(index[0], mine):
        return x.at[numpy_index(index[0], mine)].add(value)
    inner = _read_level(x, index[0], mine)
    return _write_level(x, index[0], mine, add(inner, index[1:], [a for part in rest for a in part], value))
