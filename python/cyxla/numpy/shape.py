"""Rearranging elements without computing on them: shape, order of axes, reversal, broadcasting."""

import builtins
import math
import operator

import numpy as np
from numpy.exceptions import AxisError

from cyxla import lax
from cyxla._engine.array import Array, asarray, typeof
from cyxla.lax._util import broadcast_error, check_not_negative, check_rank

from .axes import broadcast as _broadcast
from .axes import broadcast_shapes, canonical_axes, canonical_axis, canonical_shape

_reshape = lax.reshape_p.bind
_transpose = lax.transpose_p.bind
_squeeze = lax.squeeze_p.bind
_rev = lax.rev_p.bind


def shape(a):
    """The shape of ``a`` as a tuple of ints.

    >>> import cyxla.numpy as jnp
    >>> jnp.shape(1.0)
    ()
    """
    return typeof(a).shape


def ndim(a):
    """The number of axes of ``a``."""
    return typeof(a).ndim


def size(a, axis=None):
    """The number of elements of ``a``, or along ``axis`` (an int or several)."""
    aval = typeof(a)
    if axis is None:
        return aval.size
    return math.prod([aval.shape[i] for i in canonical_axes(axis, aval.ndim)])


def resolved_shape(x, new_shape):
    """``new_shape`` with a -1 replaced by the size that is left for it; TypeError where sizes do not agree."""
    total = x.size
    known = 1
    unknown = -1
    for i, n in enumerate(new_shape):
        if n == -1 and unknown < 0:
            unknown = i
        elif n < 0:
            if n == -1:
                raise TypeError(f"reshape: only one size can be left open as -1, got shape={new_shape}")
            raise TypeError(f"reshape: shape={new_shape} has a negative size; -1 only leaves a size open")
        else:
            known *= n
    if unknown >= 0:
        if known == 0 or total % known:
            raise TypeError(
                f"reshape: the {total} elements of shape {x.shape} do not fill shape={new_shape}, whatever -1 stands "
                "for"
            )
        return (*new_shape[:unknown], total // known, *new_shape[unknown + 1 :])
    if known != total:
        raise TypeError(f"reshape: shape={new_shape} has {known} elements, the array of shape {x.shape} has {total}")
    return new_shape


def reshape(a, shape, order="C", *, copy=None, out_sharding=None):
    """``a`` with another shape of the same size; one size may be -1, to be computed. ``order`` is "C" or "F".

    Raises TypeError where the sizes do not agree.

    >>> import cyxla.numpy as jnp
    >>> jnp.reshape(jnp.zeros(6), (2, -1)).shape
    (2, 3)
    """
    a = asarray(a)
    if order != "C":
        if order == "F":
            new_shape = resolved_shape(a, canonical_shape(shape))
            reversed_axes = _reshape(a.T, new_sizes=new_shape[::-1], dimensions=None, sharding=None)
            return transpose(reversed_axes)
        if order == "A":
            raise NotImplementedError(
                "reshape: order='A' asks for the memory order, which arrays do not have; use 'C' or 'F'"
            )
        raise ValueError(f"reshape: order={order!r} is unknown; choose 'C' or 'F'")
    if copy:
        a = lax.copy_p.bind(a)
    new_shape = resolved_shape(a, canonical_shape(shape))
    if new_shape == a.shape:
        return a
    return _reshape(a, new_sizes=new_shape, dimensions=None, sharding=None)


def ravel(a, order="C", *, out_sharding=None):
    """``a`` flattened to one axis."""
    if order == "K":
        raise NotImplementedError(
            "ravel: order='K' asks for the memory order, which arrays do not have; use 'C' or 'F'"
        )
    a = asarray(a)
    if order == "C":
        return a if a.ndim == 1 else _reshape(a, new_sizes=(a.size,), dimensions=None, sharding=None)
    return reshape(a, (a.size,), order)


def transpose(a, axes=None):
    """``a`` with its axes reversed, or in the order of ``axes``.

    >>> import cyxla.numpy as jnp
    >>> jnp.transpose(jnp.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    a = asarray(a)
    ndim = a.ndim
    if axes is None:
        return a if ndim < 2 else _transpose(a, permutation=tuple(range(ndim - 1, -1, -1)))
    axes = tuple([canonical_axis(axis, ndim) for axis in axes])
    if len(axes) != ndim or len(set(axes)) != ndim:
        raise TypeError(f"transpose: axes={axes} must name each axis of shape {a.shape} once")
    if axes == tuple(range(ndim)):
        return a
    return _transpose(a, permutation=axes)


def permute_dims(a, /, axes):
    """``a`` with its axes in the order of ``axes``."""
    return transpose(a, axes)


def matrix_transpose(x, /):
    """``x`` with its last two axes swapped. Raises ValueError where there are fewer than two."""
    x = asarray(x)
    n = x.ndim
    check_rank("matrix_transpose", "x", x, 2)
    return _transpose(x, permutation=(*range(n - 2), n - 1, n - 2))


def swapaxes(a, axis1, axis2):
    """``a`` with two of its axes exchanged."""
    a = asarray(a)
    axes = list(range(a.ndim))
    i, j = canonical_axis(axis1, a.ndim), canonical_axis(axis2, a.ndim)
    axes[i], axes[j] = j, i
    return transpose(a, axes)


def moveaxis(a, source, destination):
    """``a`` with the axes ``source`` moved to the positions ``destination``, the others in their order.

    >>> import cyxla.numpy as jnp
    >>> jnp.moveaxis(jnp.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    a = asarray(a)
    ndim = a.ndim
    source = _each_axis(source, ndim)
    destination = _each_axis(destination, ndim)
    if len(source) != len(destination):
        raise ValueError(
            f"moveaxis: source and destination must name equally many axes, got {len(source)} and {len(destination)}"
        )
    axes = [i for i in range(ndim) if i not in source]
    for to, axis in sorted(zip(destination, source)):
        axes.insert(to, axis)
    return transpose(a, axes)


def _each_axis(axis, ndim):
    if isinstance(axis, (tuple, list)):
        axes = tuple([canonical_axis(operator.index(a), ndim) for a in axis])
        if len(set(axes)) != len(axes):
            raise TypeError(f"axis={axis} names an axis twice")
        return axes
    return (canonical_axis(axis, ndim),)


def rollaxis(a, axis, start=0):
    """``a`` with ``axis`` moved back until it lies before position ``start``."""
    a = asarray(a)
    axis = canonical_axis(axis, a.ndim)
    start = operator.index(start)
    if not -a.ndim <= start <= a.ndim:
        raise ValueError(f"rollaxis: start={start} must lie in [{-a.ndim}, {a.ndim}]")
    if start < 0:
        start += a.ndim
    if start > axis:
        start -= 1
    return moveaxis(a, axis, start)


def expand_dims(a, axis):
    """``a`` with axes of size 1 inserted so that they are at ``axis`` (an int or several) of the result.

    >>> import cyxla.numpy as jnp
    >>> jnp.expand_dims(jnp.zeros(3), (0, -1)).shape
    (1, 3, 1)
    """
    a = asarray(a)
    old = a.shape
    if axis.__class__ is int:
        n = len(old)
        if not -n - 1 <= axis <= n:
            raise AxisError(axis, n + 1)
        i = axis if axis >= 0 else axis + n + 1
        return _with_ones(a, old[:i] + (1,) + old[i:], (*range(i), *range(i + 1, n + 1)))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (operator.index(axis),)
    n = len(old) + len(axes)
    new = {canonical_axis(i, n) for i in axes}
    if len(new) != len(axes):
        raise ValueError(f"expand_dims: axis={axes} names an axis twice")
    kept = tuple([i for i in range(n) if i not in new])
    sizes = [1] * n
    for i, m in zip(kept, old):
        sizes[i] = m
    return _with_ones(a, tuple(sizes), kept)


def _with_ones(a, new_shape, kept):
    return lax.broadcast_in_dim_p.bind(a, shape=new_shape, broadcast_dimensions=kept, sharding=None)


def squeeze(a, axis=None):
    """``a`` without its axes of size 1, or without those in ``axis``.

    Raises ValueError where a given axis has another size.
    """
    a = asarray(a)
    if axis is None:
        axes = tuple([i for i, n in enumerate(a.shape) if n == 1])
    else:
        axes = canonical_axes(axis, a.ndim)
        for i in axes:
            if a.shape[i] != 1:
                raise ValueError(f"squeeze: axis={axes} names an axis of shape {a.shape} whose size is not 1")
    return _squeeze(a, dimensions=tuple(sorted(axes))) if axes else a


def broadcast_to(array, shape, *, out_sharding=None):
    """``array`` repeated along new leading axes and along axes of size 1 to have the given shape.

    Raises ValueError where the shapes are not compatible.

    >>> import cyxla.numpy as jnp
    >>> jnp.broadcast_to(jnp.zeros(3), (2, 3)).shape
    (2, 3)
    """
    x = asarray(array)
    shape = canonical_shape(shape)
    old = x.shape
    if old == shape:
        return x
    offset = len(shape) - len(old)
    if offset < 0 or any(m != n and m != 1 for m, n in zip(old, shape[offset:])):
        raise broadcast_error((old, shape))
    return _broadcast(x, shape)


def broadcast_arrays(*args):
    """The arrays broadcast to their common shape, as a list."""
    xs = [asarray(x) for x in args]
    shape = broadcast_shapes(*[x.shape for x in xs])
    return [_broadcast(x, shape) for x in xs]


def atleast_1d(*arys):
    """Each array with at least one axis; a list of them where there are several."""
    return _each(arys, lambda x: x if x.ndim else lax.reshape(x, (1,)))


def atleast_2d(*arys):
    """Each array with at least two axes, new ones in front; a list of them where there are several."""
    return _each(arys, lambda x: x if x.ndim >= 2 else lax.reshape(x, (1, x.size)))


def atleast_3d(*arys):
    """Each array with at least three axes: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1)."""

    def extend(x):
        if x.ndim >= 3:
            return x
        return lax.reshape(x, (*x.shape, 1) if x.ndim == 2 else (1, x.size, 1))

    return _each(arys, extend)


def _each(arrays, function):
    results = [function(asarray(x)) for x in arrays]
    return results[0] if len(results) == 1 else results


def flip(m, axis=None):
    """``m`` with the order of elements reversed along ``axis`` (all axes for None)."""
    m = asarray(m)
    axes = canonical_axes(axis, m.ndim)
    return _rev(m, dimensions=axes) if axes else m


def flipud(m):
    """``m`` reversed along the first axis."""
    return flip(m, 0)


def fliplr(m):
    """``m`` reversed along the second axis."""
    return flip(m, 1)


def rot90(m, k=1, axes=(0, 1)):
    """``m`` rotated by ``k`` quarter turns in the plane of the two axes, from the first towards the second."""
    m = asarray(m)
    if len(axes) != 2:
        raise ValueError(f"rot90: axes={axes} must name the two axes of a plane")
    i, j = canonical_axis(axes[0], m.ndim), canonical_axis(axes[1], m.ndim)
    if i == j:
        raise ValueError(f"rot90: axes={axes} names an axis twice")
    k = k % 4
    if k == 0:
        return m
    if k == 2:
        return flip(flip(m, i), j)
    if k == 1:
        return swapaxes(flip(m, j), i, j)
    return flip(swapaxes(m, i, j), j)


def roll(a, shift, axis=None):
    """``a`` with elements moved by ``shift`` along ``axis``, those pushed off re-entering at the other end.

    Without an axis the array is rolled as if it were flat. Shifts may be traced values.

    >>> import cyxla.numpy as jnp
    >>> jnp.roll(jnp.arange(4), 1)
    Array([3, 0, 1, 2], dtype=int32)
    """
    a = asarray(a)
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    shifts = _shifts(shift)
    if isinstance(shifts, Array):
        shifts = [lax.squeeze(part, (0,)) for part in lax.split(shifts, (1,) * shifts.shape[0])]
    n = max(len(axes), len(shifts))
    if len(axes) not in (1, n) or len(shifts) not in (1, n):
        raise ValueError(f"roll: there must be one shift, or one for each axis; got shift={shift} and axis={axis}")
    axes = [canonical_axis(i, a.ndim) for i in (axes * n if len(axes) == 1 else axes)]
    shifts = list(shifts) * n if len(shifts) == 1 else list(shifts)
    for i, by in zip(axes, shifts):
        length = a.shape[i]
        if length == 0:
            continue
        if by.__class__ is int:
            by %= length
            if by:
                a = lax.concatenate(
                    [lax.slice_in_dim(a, length - by, length, axis=i), lax.slice_in_dim(a, 0, length - by, axis=i)], i
                )
        else:
            by = lax.rem(by, np.asarray(length, by.dtype)) + length
            start = length - lax.rem(by, np.asarray(length, by.dtype))
            a = lax.dynamic_slice_in_dim(lax.concatenate([a, a], i), start, length, axis=i)
    return a


def _shifts(shift):
    """A list of ints, or of traced scalars, or a traced vector."""
    if shift.__class__ is int:
        return [shift]
    if isinstance(shift, (tuple, list)):
        return [s if isinstance(s, Array) else operator.index(s) for s in shift]
    if isinstance(shift, Array):
        check_rank("roll", "shift", shift, 0, 1)
        return [shift] if shift.ndim == 0 else shift
    return [operator.index(s) for s in np.atleast_1d(np.asarray(shift)).tolist()]


def resize(a, new_shape):
    """The elements of ``a`` repeated or cut to fill an array of ``new_shape``."""
    a = ravel(a)
    new_shape = canonical_shape(new_shape)
    total = math.prod(new_shape)
    check_not_negative("resize", "new_shape", new_shape)
    if total == 0 or a.size == 0:
        return lax.full(new_shape, 0, a.dtype)
    repeats = -(-total // a.size)
    if repeats > 1:
        a = lax.concatenate([a] * repeats, 0)
    return reshape(lax.slice_in_dim(a, 0, total), new_shape)


def trim_zeros(filt, trim="fb", axis=None):
    """The vector ``filt`` without leading ("f") and trailing ("b") zeros; concrete values only."""
    values = np.asarray(filt)
    kept = np.trim_zeros(values, trim) if axis is None else np.trim_zeros(values, trim, axis)
    return asarray(kept)


def iterable(y):
    """Whether ``y`` can be iterated over."""
    try:
        builtins.iter(y)
    except TypeError:
        return False
    return True
