"""Small algebra on batches of matrices, from which the derivative rules of this package are made."""

from __future__ import annotations

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla.lax._util import is_complex, to_front


def transposed(x) -> Array:
    """The matrices transposed."""
    rank = x.ndim
    return lax.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def adjoint(x) -> Array:
    """The matrices transposed and conjugated."""
    x = transposed(x)
    return lax.conj(x) if is_complex(x.aval) else x


def matmul(a, b) -> Array:
    """Products of two equal batches of matrices, in full precision."""
    rank = a.ndim
    batch = tuple(range(rank - 2))
    return lax.dot_general(a, b, (((rank - 1,), (rank - 2,)), (batch, batch)), precision="highest")


def _rows_and_columns(rows: int, columns: int):
    return (lax.broadcasted_iota(np.int32, (rows, columns), axis) for axis in (0, 1))


def _keep(mask, x) -> Array:
    shape = x.shape
    mask = lax.broadcast_in_dim(mask, shape, (len(shape) - 2, len(shape) - 1))
    return lax.select(mask, x, lax.full_like(x, 0))


def lower_part(x, diagonal: bool = True) -> Array:
    """The matrices with zeros above the diagonal, or also on it."""
    rows, columns = _rows_and_columns(*x.shape[-2:])
    return _keep(lax.ge(rows, columns) if diagonal else lax.gt(rows, columns), x)


def upper_part(x, diagonal: bool = True) -> Array:
    """The matrices with zeros below the diagonal, or also on it."""
    rows, columns = _rows_and_columns(*x.shape[-2:])
    return _keep(lax.le(rows, columns) if diagonal else lax.lt(rows, columns), x)


def diagonal_part(x) -> Array:
    """The matrices with zeros off the diagonal."""
    rows, columns = _rows_and_columns(*x.shape[-2:])
    return _keep(lax.eq(rows, columns), x)


def diagonal_of(x) -> Array:
    """The diagonals as vectors."""
    return lax.reduce_sum(diagonal_part(x), (x.ndim - 2,))


def identity(n: int, dtype, batch: tuple[int, ...] = ()) -> Array:
    """A batch of identity matrices."""
    rows, columns = _rows_and_columns(n, n)
    eye = lax.convert_element_type(lax.eq(rows, columns), dtype)
    return lax.broadcast_in_dim(eye, (*batch, n, n), (len(batch), len(batch) + 1))


def as_rows(v, shape) -> Array:
    """A batch of vectors as the rows of matrices: element j in column j."""
    rank = len(shape)
    return lax.broadcast_in_dim(v, shape, (*range(rank - 2), rank - 1))


def as_columns(v, shape) -> Array:
    """A batch of vectors as the columns of matrices: element i in row i."""
    rank = len(shape)
    return lax.broadcast_in_dim(v, shape, tuple(range(rank - 1)))


def inverse_differences(w) -> Array:
    """Matrices with 1 / (w[j] - w[i]) at (i, j) and zeros on the diagonal: by these eigenvectors change."""
    eye = identity(w.shape[-1], w.dtype, w.shape[:-1])
    differences = lax.sub(as_rows(w, eye.shape), as_columns(w, eye.shape))
    return lax.sub(lax.div(lax.full_like(eye, 1), lax.add(differences, eye)), eye)


def pad_rows(x, count: int) -> Array:
    """The matrices with rows of zeros below."""
    if not count:
        return x
    config = [(0, 0, 0)] * (x.ndim - 2) + [(0, count, 0), (0, 0, 0)]
    return lax.pad(x, lax.full((), 0, x.dtype), config)


def take_rows(x, rows) -> Array:
    """The rows of each matrix in the order that a batch of index vectors gives."""
    nbatch = x.ndim - 2
    batch = tuple(range(nbatch))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(nbatch + 1,),
        collapsed_slice_dims=(nbatch,),
        start_index_map=(nbatch,),
        operand_batching_dims=batch,
        start_indices_batching_dims=batch,
    )
    indices = lax.expand_dims(rows, (rows.ndim,))
    return lax.gather(x, indices, numbers, (*[1] * nbatch, 1, x.shape[-1]), mode="clip")


def beside_each_other(solve, b, b_dim: int, *, left_side: bool):
    """Solves for a batch of right-hand sides of one system, put beside each other in one; a batching rule's result."""
    axis = b.ndim - 2 if left_side else b.ndim - 3
    inner = [i for i in range(b.ndim) if i != b_dim]
    inner.insert(axis, b_dim)
    wide = lax.transpose(b, tuple(inner))
    shape = wide.shape
    flat = lax.reshape(wide, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))
    return lax.reshape(solve(flat), shape), axis


def batch_matrices(primitive):
    """The batching rule of primitives that take leading batch dimensions as they are."""

    def rule(args, dims, **params):
        size = next(x.shape[d] for x, d in zip(args, dims) if d is not None)
        out = primitive.bind(*[to_front(x, d, size) for x, d in zip(args, dims)], **params)
        return out, [0] * len(out) if primitive.multiple_results else 0

    return rule
