"""QR decomposition by Householder reflections."""

from __future__ import annotations

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive, Zero, aval_to_tangent
from cyxla._transform.lower import lower_fun
from cyxla.lax._util import as_operand, is_complex, with_shape
from cyxla.lax.linalg.householder import householder_product_p
from cyxla.lax.linalg.lapack import INT32, check_matrix, lapack_call
from cyxla.lax.linalg.lu_decomposition import solve
from cyxla.lax.linalg.matrices import (
    adjoint,
    batch_matrices,
    diagonal_part,
    identity,
    lower_part,
    matmul,
    pad_rows,
    take_rows,
    transposed,
    upper_part,
)
from cyxla.lax.linalg.triangular import triangular_solve

# ---- geqrf: the reflections in packed form


def _geqrf_abstract(x):
    check_matrix("geqrf", x)
    *batch, m, n = x.shape
    return [x, with_shape(x, (*batch, min(m, n)))]


def _geqrf_lower(ctx, x):
    aval, taus = ctx.avals_out
    if not aval.size:
        return [x, ctx.constant(0, taus)]
    return lapack_call(ctx, "geqrf", [(x, aval, "m")], [(aval, "m"), (taus, "v")], overwrites=(0,))


geqrf_p = Primitive("geqrf", abstract=_geqrf_abstract, lower=_geqrf_lower, multiple_results=True)
geqrf_p.batch = batch_matrices(geqrf_p)


# ---- geqp3: the same with columns exchanged, so that the diagonal of r does not increase


def _geqp3_abstract(x, columns):
    packed, taus = _geqrf_abstract(x)
    return [packed, columns, taus]


def _geqp3_lower(ctx, x, columns):
    aval, columns_aval, taus = ctx.avals_out
    if not aval.size:
        return [x, columns, ctx.constant(0, taus)]
    return lapack_call(
        ctx,
        "geqp3",
        [(x, aval, "m"), (columns, columns_aval, "v")],
        [(aval, "m"), (columns_aval, "v"), (taus, "v")],
        overwrites=(0, 1),
    )


geqp3_p = Primitive("geqp3", abstract=_geqp3_abstract, lower=_geqp3_lower, multiple_results=True)
geqp3_p.batch = batch_matrices(geqp3_p)


# ---- qr


def _qr_abstract(x, *, full_matrices, pivoting, use_magma):
    check_matrix("qr", x)
    *batch, m, n = x.shape
    k = m if full_matrices else min(m, n)
    out = [with_shape(x, (*batch, m, k)), with_shape(x, (*batch, k, n))]
    return [*out, shaped_array((*batch, n), INT32, False)] if pivoting else out


def _qr(x, *, full_matrices, pivoting, use_magma) -> list[Array]:
    *batch, m, n = x.shape
    k = m if full_matrices else min(m, n)
    if not x.size:
        q = identity(m, x.dtype, tuple(batch)) if k else lax.full((*batch, m, k), 0, x.dtype)
        out = [q, lax.full((*batch, k, n), 0, x.dtype)]
        return [*out, lax.broadcasted_iota(np.int32, (*batch, n), len(batch))] if pivoting else out
    if pivoting:
        # Zeros tell the kernel that every column may move; it counts columns from one.
        packed, columns, taus = geqp3_p.bind(x, lax.full((*batch, n), 0, np.int32))
        permutation = [lax.sub(columns, lax.full_like(columns, 1))]
    else:
        packed, taus = geqrf_p.bind(x)
        permutation = []
    if k <= n:
        q = lax.slice_in_dim(packed, 0, k, axis=-1)
    else:
        q = lax.pad(packed, lax.full((), 0, x.dtype), [(0, 0, 0)] * (len(batch) + 1) + [(0, k - n, 0)])
    q = householder_product_p.bind(q, taus)
    return [q, upper_part(lax.slice_in_dim(packed, 0, k, axis=-2)), *permutation]


def _cut(x, rows: slice, columns: slice) -> Array:
    return x[(Ellipsis, rows, columns)]


def _qr_jvp(primals, tangents, *, full_matrices, pivoting, use_magma):
    params = {"full_matrices": full_matrices, "pivoting": pivoting, "use_magma": use_magma}
    (x,), (t,) = primals, tangents
    q, r, *permutation = qr_p.bind(x, **params)
    out = [q, r, *permutation]
    no_tangents = [Zero(aval_to_tangent(p.aval)) for p in permutation]
    if type(t) is Zero:
        return out, [Zero(q.aval), Zero(r.aval), *no_tangents]
    if pivoting:
        x, t = (transposed(take_rows(transposed(y), permutation[0])) for y in (x, t))
    m, n = x.shape[-2:]
    k = min(m, n)
    every = slice(None)
    # The reduced decomposition of the first k columns: x1 = q1 r1 with a square, upper triangular r1.
    q1, r1 = _cut(q, every, slice(0, k)), _cut(r, slice(0, k), slice(0, k))
    t1 = _cut(t, every, slice(0, k))
    t_rinv = triangular_solve(r1, t1, left_side=False, lower=False)
    inner = matmul(adjoint(q1), t_rinv)
    below = lower_part(inner, diagonal=False)
    rotation = lax.sub(below, adjoint(below))
    if is_complex(x.aval):
        # The diagonal of r stays real, so that of the rotation takes the imaginary part.
        diagonal = diagonal_part(inner)
        imaginary = lax.imag(diagonal)
        rotation = lax.add(rotation, lax.complex(lax.full_like(imaginary, 0), imaginary))
    t_q1 = lax.add(matmul(q1, lax.sub(rotation, inner)), t_rinv)
    # x = q1 r for the first k rows of r, with q1 of orthonormal columns.
    t_r = lax.add(matmul(adjoint(t_q1), x), matmul(adjoint(q1), t))
    t_r = upper_part(t_r)
    if q.shape[-1] == k:
        return out, [t_q1, t_r, *no_tangents]
    return out, [_complete_rotation(q, q1, t_q1, k), pad_rows(t_r, m - k), *no_tangents]


def _complete_rotation(q, q1, t_q1, k: int) -> Array:
    """The tangent of the full orthogonal factor.

    A product of k reflections is I - Y T Y^H, so its last columns q2 are those of the identity plus (q1 - e1) c, where
    e1 are the first columns of the identity. The condition q1^H q2 = 0 determines c and its tangent.
    """
    every = slice(None)
    m = q.shape[-1]
    q2 = _cut(q, every, slice(k, m))
    system = lax.sub(adjoint(_cut(q1, slice(0, k), every)), identity(k, q.dtype, q.shape[:-2]))
    c = solve(system, adjoint(_cut(q1, slice(k, m), every)))
    t_c = solve(system, lax.add(matmul(adjoint(t_q1), q2), matmul(matmul(adjoint(q1), t_q1), c)))
    span = lax.sub(q1, pad_rows(identity(k, q.dtype, q.shape[:-2]), m - k))
    t_q2 = lax.add(matmul(t_q1, c), matmul(span, t_c))
    return lax.concatenate([t_q1, t_q2], q.ndim - 1)


qr_p = Primitive(
    "qr", abstract=_qr_abstract, lower=lower_fun(_qr, multiple_results=True), jvp=_qr_jvp, multiple_results=True
)
qr_p.batch = batch_matrices(qr_p)


def qr(x, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None) -> tuple[Array, ...]:
    """The decomposition of matrices into an orthogonal (unitary) and an upper triangular factor.

    With ``full_matrices`` the orthogonal factor is square; otherwise it has as many columns as the lesser size of
    ``x``. With ``pivoting`` a third result holds the order p of columns, int32, for which ``x[:, p] == q @ r`` and the
    diagonal of r does not increase in modulus.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> x = jnp.array([[3.0, 0.0], [4.0, 5.0]])
    >>> q, r = lax.linalg.qr(x)
    >>> bool(jnp.allclose(q @ r, x, atol=1e-5))
    True
    """
    x = as_operand(x)
    return tuple(qr_p.bind(x, pivoting=bool(pivoting), full_matrices=bool(full_matrices), use_magma=use_magma))
