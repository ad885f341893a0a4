"""Cholesky decomposition and triangular systems."""

from __future__ import annotations

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.core import Primitive, UndefinedPrimal, Zero
from cyxla.lax._util import as_operand, check_same_dtype, is_complex, kind_of, scalar_like, short
from cyxla.lax.linalg.lapack import check_matrix, info_aval, lapack_call, letter, nan_where_failed
from cyxla.lax.linalg.matrices import (
    adjoint,
    batch_matrices,
    beside_each_other,
    diagonal_part,
    lower_part,
    matmul,
    transposed,
    upper_part,
)


def symmetrized(x) -> Array:
    """Half the sum of the matrices and their adjoints."""
    total = lax.add(x, adjoint(x))
    return lax.div(total, scalar_like(total, 2))


def as_inexact(x) -> Array:
    """The operand, with integers and booleans as float32."""
    x = as_operand(x)
    return x if kind_of(x.aval) in "fc" else lax.convert_element_type(x, "float32")


# ---- cholesky


def _cholesky_abstract(x):
    check_matrix("cholesky", x, square=True)
    return x


def _cholesky_lower(ctx, x):
    (aval,) = ctx.avals_in
    if not aval.size:
        return x
    info = info_aval(aval)
    factor, failed = lapack_call(
        ctx, "potrf", [(x, aval, "m")], [(aval, "m"), (info, "v")], overwrites=(0,), uplo=letter("L")
    )
    return nan_where_failed(ctx, failed, info, [(factor, aval)])[0]


def _cholesky_jvp(primals, tangents):
    factor = cholesky_p.bind(*primals)
    (t,) = tangents
    if type(t) is Zero:
        return factor, t
    lower = lower_part(factor)
    inner = triangular_solve(lower, t, left_side=False, lower=True, transpose_a=True, conjugate_a=True)
    inner = triangular_solve(lower, inner, left_side=True, lower=True)
    half = lax.sub(lower_part(inner), lax.div(diagonal_part(inner), scalar_like(inner, 2)))
    return factor, matmul(lower, half)


cholesky_p = Primitive("cholesky", abstract=_cholesky_abstract, lower=_cholesky_lower, jvp=_cholesky_jvp)
cholesky_p.batch = batch_matrices(cholesky_p)


def cholesky(x, *, symmetrize_input: bool = True) -> Array:
    """The lower triangular L with ``L @ L.conj().T == x`` for Hermitian positive definite matrices.

    Matrices that are not positive definite give NaN. Only the lower triangle is read unless ``symmetrize_input``, which
    replaces x by half the sum of x and its adjoint; then the derivative is symmetric, too. ValueError for matrices that
    are not square.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.linalg.cholesky(jnp.array([[4.0, 2.0], [2.0, 10.0]]))
    Array([[2., 0.],
           [1., 3.]], dtype=float32)
    """
    x = as_inexact(x)
    if symmetrize_input:
        check_matrix("cholesky", x.aval, square=True)
        x = symmetrized(x)
    return lower_part(cholesky_p.bind(x))


# ---- triangular_solve


def _triangular_solve_abstract(a, b, *, left_side, **_):
    check_same_dtype("triangular_solve", (a, b))
    check_matrix("triangular_solve", a, square=True)
    if b.ndim != a.ndim or a.shape[:-2] != b.shape[:-2]:
        raise TypeError(
            f"triangular_solve: both operands must have the same batch dimensions, got {short(a)} and {short(b)}"
        )
    if a.shape[-1] != b.shape[-2 if left_side else -1]:
        raise TypeError(
            f"triangular_solve: the size of a must be that of {'rows' if left_side else 'columns'} of b, got "
            f"{short(a)} "
            f"and {short(b)}"
        )
    return b


def _triangular_solve_lower(ctx, a, b, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal):
    x, y = ctx.avals_in
    if not y.size:
        return b
    if conjugate_a and not transpose_a and is_complex(x):
        a = ctx.inline_function(lambda args: [lax.conj(args[0])], [a], [x], multiple_results=False)
    transposition = ("C" if conjugate_a else "T") if transpose_a else "N"
    return lapack_call(
        ctx,
        "trsm",
        [(a, x, "m"), (b, y, "m")],
        [(y, "m")],
        overwrites=(1,),
        diag=letter("U" if unit_diagonal else "N"),
        side=letter("L" if left_side else "R"),
        trans_x=letter(transposition),
        uplo=letter("L" if lower else "U"),
    )[0]


def _triangular_solve_jvp(primals, tangents, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal):
    a, b = primals
    t_a, t_b = tangents
    params = {
        "left_side": left_side,
        "lower": lower,
        "transpose_a": transpose_a,
        "conjugate_a": conjugate_a,
        "unit_diagonal": unit_diagonal,
    }
    out = triangular_solve_p.bind(a, b, **params)
    if type(t_a) is Zero and type(t_b) is Zero:
        return out, t_b
    right = None if type(t_b) is Zero else t_b
    if type(t_a) is not Zero:
        # op(a) x = b: its tangent is op(a)^-1 (db - op(da) x).
        t_a = (lower_part if lower else upper_part)(t_a, diagonal=not unit_diagonal)
        if conjugate_a and is_complex(t_a.aval):
            t_a = lax.conj(t_a)
        if transpose_a:
            t_a = transposed(t_a)
        change = matmul(t_a, out) if left_side else matmul(out, t_a)
        right = lax.neg(change) if right is None else lax.sub(right, change)
    return out, triangular_solve_p.bind(a, right, **params)


def _triangular_solve_transpose(ct, a, b, *, transpose_a, **params):
    if isinstance(a, UndefinedPrimal):
        raise NotImplementedError("triangular_solve is linear in b only, not in a")
    return [None, triangular_solve_p.bind(a, ct, transpose_a=not transpose_a, **params)]


triangular_solve_p = Primitive(
    "triangular_solve",
    abstract=_triangular_solve_abstract,
    lower=_triangular_solve_lower,
    jvp=_triangular_solve_jvp,
    transpose=_triangular_solve_transpose,
)


def _triangular_solve_batch(args, dims, *, left_side, **params):
    a, b = args
    a_dim, b_dim = dims
    if a_dim is None:
        return beside_each_other(
            lambda b: triangular_solve_p.bind(a, b, left_side=left_side, **params), b, b_dim, left_side=left_side
        )
    return batch_matrices(triangular_solve_p)(args, dims, left_side=left_side, **params)


triangular_solve_p.batch = _triangular_solve_batch


def triangular_solve(
    a,
    b,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    """Solves ``op(a) @ x = b`` (with ``left_side``) or ``x @ op(a) = b`` for triangular matrices ``a``.

    ``op`` transposes and conjugates as ``transpose_a`` and ``conjugate_a`` say. Only the triangle that ``lower`` names
    is read, and not its diagonal with ``unit_diagonal``. ``b`` may have one dimension less than ``a``: then it is a
    vector.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> a = jnp.array([[2.0, 0.0], [1.0, 1.0]])
    >>> lax.linalg.triangular_solve(a, jnp.array([2.0, 3.0]), left_side=True, lower=True)
    Array([1., 2.], dtype=float32)
    """
    a, b = as_operand(a), as_operand(b)
    vector = b.ndim == a.ndim - 1
    if vector:
        b = lax.expand_dims(b, (b.ndim if left_side else b.ndim - 1,))
    out = triangular_solve_p.bind(
        a,
        b,
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        conjugate_a=bool(conjugate_a) and is_complex(a.aval),
        unit_diagonal=bool(unit_diagonal),
    )
    return lax.squeeze(out, (out.ndim - 1 if left_side else out.ndim - 2,)) if vector else out
