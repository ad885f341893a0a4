"""QR decomposition by Householder reflections."""

from __future__ import annotations

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.core import Primitive, Zero
from cyxla._transform.lower import lower_fun
from cyxla.lax._util import as_operand, check_same_dtype, is_complex, short, with_shape
from cyxla.lax.linalg.lapack import PREFIXES, check_matrix, lapack_call
from cyxla.lax.linalg.lu_decomposition import solve
from cyxla.lax.linalg.matrices import adjoint, batch_matrices, diagonal_part, identity, lower_part, matmul, upper_part
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
    return lapack_call(ctx, "geqrf", [(x, aval, "m")], [(aval, "m"), (taus, "v")], overwrites=0)


geqrf_p = Primitive("geqrf", abstract=_geqrf_abstract, lower=_geqrf_lower, multiple_results=True)
geqrf_p.batch = batch_matrices(geqrf_p)


# ---- householder_product


def _householder_product_abstract(a, taus):
    check_same_dtype("householder_product", (a, taus))
    check_matrix("householder_product", a)
    if taus.shape[:-1] != a.shape[:-2] or taus.ndim < 1:
        raise TypeError(
            f"householder_product: a and taus must have the same batch dimensions, got {short(a)} and {short(taus)}"
        )
    m, n = a.shape[-2:]
    if m < n or taus.shape[-1] > n:
        raise ValueError(
            "householder_product: a must have at least as many rows as columns, and as many columns as there are "
            "taus, got "
            f"{short(a)} and {short(taus)}"
        )
    return a


def _householder_product_lower(ctx, a, taus):
    aval, taus_aval = ctx.avals_in
    if not aval.size:
        return a
    routine = "ungqr" if is_complex(aval) else "orgqr"
    return lapack_call(ctx, routine, [(a, aval, "m"), (taus, taus_aval, "v")], [(aval, "m")], overwrites=0)[0]


householder_product_p = Primitive(
    "householder_product", abstract=_householder_product_abstract, lower=_householder_product_lower
)
householder_product_p.batch = batch_matrices(householder_product_p)


def householder_product(a, taus) -> Array:
    """The first columns of the product of the Householder reflections that ``a`` and ``taus`` hold as LAPACK packs
    them.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.linalg.householder_product(jnp.ones((2, 1)), jnp.array([1.0]))
    Array([[ 0.],
           [-1.]], dtype=float32)
    """
    return householder_product_p.bind(as_operand(a), as_operand(taus))


# ---- qr


def _qr_abstract(x, *, full_matrices, pivoting, use_magma):
    check_matrix("qr", x)
    *batch, m, n = x.shape
    k = m if full_matrices else min(m, n)
    return [with_shape(x, (*batch, m, k)), with_shape(x, (*batch, k, n))]


def _qr(x, *, full_matrices, pivoting, use_magma) -> list[Array]:
    *batch, m, n = x.shape
    k = m if full_matrices else min(m, n)
    if not x.size:
        if k == 0:
            return [lax.full((*batch, m, k), 0, x.dtype), lax.full((*batch, k, n), 0, x.dtype)]
        return [identity(m, x.dtype, tuple(batch)), lax.full((*batch, k, n), 0, x.dtype)]
    packed, taus = geqrf_p.bind(x)
    whole = [(0, size) for size in batch]

    def columns(count):
        bounds = [*whole, (0, m), (0, count)]
        return lax.slice(packed, [b[0] for b in bounds], [b[1] for b in bounds])

    if k <= n:
        q = columns(k)
    else:
        q = lax.pad(packed, lax.full((), 0, x.dtype), [(0, 0, 0)] * (len(batch) + 1) + [(0, k - n, 0)])
    q = householder_product_p.bind(q, taus)
    r = lax.slice(packed, [0] * packed.ndim, (*batch, k, n))
    return [q, upper_part(r)]


def _cut(x, rows: slice, columns: slice) -> Array:
    return x[(Ellipsis, rows, columns)]


def _qr_jvp(primals, tangents, *, full_matrices, pivoting, use_magma):
    params = {"full_matrices": full_matrices, "pivoting": pivoting, "use_magma": use_magma}
    (x,), (t,) = primals, tangents
    q, r = qr_p.bind(x, **params)
    if type(t) is Zero:
        return [q, r], [Zero(q.aval), Zero(r.aval)]
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
        return [q, r], [t_q1, t_r]
    return [q, r], [_complete_rotation(q, q1, t_q1, k), _pad_rows(t_r, m - k)]


def _pad_rows(x, count: int) -> Array:
    config = [(0, 0, 0)] * (x.ndim - 2) + [(0, count, 0), (0, 0, 0)]
    return lax.pad(x, lax.full((), 0, x.dtype), config)


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
    span = lax.sub(q1, _pad_rows(identity(k, q.dtype, q.shape[:-2]), m - k))
    t_q2 = lax.add(matmul(t_q1, c), matmul(span, t_c))
    return lax.concatenate([t_q1, t_q2], q.ndim - 1)


qr_p = Primitive(
    "qr", abstract=_qr_abstract, lower=lower_fun(_qr, multiple_results=True), jvp=_qr_jvp, multiple_results=True
)
qr_p.batch = batch_matrices(qr_p)


def qr(x, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None) -> tuple[Array, Array]:
    """The decomposition of matrices into an orthogonal (unitary) and an upper triangular factor.

    With ``full_matrices`` the orthogonal factor is square; otherwise it has as many columns as the lesser size of
    ``x``.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> q, r = lax.linalg.qr(jnp.array([[3.0, 0.0], [4.0, 5.0]]))
    >>> bool(jnp.allclose(q @ r, jnp.array([[3.0, 0.0], [4.0, 5.0]]), atol=1e-5))
    True
    """
    x = as_operand(x)
    if pivoting:
        raise NotImplementedError("qr: column pivoting is not available")
    if x.ndim >= 2 and x.aval.code not in PREFIXES:
        check_matrix("qr", x.aval)
    q, r = qr_p.bind(x, pivoting=False, full_matrices=bool(full_matrices), use_magma=use_magma)
    return q, r
