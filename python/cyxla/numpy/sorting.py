"""Sorting and partial sorting."""

import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray

from .axes import canonical_axis
from .promotion import complex_dtype, convert, default_int, kind, requested_dtype

_bind_sort = lax.sort_p.bind


def _check_options(name, algorithm, order):
    if algorithm is not None:
        raise TypeError(f"{name}: kind= names algorithms, of which there is one; use stable=True or stable=False")
    if order is not None:
        raise TypeError(f"{name}: order= is for arrays with fields, which there are none of; leave it out")


def sort(a, axis=-1, *, kind=None, order=None, stable=True, descending=False):
    """``a`` with elements in ascending order along ``axis`` (flattened for None); NaN come last.

    >>> import cyxla.numpy as jnp
    >>> jnp.sort(jnp.array([3, 1, 2]))
    Array([1, 2, 3], dtype=int32)
    """
    _check_options("sort", kind, order)
    x = asarray(a)
    if axis is None:
        x = lax.reshape(x, (x.size,))
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    (result,) = _bind_sort(x, dimension=axis, is_stable=bool(stable), num_keys=1)
    return lax.rev(result, (axis,)) if descending else result


def argsort(a, axis=-1, *, kind=None, order=None, stable=True, descending=False, dtype=None):
    """The indices that sort ``a`` along ``axis`` (flattened for None).

    >>> import cyxla.numpy as jnp
    >>> jnp.argsort(jnp.array([3, 1, 2]))
    Array([1, 2, 0], dtype=int32)
    """
    _check_options("argsort", kind, order)
    x = asarray(a)
    if axis is None:
        x = lax.reshape(x, (x.size,))
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    index_dtype = default_int() if dtype is None else requested_dtype(dtype)
    positions = lax.broadcasted_iota(index_dtype, x.shape, axis)
    # For a stable descending order, equal elements are met in reverse and turned back at the end.
    if descending:
        x = lax.rev(x, (axis,))
        positions = lax.rev(positions, (axis,))
    _, positions = _bind_sort(x, positions, dimension=axis, is_stable=bool(stable), num_keys=1)
    return lax.rev(positions, (axis,)) if descending else positions


def sort_complex(a):
    """``a`` sorted along its last axis, as complex numbers."""
    x = sort(a)
    return convert(x, complex_dtype(x.dtype))


def lexsort(keys, axis=-1):
    """The indices that sort by several keys, the last one first in importance.

    Raises TypeError for no keys, ValueError for keys of unequal shapes.
    """
    keys = tuple(keys)
    if len(keys) == 0:
        raise TypeError("lexsort: no keys were given; one at least is needed")
    keys = [asarray(key) for key in keys]
    if len({key.shape for key in keys}) > 1:
        raise ValueError(f"lexsort: keys need one shape, theirs are {[key.shape for key in keys]}")
    if keys[0].ndim == 0:
        return lax.full((), 0, default_int())
    axis = canonical_axis(axis, keys[0].ndim)
    positions = lax.broadcasted_iota(default_int(), keys[0].shape, axis)
    return lax.sort((*keys[::-1], positions), dimension=axis, num_keys=len(keys))[-1]


def _sides(a, kth, axis, name):
    x = asarray(a)
    if kind(x.dtype) == "c":
        raise NotImplementedError(f"{name}: complex numbers have no order here; sort by .real, .imag or abs()")
    axis = canonical_axis(axis, x.ndim)
    return x, canonical_axis(operator.index(kth), x.shape[axis]), axis


def partition(a, kth, axis=-1):
    """``a`` rearranged along ``axis`` so that element ``kth`` is where sorting puts it, smaller ones before it."""
    x, kth, axis = _sides(a, kth, axis, "partition")
    x = lax.transpose(x, _axis_last(x.ndim, axis))
    smallest = lax.neg(lax.top_k(lax.neg(x), kth + 1)[0]) if kind(x.dtype) != "u" else _unsigned_bottom(x, kth + 1)
    largest = lax.top_k(x, x.shape[-1] - kth - 1)[0]
    result = lax.concatenate([smallest, largest], x.ndim - 1)
    return lax.transpose(result, np.argsort(_axis_last(x.ndim, axis)).tolist())


def argpartition(a, kth, axis=-1):
    """The indices with which ``partition`` rearranges ``a``."""
    x, kth, axis = _sides(a, kth, axis, "argpartition")
    x = lax.transpose(x, _axis_last(x.ndim, axis))
    positions = argsort(x, dtype=np.int32)
    return lax.transpose(positions, np.argsort(_axis_last(x.ndim, axis)).tolist())


def _unsigned_bottom(x, k):
    return lax.bitwise_not(lax.top_k(lax.bitwise_not(x), k)[0])


def _axis_last(ndim, axis):
    return (*range(axis), *range(axis + 1, ndim), axis)
