"""Axes and shapes given by the user, made canonical in plain Python integers."""

import math
import operator

from numpy.exceptions import AxisError

from cyxla import lax
from cyxla._engine.array import Array
from cyxla.lax._util import broadcast_error, shape_error

_bind_broadcast = lax.broadcast_in_dim_p.bind


def canonical_axis(axis, ndim):
    """``axis`` counted from the front; AxisError (a ValueError and IndexError) where it is out of bounds."""
    if axis.__class__ is not int:
        axis = operator.index(axis)
    if axis < 0:
        axis += ndim
        if axis >= 0:
            return axis
        axis -= ndim
    elif axis < ndim:
        return axis
    raise AxisError(axis, ndim)


def canonical_axes(axis, ndim):
    """A tuple of distinct axes from None (all of them), an integer or a sequence of integers."""
    if axis is None:
        return tuple(range(ndim))
    if axis.__class__ is int:
        return (canonical_axis(axis, ndim),)
    if not isinstance(axis, (tuple, list)):
        try:
            return (canonical_axis(operator.index(axis), ndim),)
        except TypeError:
            axis = tuple(axis)
    axes = tuple([canonical_axis(a, ndim) for a in axis])
    if len(axes) > 1 and len(set(axes)) != len(axes):
        raise ValueError(f"axis={axes} names an axis twice")
    return axes


def canonical_shape(shape):
    """A tuple of non-negative ints from an integer or a sequence of integers."""
    if shape.__class__ is tuple:
        for n in shape:
            if n.__class__ is not int:
                break
        else:
            return shape
    elif shape.__class__ is int:
        return (shape,)
    try:
        if getattr(shape, "ndim", None) == 0 or not hasattr(shape, "__iter__"):
            return (operator.index(shape),)
        return tuple([operator.index(n) for n in shape])
    except TypeError as error:
        if isinstance(shape, Array) or (isinstance(shape, (tuple, list)) and any(isinstance(n, Array) for n in shape)):
            raise
        raise shape_error(shape) from error


def broadcast_shapes(*shapes):
    """The shape to which arrays of the given shapes broadcast together.

    Raises ValueError where two of them disagree in a dimension in which neither has size 1.

    >>> import cyxla.numpy as jnp
    >>> jnp.broadcast_shapes((2, 1), (3,), ())
    (2, 3)
    """
    if not shapes:
        return ()
    shapes = [canonical_shape(shape) for shape in shapes]
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    ndim = max([len(shape) for shape in shapes])
    result = [1] * ndim
    for shape in shapes:
        offset = ndim - len(shape)
        for i, n in enumerate(shape):
            if n != 1:
                known = result[offset + i]
                if known == 1:
                    result[offset + i] = n
                elif known != n:
                    raise broadcast_error(shapes)
    return tuple(result)


def broadcast(x, shape):
    """``x`` (an Array) broadcast to ``shape``, a tuple of ints with which it is known to be compatible."""
    old = x.shape
    if old == shape:
        return x
    ndim = len(shape)
    dimensions = tuple(range(ndim - len(old), ndim)) if old else ()
    return _bind_broadcast(x, shape=shape, broadcast_dimensions=dimensions, sharding=None)


def broadcast_together(*xs):
    """The Arrays broadcast to their common shape."""
    shape = xs[0].shape
    for x in xs:
        if x.shape != shape:
            break
    else:
        return list(xs)
    shape = broadcast_shapes(*[x.shape for x in xs])
    return [broadcast(x, shape) for x in xs]


def size_of(shape):
    """Number of elements of a shape."""
    return math.prod(shape)
