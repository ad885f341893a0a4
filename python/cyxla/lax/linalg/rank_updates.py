"""Matrices plus the product of another one with its transpose."""

from __future__ import annotations

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.core import Primitive, Zero
from cyxla._transform.lower import lower_fun
from cyxla.lax._util import as_operand, check_kind, check_rank, check_same_dtype, scalar_like, short
from cyxla.lax.linalg.matrices import (
    as_columns,
    as_rows,
    batch_matrices,
    diagonal_part,
    lower_part,
    matmul,
    transposed,
    upper_part,
)
from cyxla.lax.linalg.triangular import triangular_solve

# ---- symmetric_product


def _symmetric_product_abstract(a, c, *, alpha, beta):
    check_same_dtype("symmetric_product", (a, c))
    check_kind("symmetric_product", a, "f", "a_matrix")
    check_rank("symmetric_product", "a_matrix", a, 2, error=TypeError)
    n = a.shape[-2]
    if c.shape != (*a.shape[:-1], n):
        error = ValueError if a.ndim == c.ndim else TypeError
        raise error(
            f"symmetric_product: for a_matrix of shape {a.shape}, c_matrix must have the shape {(*a.shape[:-1], n)}, "
            f"not {c.shape}"
        )
    return c


def _scaled(x, factor: float) -> Array:
    return lax.mul(x, scalar_like(x, factor))


def _symmetric_product(a, c, *, alpha, beta) -> Array:
    return lax.add(_scaled(matmul(a, transposed(a)), alpha), _scaled(c, beta))


def _symmetric_product_jvp(primals, tangents, *, alpha, beta):
    a, _ = primals
    t_a, t_c = tangents
    out = symmetric_product_p.bind(*primals, alpha=alpha, beta=beta)
    tangent = t_c if type(t_c) is Zero else _scaled(t_c, beta)
    if type(t_a) is not Zero:
        half = matmul(t_a, transposed(a))
        change = _scaled(lax.add(half, transposed(half)), alpha)
        tangent = change if type(tangent) is Zero else lax.add(tangent, change)
    return out, tangent


symmetric_product_p = Primitive(
    "symmetric_product",
    abstract=_symmetric_product_abstract,
    lower=lower_fun(_symmetric_product),
    jvp=_symmetric_product_jvp,
)
symmetric_product_p.batch = batch_matrices(symmetric_product_p)


def symmetric_product(
    a_matrix, c_matrix, *, alpha: float = 1.0, beta: float = 0.0, symmetrize_output: bool = False
) -> Array:
    """``alpha * a @ a.T + beta * c`` for real matrices a of shape (n, k) and symmetric c of shape (n, n).

    Rely on the lower triangle only, unless ``symmetrize_output``, which copies it to the upper one. ``alpha`` and
    ``beta`` are Python numbers. ValueError for shapes that do not fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.linalg.symmetric_product(jnp.array([[1.0], [2.0]]), jnp.eye(2), beta=3.0)
    Array([[4., 2.],
           [2., 7.]], dtype=float32)
    """
    out = symmetric_product_p.bind(as_operand(a_matrix), as_operand(c_matrix), alpha=float(alpha), beta=float(beta))
    if not symmetrize_output:
        return out
    return lax.add(lower_part(out), transposed(lower_part(out, diagonal=False)))


# ---- cholesky_update


def _cholesky_update_abstract(r, w):
    check_same_dtype("cholesky_update", (r, w))
    check_kind("cholesky_update", r, "f", "r_matrix")
    check_rank("cholesky_update", "r_matrix", r, 2, error=TypeError)
    if r.shape[-1] != r.shape[-2]:
        raise ValueError(f"cholesky_update: r_matrix must be square, got {short(r)}")
    if w.shape != r.shape[:-1]:
        error = ValueError if w.ndim == r.ndim - 1 else TypeError
        raise error(
            f"cholesky_update: w_vector must have the shape {r.shape[:-1]} beside an r_matrix of shape {r.shape}, not "
            f"{w.shape}"
        )
    return r


def _cholesky_update(r, w) -> Array:
    """Rotates w into one row of r after the other, so that its elements vanish (Givens rotations)."""
    *batch, n = w.shape
    if not r.size:
        return r
    rows = lax.transpose(upper_part(r), (r.ndim - 2, *range(r.ndim - 2), r.ndim - 1))

    def spread(x):
        return lax.broadcast_in_dim(x, w.shape, tuple(range(len(batch))))

    def rotate(w, step):
        row, i = step
        ours = lax.dynamic_index_in_dim(row, i, row.ndim - 1, keepdims=False)
        other = lax.dynamic_index_in_dim(w, i, row.ndim - 1, keepdims=False)
        length = lax.sqrt(lax.add(lax.mul(ours, ours), lax.mul(other, other)))
        nothing = lax.eq(length, lax.full_like(length, 0))
        one = lax.full_like(length, 1)
        divisor = lax.select(nothing, one, length)
        cosine = spread(lax.select(nothing, one, lax.div(ours, divisor)))
        sine = spread(lax.div(other, divisor))
        rotated = lax.add(lax.mul(cosine, row), lax.mul(sine, w))
        return lax.sub(lax.mul(cosine, w), lax.mul(sine, row)), rotated

    _, rows = lax.scan(rotate, w, (rows, lax.iota(np.int32, n)))
    return upper_part(lax.transpose(rows, (*range(1, r.ndim - 1), 0, r.ndim - 1)))


def _cholesky_update_jvp(primals, tangents):
    r, w = primals
    t_r, t_w = tangents
    out = cholesky_update_p.bind(r, w)
    if type(t_r) is Zero and type(t_w) is Zero:
        return out, t_r
    # The tangent of out.T @ out, in two halves that are each other's transposes.
    half = None
    if type(t_r) is not Zero:
        half = matmul(transposed(upper_part(r)), upper_part(t_r))
    if type(t_w) is not Zero:
        product = lax.mul(as_columns(w, r.shape), as_rows(t_w, r.shape))
        half = product if half is None else lax.add(half, product)
    change = lax.add(half, transposed(half))
    inner = triangular_solve(out, change, left_side=True, lower=False, transpose_a=True)
    inner = triangular_solve(out, inner, left_side=False, lower=False)
    inner = lax.sub(upper_part(inner), lax.div(diagonal_part(inner), scalar_like(inner, 2)))
    return out, matmul(inner, out)


cholesky_update_p = Primitive(
    "cholesky_update", abstract=_cholesky_update_abstract, lower=lower_fun(_cholesky_update), jvp=_cholesky_update_jvp
)
cholesky_update_p.batch = batch_matrices(cholesky_update_p)


def cholesky_update(r_matrix, w_vector) -> Array:
    """The upper triangular factor of ``r.T @ r + outer(w, w)``, in quadratic time.

    ``r`` is real and upper triangular, of shape (n, n), and w of shape (n,); what is below the diagonal is not read.
    Its diagonal comes out positive. ValueError for shapes that do not fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.linalg.cholesky_update(3 * jnp.eye(2), jnp.array([4.0, 0.0]))
    Array([[5., 0.],
           [0., 3.]], dtype=float32)
    """
    return cholesky_update_p.bind(as_operand(r_matrix), as_operand(w_vector))
