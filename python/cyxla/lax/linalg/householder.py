"""Products of Householder reflections, in the packed form in which LAPACK's decompositions leave them.

Column i of the packed matrix holds, below its diagonal, the vector v of the reflection I - tau v v^H; above it, v has a
one at position i and zeros before.
"""

from __future__ import annotations

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.autodiff import instantiate_zeros
from cyxla._engine.core import Primitive, Zero
from cyxla._transform.grad import jvp
from cyxla.lax._util import as_operand, check_same_dtype, is_complex, short
from cyxla.lax.linalg.lapack import check_matrix, lapack_call
from cyxla.lax.linalg.matrices import (
    adjoint,
    as_columns,
    batch_matrices,
    identity,
    lower_part,
    matmul,
    pad_rows,
    upper_part,
)
from cyxla.lax.linalg.triangular import triangular_solve


def _times(a, taus, c, *, adjointed: bool = False) -> Array:
    """The product of the reflections, or its adjoint, with the matrices c, written as I - V T V^H.

    With U the part of V^H V above the diagonal and D the diagonal matrix of the taus, T solves (I + D U) T = D.
    It is what the derivatives are taken of.
    """
    m, k = a.shape[-2], taus.shape[-1]
    batch = a.shape[:-2]
    a = lax.slice_in_dim(a, 0, k, axis=-1)
    v = lax.add(lower_part(a, diagonal=False), pad_rows(identity(k, a.dtype, batch), m - k))
    inner = matmul(adjoint(v), v)
    scaled = lax.mul(upper_part(inner, diagonal=False), as_columns(taus, inner.shape))
    system = lax.add(scaled, identity(k, a.dtype, batch))
    options = {"left_side": True, "lower": False, "unit_diagonal": True}
    change = matmul(adjoint(v), c)
    if adjointed:
        change = triangular_solve(system, change, **options, transpose_a=True, conjugate_a=True)
        scale = lax.conj(taus) if is_complex(taus.aval) else taus
        change = lax.mul(change, as_columns(scale, change.shape))
    else:
        change = triangular_solve(system, lax.mul(change, as_columns(taus, change.shape)), **options)
    return lax.sub(c, matmul(v, change))


def _jvp_of(primitive, function):
    """The derivative rule of a primitive that computes what a function of lax operations does."""

    def rule(primals, tangents, **params):
        out = primitive.bind(*primals, **params)
        if all(type(t) is Zero for t in tangents):
            return out, Zero(out.aval)
        tangents = tuple(instantiate_zeros(t) for t in tangents)
        return out, jvp(lambda *args: function(*args, **params), tuple(primals), tangents)[1]

    return rule


# ---- householder_product


def _householder_product_abstract(a, taus):
    check_same_dtype("householder_product", (a, taus))
    check_matrix("householder_product", a)
    if taus.ndim < 1 or taus.shape[:-1] != a.shape[:-2]:
        raise TypeError(
            f"householder_product: a and taus must have the same batch dimensions, got {short(a)} and {short(taus)}"
        )
    m, n = a.shape[-2:]
    if m < n or taus.shape[-1] > n:
        raise ValueError(
            "householder_product: a must have at least as many rows as columns, and as many columns as there are "
            f"taus, got {short(a)} and {short(taus)}"
        )
    return a


def _householder_product_lower(ctx, a, taus):
    aval, taus_aval = ctx.avals_in
    if not aval.size:
        return a
    routine = "ungqr" if is_complex(aval) else "orgqr"
    return lapack_call(ctx, routine, [(a, aval, "m"), (taus, taus_aval, "v")], [(aval, "m")], overwrites=(0,))[0]


def _first_columns(a, taus) -> Array:
    m, n = a.shape[-2:]
    return _times(a, taus, pad_rows(identity(n, a.dtype, a.shape[:-2]), m - n))


householder_product_p = Primitive(
    "householder_product", abstract=_householder_product_abstract, lower=_householder_product_lower
)
householder_product_p.jvp = _jvp_of(householder_product_p, _first_columns)
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


# ---- ormqr


def _ormqr_abstract(a, taus, c, *, left, transpose):
    check_same_dtype("ormqr", (a, taus, c))
    check_matrix("ormqr", a)
    check_matrix("ormqr", c)
    if taus.ndim < 1 or not a.shape[:-2] == taus.shape[:-1] == c.shape[:-2]:
        raise TypeError(
            f"ormqr: a, taus and c must have the same batch dimensions, got {short(a)}, {short(taus)} and {short(c)}"
        )
    m, n = a.shape[-2:]
    k = taus.shape[-1]
    if k > min(m, n) or c.shape[-2 if left else -1] != m:
        raise ValueError(
            f"ormqr: a must have at least as many rows and columns as there are taus, and as many rows as c has "
            f"{'rows' if left else 'columns'}, got {short(a)}, {short(taus)} and {short(c)}"
        )
    return c


def _ormqr_lower(ctx, a, taus, c, *, left, transpose):
    a_aval, taus_aval, aval = ctx.avals_in
    if not aval.size or not taus_aval.size:
        return c
    return lapack_call(
        ctx,
        "unmqr" if is_complex(aval) else "ormqr",
        [(a, a_aval, "m"), (taus, taus_aval, "v"), (c, aval, "m")],
        [(aval, "m")],
        overwrites=(2,),
        left=str(left).lower(),
        transpose=str(transpose).lower(),
    )[0]


def _multiplied(a, taus, c, *, left, transpose) -> Array:
    if left:
        return _times(a, taus, c, adjointed=transpose)
    return adjoint(_times(a, taus, adjoint(c), adjointed=not transpose))


ormqr_p = Primitive("ormqr", abstract=_ormqr_abstract, lower=_ormqr_lower)
ormqr_p.jvp = _jvp_of(ormqr_p, _multiplied)
ormqr_p.batch = batch_matrices(ormqr_p)


def ormqr(a, taus, c, *, left: bool = True, transpose: bool = False) -> Array:
    """``q @ c``, or ``c @ q`` without ``left``, for the product q of all reflections in ``a`` and ``taus``.

    q is square and never formed. With ``transpose`` its adjoint multiplies. ValueError for sizes that do not fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.linalg.ormqr(jnp.ones((2, 1)), jnp.array([1.0]), jnp.array([[1.0], [2.0]]))
    Array([[-2.],
           [-1.]], dtype=float32)
    """
    return ormqr_p.bind(as_operand(a), as_operand(taus), as_operand(c), left=bool(left), transpose=bool(transpose))
