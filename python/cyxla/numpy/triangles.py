"""Diagonals and triangles of matrices, and the indices of them."""

import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import check_not_negative, check_rank

from . import reductions
from .axes import broadcast, canonical_axis
from .creation import array, eye, triangle_mask
from .elementwise import select
from .promotion import convert, default_int, no_inplace, no_out
from .searching import nonzero
from .shape import moveaxis, ravel


def tril(m, k=0):
    """``m`` (or each matrix of the last two axes) with the elements above the ``k``-th diagonal made 0."""
    m = asarray(m)
    check_rank("tril", "m", m, 2)
    mask = triangle_mask(m.shape[-2:], k)
    return select(broadcast(mask, m.shape), m, lax.full_like(m, 0))


def triu(m, k=0):
    """``m`` (or each matrix of the last two axes) with the elements below the ``k``-th diagonal made 0."""
    m = asarray(m)
    check_rank("triu", "m", m, 2)
    mask = triangle_mask(m.shape[-2:], k - 1)
    return select(broadcast(mask, m.shape), lax.full_like(m, 0), m)


def diag(v, k=0):
    """The matrix with vector ``v`` on its ``k``-th diagonal, or the ``k``-th diagonal of a matrix.

    >>> import cyxla.numpy as jnp
    >>> jnp.diag(jnp.array([1, 2]))
    Array([[1, 0],
           [0, 2]], dtype=int32)
    """
    v = asarray(v) if not isinstance(v, (list, tuple)) else array(v)
    k = operator.index(k)
    if v.ndim == 1:
        n = v.shape[0] + abs(k)
        padding = [(max(0, k), max(0, -k), 0)]
        wide = lax.pad(v, convert(0, v.dtype), padding)
        return lax.select_n(
            eye(n, k=k, dtype=bool), lax.full((n, n), 0, v.dtype), lax.broadcast_in_dim(wide, (n, n), (1,))
        )
    if v.ndim == 2:
        return diagonal(v, k)
    raise ValueError(f"diag: a vector to put on a diagonal, or a matrix to take one of, is needed; got shape {v.shape}")


def diagflat(v, k=0):
    """The matrix with the elements of ``v`` on its ``k``-th diagonal."""
    return diag(ravel(v), k)


def diagonal(a, offset=0, axis1=0, axis2=1):
    """The ``offset``-th diagonals of the matrices in the plane of two axes, as the last axis of the result."""
    x = asarray(a)
    check_rank("diagonal", "a", x, 2)
    offset = operator.index(offset)
    i, j = canonical_axis(axis1, x.ndim), canonical_axis(axis2, x.ndim)
    if i == j:
        raise ValueError(f"diagonal: axis1 and axis2 are both axis {i}")
    x = moveaxis(x, (i, j), (-2, -1))
    rows, columns = x.shape[-2:]
    if offset > 0:
        x = lax.slice_in_dim(x, min(offset, columns), columns, axis=-1)
    elif offset < 0:
        x = lax.slice_in_dim(x, min(-offset, rows), rows, axis=-2)
    rows, columns = x.shape[-2:]
    n = min(rows, columns)
    if n == 0:
        return lax.full((*x.shape[:-2], 0), 0, x.dtype)
    index = lax.iota(default_int(), n)
    lead = x.ndim - 2
    dimensions = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(lead)), collapsed_slice_dims=(lead, lead + 1), start_index_map=(lead, lead + 1)
    )
    return lax.gather(
        x,
        lax.broadcast_in_dim(index, (n, 2), (0,)),
        dimensions,
        (*x.shape[:-2], 1, 1),
        unique_indices=True,
        indices_are_sorted=True,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )


def trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None):
    """The sum along the ``offset``-th diagonals of the matrices in the plane of two axes."""
    no_out(out, "trace")
    x = asarray(a)
    check_rank("trace", "a", x, 2)
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    mask = eye(*x.shape[-2:], offset, dtype=bool)
    return reductions.sum(select(broadcast(mask, x.shape), x, lax.full_like(x, 0)), (-2, -1), dtype)


def _check_equal_sizes(name, shape):
    if len(set(shape)) > 1:
        raise ValueError(f"{name}: all axes must be equally long, the shape is {shape}")


def fill_diagonal(a, val, wrap=False, *, inplace=True):
    """``a`` with ``val`` (repeated as needed) on its main diagonal; needs inplace=False."""
    no_inplace(inplace, "fill_diagonal", NotImplementedError)
    if wrap:
        raise NotImplementedError(
            "fill_diagonal: wrap=True continues the diagonal of tall matrices, which is not available; leave it out"
        )
    x = asarray(a)
    val = asarray(val) if not isinstance(val, (list, tuple)) else array(val)
    check_rank("fill_diagonal", "a", x, 2)
    if x.ndim > 2:
        _check_equal_sizes("fill_diagonal", x.shape)
    n = min(x.shape)
    index = lax.iota(default_int(), n)
    if val.ndim:
        from .shape import resize

        val = resize(val, (n,))
    return x.at[(index,) * x.ndim].set(val)


# Indices.


def tril_indices(n, k=0, m=None):
    """(rows, columns) of the elements at and below the ``k``-th diagonal of an n x m matrix."""
    n, k = operator.index(n), operator.index(k)
    m = n if m is None else operator.index(m)
    return tuple([asarray(i.astype(default_int())) for i in np.tril_indices(n, k, m)])


def triu_indices(n, k=0, m=None):
    """(rows, columns) of the elements at and above the ``k``-th diagonal of an n x m matrix."""
    n, k = operator.index(n), operator.index(k)
    m = n if m is None else operator.index(m)
    return tuple([asarray(i.astype(default_int())) for i in np.triu_indices(n, k, m)])


def _matrix_shape(arr, name):
    arr = asarray(arr)
    check_rank(name, "arr", arr, 2, 2)
    return arr.shape


def tril_indices_from(arr, k=0):
    """``tril_indices`` for the shape of the matrix ``arr``."""
    n, m = _matrix_shape(arr, "tril_indices_from")
    return tril_indices(n, k, m)


def triu_indices_from(arr, k=0):
    """``triu_indices`` for the shape of the matrix ``arr``."""
    n, m = _matrix_shape(arr, "triu_indices_from")
    return triu_indices(n, k, m)


def diag_indices(n, ndim=2):
    """The indices of the main diagonal of an array with ``ndim`` axes of size ``n``."""
    n, ndim = operator.index(n), operator.index(ndim)
    check_not_negative("diag_indices", "n", n)
    check_not_negative("diag_indices", "ndim", ndim)
    return (lax.iota(default_int(), n),) * ndim


def diag_indices_from(arr):
    """The indices of the main diagonal of ``arr``, whose axes must be of one size."""
    arr = asarray(arr)
    check_rank("diag_indices_from", "arr", arr, 2)
    shape = arr.shape
    _check_equal_sizes("diag_indices_from", shape)
    return diag_indices(shape[0], len(shape))


def mask_indices(n, mask_func, k=0, *, size=None):
    """The indices of an n x n matrix that ``mask_func(matrix, k)`` leaves nonzero; see ``nonzero`` for ``size``."""
    i = lax.full((n, n), 1, default_int())
    return nonzero(mask_func(i, k), size=size)
