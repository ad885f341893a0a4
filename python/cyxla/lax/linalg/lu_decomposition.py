"""LU decomposition with partial pivoting."""

from __future__ import annotations

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.core import Primitive, Zero, aval_to_tangent
from cyxla._transform.lower import lower_fun
from cyxla.lax._util import as_operand, kind_of, short, with_shape
from cyxla.lax.linalg.lapack import INT32, check_matrix, info_aval, lapack_call, nan_where_failed
from cyxla.lax.linalg.matrices import batch_matrices, identity, lower_part, matmul, take_rows, upper_part
from cyxla.lax.linalg.triangular import triangular_solve

# ---- lu_pivots_to_permutation


def _pivots_abstract(pivots, *, permutation_size):
    if pivots.ndim < 1 or pivots.code != INT32:
        raise TypeError(f"lu_pivots_to_permutation: int32 vectors of pivots are needed, got {short(pivots)}")
    if permutation_size < pivots.shape[-1]:
        raise ValueError(
            f"lu_pivots_to_permutation: permutation_size={permutation_size} is less than the {pivots.shape[-1]} pivots"
        )
    return with_shape(pivots, (*pivots.shape[:-1], permutation_size))


def _apply_pivots(pivots, *, permutation_size) -> Array:
    """Does the row interchanges one after the other on the identity permutation."""
    batch, count = pivots.shape[:-1], pivots.shape[-1]
    shape = (*batch, permutation_size)
    axis = len(batch)
    positions = lax.broadcasted_iota(np.int32, shape, axis)

    def spread(x):
        return lax.broadcast_in_dim(x, shape, tuple(range(axis)))

    def exchange(i, permutation):
        target = lax.dynamic_index_in_dim(pivots, i, axis, keepdims=False)
        ours = lax.dynamic_index_in_dim(permutation, i, axis, keepdims=False)
        there = lax.eq(positions, spread(target))
        theirs = lax.reduce_sum(lax.select(there, permutation, lax.full_like(permutation, 0)), (axis,))
        here = lax.eq(positions, lax.broadcast_in_dim(lax.convert_element_type(i, np.int32), shape, ()))
        permutation = lax.select(there, spread(ours), permutation)
        return lax.select(here, spread(theirs), permutation)

    return lax.fori_loop(0, count, exchange, positions) if count else positions


lu_pivots_to_permutation_p = Primitive(
    "lu_pivots_to_permutation",
    abstract=_pivots_abstract,
    lower=lower_fun(_apply_pivots),
    differentiable=False,
)
lu_pivots_to_permutation_p.batch = batch_matrices(lu_pivots_to_permutation_p)


def lu_pivots_to_permutation(pivots, permutation_size: int) -> Array:
    """The permutation of rows that the row interchanges of an LU decomposition amount to.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.linalg.lu_pivots_to_permutation(jnp.array([2, 2]), 3)
    Array([2, 0, 1], dtype=int32)
    """
    return lu_pivots_to_permutation_p.bind(as_operand(pivots), permutation_size=integer(permutation_size))


# ---- lu


def _lu_abstract(x):
    check_matrix("lu", x)
    *batch, m, n = x.shape
    pivots = shaped_array((*batch, min(m, n)), INT32, False)
    return [x, pivots, shaped_array((*batch, m), INT32, False)]


def _lu_lower(ctx, x):
    (aval,) = ctx.avals_in
    _, pivots_aval, permutation_aval = ctx.avals_out
    if not aval.size:
        rows = np.broadcast_to(np.arange(permutation_aval.shape[-1], dtype=np.int32), permutation_aval.shape)
        return [x, ctx.constant(0, pivots_aval), ctx.constant(rows, permutation_aval)]
    info = info_aval(aval)
    packed, pivots, failed = lapack_call(
        ctx, "getrf", [(x, aval, "m")], [(aval, "m"), (pivots_aval, "v"), (info, "v")], overwrites=(0,)
    )
    one = ctx.constant(1, pivots_aval)
    pivots = ctx.op(f"stablehlo.subtract {pivots}, {one} : {pivots_aval.mlir}")
    # A positive info tells of a pivot that is exactly zero: the decomposition is complete.
    (packed,) = nan_where_failed(ctx, failed, info, [(packed, aval)], comparison="GE")
    avals_in, avals_out = ctx.avals_in, ctx.avals_out
    ctx.avals_in, ctx.avals_out = (pivots_aval,), (permutation_aval,)
    permutation = lu_pivots_to_permutation_p.lower(ctx, pivots, permutation_size=aval.shape[-2])
    ctx.avals_in, ctx.avals_out = avals_in, avals_out
    return [packed, pivots, permutation]


def _lu_jvp(primals, tangents):
    packed, pivots, permutation = lu_p.bind(*primals)
    (t,) = tangents
    no_tangents = [Zero(aval_to_tangent(v.aval)) for v in (pivots, permutation)]
    if type(t) is Zero:
        return [packed, pivots, permutation], [t, *no_tangents]
    *batch, m, n = packed.shape
    k = min(m, n)
    nothing = [(0, 0, 0)] * len(batch)
    zero = lax.full((), 0, packed.dtype)

    def completed(x, size):
        """A trapezoidal factor as a square one, with ones on the rest of the diagonal."""
        have = x.shape[-2], x.shape[-1]
        if have == (size, size):
            return x
        x = lax.pad(x, zero, [*nothing, (0, size - have[0], 0), (0, size - have[1], 0)])
        rest = lax.pad(identity(size - k, x.dtype, tuple(batch)), zero, [*nothing, (k, 0, 0), (k, 0, 0)])
        return lax.add(x, rest)

    rows = [slice(None)] * len(batch)
    left = lower_part(packed[(*rows, slice(None), slice(0, k))], diagonal=False)
    ones = lax.pad(identity(k, packed.dtype, tuple(batch)), zero, [*nothing, (0, m - k, 0), (0, 0, 0)])
    left = completed(lax.add(left, ones), m)
    right = completed(upper_part(packed[(*rows, slice(0, k), slice(None))]), n)
    inner = triangular_solve(right, take_rows(t, permutation), left_side=False, lower=False)
    inner = triangular_solve(left, inner, left_side=True, lower=True, unit_diagonal=True)
    t_left = matmul(left, lower_part(inner, diagonal=False))
    t_right = matmul(upper_part(inner), right)
    return [packed, pivots, permutation], [lax.add(t_left, t_right), *no_tangents]


lu_p = Primitive("lu", abstract=_lu_abstract, lower=_lu_lower, jvp=_lu_jvp, multiple_results=True)
lu_p.batch = batch_matrices(lu_p)


def lu(x) -> tuple[Array, Array, Array]:
    """The LU decomposition with partial pivoting: ``x[permutation] == L @ U``.

    Returns L (below the diagonal; its diagonal of ones is left out) and U packed into one matrix, the row interchanges
    as LAPACK does them, and the permutation that they amount to.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> packed, pivots, permutation = lax.linalg.lu(jnp.array([[1.0, 2.0], [2.0, 8.0]]))
    >>> packed
    Array([[ 2. ,  8. ],
           [ 0.5, -2. ]], dtype=float32)
    >>> permutation
    Array([1, 0], dtype=int32)
    """
    x = as_operand(x)
    if kind_of(x.aval) in "biu":
        raise TypeError(f"lu: a floating or complex matrix is needed, got {short(x.aval)}")
    return tuple(lu_p.bind(x))


def solve(a, b) -> Array:
    """``x`` with ``a @ x == b``, by an LU decomposition; both are batches of matrices."""
    packed, _, permutation = lu(a)
    x = take_rows(b, permutation)
    x = triangular_solve(packed, x, left_side=True, lower=True, unit_diagonal=True)
    return triangular_solve(packed, x, left_side=True, lower=False)
