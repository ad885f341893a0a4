"""SciPy's linear algebra: decompositions, systems of equations, functions of matrices, special matrices.

Operands may be stacks of matrices in leading axes. Arguments such as ``overwrite_a`` and ``check_finite`` are there for
compatibility and have no effect: arrays do not change, and values are not known while a function is traced.
"""

import warnings
from functools import partial

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import check_arrays, check_choice
from cyxla.lax.linalg.lapack import check_matrix
from cyxla.lax.linalg.matrices import adjoint, identity, matmul, pad_rows
from cyxla.numpy.linalg import det as _det
from cyxla.numpy.linalg import inv as _inv
from cyxla.numpy.promotion import complex_dtype, promote_inexact
from cyxla.scipy._matrix_functions import expm as expm
from cyxla.scipy._matrix_functions import expm_frechet as expm_frechet
from cyxla.scipy._matrix_functions import funm as funm
from cyxla.scipy._matrix_functions import inexact_arrays, square_matrices
from cyxla.scipy._matrix_functions import rsf2csf as rsf2csf
from cyxla.scipy._matrix_functions import solve_sylvester as solve_sylvester
from cyxla.scipy._matrix_functions import sqrtm as sqrtm
from cyxla.scipy._special_matrices import block_diag as block_diag
from cyxla.scipy._special_matrices import circulant as circulant
from cyxla.scipy._special_matrices import companion as companion
from cyxla.scipy._special_matrices import convolution_matrix as convolution_matrix
from cyxla.scipy._special_matrices import dft as dft
from cyxla.scipy._special_matrices import fiedler as fiedler
from cyxla.scipy._special_matrices import fiedler_companion as fiedler_companion
from cyxla.scipy._special_matrices import hadamard as hadamard
from cyxla.scipy._special_matrices import hankel as hankel
from cyxla.scipy._special_matrices import helmert as helmert
from cyxla.scipy._special_matrices import hilbert as hilbert
from cyxla.scipy._special_matrices import invhilbert as invhilbert
from cyxla.scipy._special_matrices import invpascal as invpascal
from cyxla.scipy._special_matrices import leslie as leslie
from cyxla.scipy._special_matrices import pascal as pascal
from cyxla.scipy._special_matrices import toeplitz as toeplitz
from cyxla.scipy._tridiagonal_eigen import eigh_tridiagonal as eigh_tridiagonal


def _matrices(name, *args):
    """Arguments as arrays of one inexact dtype, each a matrix or a stack of matrices."""
    arrays = inexact_arrays(name, *args)
    for x in arrays:
        check_matrix(name, x.aval)
    return arrays


def _to_shape(x, batch):
    return jnp.broadcast_to(x, (*batch, *x.shape[-2:]))


def _with_right_sides(name, a, b, *, vectors_in_stacks=True):
    """Systems and right-hand sides as equal stacks of matrices, and what brings a solution to the shape of ``b``.

    With ``vectors_in_stacks`` a b of one axis less than a is a stack of vectors, which is deprecated.
    """
    vector = b.ndim == 1
    if vectors_in_stacks and b.ndim == a.ndim - 1 and not vector:
        warnings.warn(
            f"{name}: a stack of vectors b is deprecated beside a stack of matrices; write b[..., None], and take "
            "[..., 0] of the result",
            FutureWarning,
            stacklevel=3,
        )
        vector = True
    if vector:
        b = b[..., None]
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise ValueError(
            f"{name}: b must have as many rows as a, got shapes a={a.shape} and b={b.shape}; a stack of vectors "
            "needs a last axis of one"
        )
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return batch, _to_shape(b, batch), (lambda x: x[..., 0]) if vector else lambda x: x


# triangular and Cholesky ----------------------------------------------------------------------------------------------


def solve_triangular(a, b, trans=0, lower=False, unit_diagonal=False, overwrite_b=False, debug=None, check_finite=True):
    """x with ``op(a) @ x == b`` for upper or ``lower`` triangular matrices; the other triangle is not read.

    ``trans`` is 0 or "N" for a itself, 1 or "T" for its transpose, 2 or "C" for its adjoint. ``unit_diagonal`` takes
    the diagonal as ones. ValueError for shapes that do not fit or another ``trans``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import solve_triangular
    >>> solve_triangular(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([2.0, 3.0]), lower=True)
    Array([1., 2.], dtype=float32)
    """
    a, b = inexact_arrays("solve_triangular", a, b)
    square_matrices("solve_triangular", a)
    check_choice("solve_triangular", "trans", trans, (0, 1, 2, "N", "T", "C"))
    batch, b, shaped = _with_right_sides("solve_triangular", a, b)
    x = lax.linalg.triangular_solve(
        _to_shape(a, batch),
        b,
        left_side=True,
        lower=lower,
        transpose_a=trans not in (0, "N"),
        conjugate_a=trans in (2, "C"),
        unit_diagonal=unit_diagonal,
    )
    return shaped(x)


def cholesky(a, lower=False, overwrite_a=False, check_finite=True):
    """The upper triangular u with ``u.conj().T @ u == a``, or the ``lower`` triangular l with ``l @ l.conj().T == a``.

    Only that triangle of the Hermitian positive definite matrices ``a`` is read. Others give NaN. ValueError for
    matrices that are not square.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import cholesky
    >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 10.0]]))
    Array([[2., 1.],
           [0., 3.]], dtype=float32)
    """
    (a,) = square_matrices("cholesky", a)
    if lower:
        return lax.linalg.cholesky(a, symmetrize_input=False)
    return adjoint(lax.linalg.cholesky(adjoint(a), symmetrize_input=False))


def cho_factor(a, lower=False, overwrite_a=False, check_finite=True):
    """A Cholesky factor for `cho_solve`, and ``lower``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import cho_factor, cho_solve
    >>> cho_solve(cho_factor(jnp.array([[4.0, 0.0], [0.0, 1.0]])), jnp.array([8.0, 1.0]))
    Array([2., 1.], dtype=float32)
    """
    return cholesky(a, lower), lower


def cho_solve(c_and_lower, b, overwrite_b=False, check_finite=True):
    """x with ``a @ x == b``, from what `cho_factor` returns for a. ValueError for shapes that do not fit."""
    factor, lower = c_and_lower
    factor, b = inexact_arrays("cho_solve", factor, b)
    square_matrices("cho_solve", factor)
    batch, b, shaped = _with_right_sides("cho_solve", factor, b)
    factor = _to_shape(factor, batch)
    for adjointed in (not lower, bool(lower)):
        b = lax.linalg.triangular_solve(
            factor, b, left_side=True, lower=lower, transpose_a=adjointed, conjugate_a=adjointed
        )
    return shaped(b)


# LU -------------------------------------------------------------------------------------------------------------------


def lu_factor(a, overwrite_a=False, check_finite=True):
    """LU factors with partial pivoting, packed into one matrix, and the exchanges of rows, for `lu_solve`.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import lu_factor, lu_solve
    >>> lu_solve(lu_factor(jnp.array([[0.0, 2.0], [1.0, 0.0]])), jnp.array([4.0, 1.0]))
    Array([1., 2.], dtype=float32)
    """
    packed, pivots, _ = lax.linalg.lu(*_matrices("lu_factor", a))
    return packed, pivots


def lu_solve(lu_and_piv, b, trans=0, overwrite_b=False, check_finite=True):
    """x with ``op(a) @ x == b``, from what `lu_factor` returns for a.

    ``trans`` is 0 for a itself, 1 for its transpose, 2 for its adjoint. ValueError for shapes that do not fit or
    another ``trans``.
    """
    packed, pivots = lu_and_piv
    packed, b = inexact_arrays("lu_solve", packed, b)
    square_matrices("lu_solve", packed)
    check_choice("lu_solve", "trans", trans, (0, 1, 2))
    batch, b, shaped = _with_right_sides("lu_solve", packed, b)
    packed = _to_shape(packed, batch)
    rows = lax.linalg.lu_pivots_to_permutation(jnp.asarray(pivots), packed.shape[-1])
    rows = jnp.broadcast_to(rows, (*batch, rows.shape[-1]))[..., None]
    factors = ({"lower": True, "unit_diagonal": True}, {"lower": False})
    if not trans:
        x = jnp.take_along_axis(b, rows, axis=-2)
        for options in factors:
            x = lax.linalg.triangular_solve(packed, x, left_side=True, **options)
        return shaped(x)
    for options in reversed(factors):
        b = lax.linalg.triangular_solve(packed, b, left_side=True, transpose_a=True, conjugate_a=trans == 2, **options)
    return shaped(jnp.take_along_axis(b, jnp.argsort(rows, axis=-2), axis=-2))


def lu(a, permute_l=False, overwrite_a=False, check_finite=True):
    """The LU decomposition with partial pivoting: p, l and u with ``a == p @ l @ u``.

    l is lower triangular with a diagonal of ones, u upper triangular. With ``permute_l`` the product p @ l and u.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import lu
    >>> p, l, u = lu(jnp.array([[1.0, 2.0], [2.0, 8.0]]))
    >>> u
    Array([[ 2.,  8.],
           [ 0., -2.]], dtype=float32)
    """
    (a,) = _matrices("lu", a)
    packed, _, permutation = lax.linalg.lu(a)
    m, n = a.shape[-2:]
    k = min(m, n)
    batch = a.shape[:-2]
    lower = jnp.tril(packed[..., :k], -1) + pad_rows(identity(k, a.dtype, batch), m - k)
    upper = jnp.triu(packed[..., :k, :])
    p = (jnp.arange(m, dtype=permutation.dtype)[:, None] == permutation[..., None, :]).astype(a.real.dtype)
    return (matmul(p.astype(a.dtype), lower), upper) if permute_l else (p, lower, upper)


def det(a, overwrite_a=False, check_finite=True):
    """The determinants of square matrices.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import det
    >>> det(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    Array(-2., dtype=float32)
    """
    return _det(a)


def inv(a, overwrite_a=False, check_finite=True):
    """The inverses of square matrices.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import inv
    >>> inv(jnp.array([[2.0, 0.0], [0.0, 4.0]]))
    Array([[0.5 , 0.  ],
           [0.  , 0.25]], dtype=float32)
    """
    return _inv(a)


def solve(a, b, lower=False, overwrite_a=False, overwrite_b=False, debug=False, check_finite=True, assume_a="gen"):
    """x with ``a @ x == b``, for square matrices and a vector or (stacks of) matrices ``b``.

    ``assume_a="pos"`` promises Hermitian positive definite matrices, of which only the upper or ``lower`` triangle is
    read; "sym" and "her" are solved as "gen", the general case. ValueError for shapes that do not fit, or another
    ``assume_a``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import solve
    >>> solve(jnp.array([[2.0, 0.0], [0.0, 4.0]]), jnp.array([2.0, 8.0]))
    Array([1., 2.], dtype=float32)
    """
    check_arrays("solve", a, b)
    a, b = promote_inexact(a, b)
    square_matrices("solve", a)
    check_choice("solve", "assume_a", assume_a, ("gen", "sym", "her", "pos"))
    batch, b, shaped = _with_right_sides("solve", a, b, vectors_in_stacks=False)
    if assume_a == "pos":
        return shaped(cho_solve(cho_factor(_to_shape(a, batch), lower), b))
    return shaped(jnp.linalg.solve(a, b))


# eigenvalues and singular values --------------------------------------------------------------------------------------


def eigh(
    a,
    b=None,
    lower=True,
    eigvals_only=False,
    overwrite_a=False,
    overwrite_b=False,
    turbo=True,
    eigvals=None,
    type=1,
    check_finite=True,
):
    """Eigenvalues, in ascending order, and eigenvectors (as columns) of Hermitian matrices.

    With positive definite matrices ``b`` those of ``a @ x = w * b @ x``, or for ``type`` 2 and 3 of
    ``a @ b @ x = w * x`` and ``b @ a @ x = w * x``. ``eigvals=(first, last)`` selects those of these numbers. Matrices
    are taken as half the sum of themselves and their adjoints. ValueError for matrices that are not square.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import eigh
    >>> eigh(jnp.array([[2.0, 0.0], [0.0, 1.0]]), eigvals_only=True)
    Array([1., 2.], dtype=float32)
    """
    check_choice("eigh", "type", type, (1, 2, 3))
    if b is None:
        (a,) = square_matrices("eigh", a)
        v, w = lax.linalg.eigh(a, lower=lower)
    else:
        a, b = square_matrices("eigh", a, b)
        batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, factor = _to_shape(a, batch), lax.linalg.cholesky(_to_shape(b, batch))
        solve_left = partial(lax.linalg.triangular_solve, factor, left_side=True, lower=True)
        if type == 1:
            a = adjoint(solve_left(adjoint(solve_left(a))))
        else:
            a = matmul(matmul(adjoint(factor), a), factor)
        v, w = lax.linalg.eigh(a)
        v = matmul(factor, v) if type == 3 else solve_left(v, transpose_a=True, conjugate_a=True)
    if eigvals is not None:
        first, last = eigvals
        if not 0 <= first <= last < a.shape[-1]:
            raise ValueError(f"eigh: eigvals={eigvals} must be two numbers in [0, {a.shape[-1]}), in ascending order")
        w, v = w[..., first : last + 1], v[..., first : last + 1]
    return w if eigvals_only else (w, v)


def svd(a, full_matrices=True, compute_uv=True, overwrite_a=False, check_finite=True, lapack_driver="gesdd"):
    """The singular value decomposition: u, s and vh with ``a == (u * s) @ vh``, s in descending order.

    Without ``compute_uv`` only s. ``lapack_driver`` is "gesdd" (divide and conquer) or "gesvd" (QR iteration).

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import svd
    >>> svd(jnp.array([[0.0, 2.0], [1.0, 0.0]]), compute_uv=False)
    Array([2., 1.], dtype=float32)
    """
    (a,) = _matrices("svd", a)
    check_choice("svd", "lapack_driver", lapack_driver, ("gesdd", "gesvd"))
    algorithm = lax.linalg.SvdAlgorithm.QR if lapack_driver == "gesvd" else None
    return lax.linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv, algorithm=algorithm)


# QR and reduced forms -------------------------------------------------------------------------------------------------


def qr(a, overwrite_a=False, lwork=None, mode="full", pivoting=False, check_finite=True):
    """The QR decomposition: q with orthonormal columns and r upper triangular, ``a == q @ r``.

    ``mode`` is "full" (q square), "economic" or "r" (r alone). With ``pivoting`` the order p of columns with
    ``a[:, p] == q @ r`` comes last. The result is a tuple for each mode.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import qr
    >>> q, r = qr(jnp.array([[3.0, 0.0], [4.0, 5.0]]))
    >>> bool(jnp.allclose(q @ r, jnp.array([[3.0, 0.0], [4.0, 5.0]]), atol=1e-5))
    True
    """
    (a,) = _matrices("qr", a)
    check_choice("qr", "mode", mode, ("full", "r", "economic"))
    out = lax.linalg.qr(a, pivoting=pivoting, full_matrices=mode != "economic")
    return out[1:] if mode == "r" else out


def qr_multiply(a, c, mode="right", pivoting=False, conjugate=False, overwrite_a=False, overwrite_c=False):
    """The product ``c @ q`` (or ``q @ c`` for the ``mode`` "left") and r, for ``a == q @ r`` with as many columns in q
    as the lesser size of a.

    ``c`` is a matrix or a vector. With ``conjugate`` q is conjugated, not transposed. With ``pivoting`` the order p of
    columns with ``a[:, p] == q @ r`` comes last. ValueError for shapes that do not fit or another ``mode``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import qr_multiply
    >>> product, r = qr_multiply(jnp.array([[3.0, 0.0], [4.0, 5.0]]), jnp.array([3.0, 4.0]))
    >>> bool(jnp.allclose(jnp.abs(product), jnp.array([5.0, 0.0]), atol=1e-5))
    True
    """
    a, c = inexact_arrays("qr_multiply", a, c)
    if a.ndim < 2:
        raise ValueError(f"qr_multiply: a must be a matrix or a stack of matrices, its shape is {a.shape}")
    check_matrix("qr_multiply", a.aval)
    check_choice("qr_multiply", "mode", mode, ("right", "left"))
    q, *rest = lax.linalg.qr(a, pivoting=pivoting, full_matrices=False)
    if conjugate:
        q = jnp.conj(q)
    axis, size = (-1, q.shape[-2]) if mode == "right" else (-2 if c.ndim > 1 else -1, q.shape[-1])
    if c.ndim < 1 or c.shape[axis] != size:
        raise ValueError(
            f"qr_multiply: for a of shape {a.shape} and mode={mode!r}, axis {axis} of c must have the size {size}; its "
            f"shape is {c.shape}"
        )
    return (jnp.matmul(*((c, q) if mode == "right" else (q, c)), precision="highest"), *rest)


def hessenberg(a, *, calc_q=False, overwrite_a=False, check_finite=True):
    """The Hessenberg form h of square matrices, zero below the first subdiagonal, and with ``calc_q`` the unitary q
    with ``a == q @ h @ q.conj().T``. ValueError for matrices that are not square.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import hessenberg
    >>> h, q = hessenberg(jnp.arange(9.0).reshape(3, 3), calc_q=True)
    >>> bool(jnp.allclose(q @ h @ q.T, jnp.arange(9.0).reshape(3, 3), atol=1e-5))
    True
    """
    (a,) = square_matrices("hessenberg", a)
    packed, taus = lax.linalg.hessenberg(a)
    form = jnp.triu(packed, -1)
    if not calc_q:
        return form
    n, batch = a.shape[-1], a.shape[:-2]
    if n < 2:
        return form, identity(n, a.dtype, batch)
    inner = lax.linalg.householder_product(packed[..., 1:, :-1], taus)
    return form, identity(n, a.dtype, batch).at[..., 1:, 1:].set(inner)


def schur(a, output="real"):
    """The Schur form t of square matrices and the unitary z with ``a == z @ t @ z.conj().T``.

    t is upper triangular, but for blocks of two rows and columns on the diagonal of that of a real matrix; with
    ``output="complex"`` the latter is taken as complex. ValueError for matrices that are not square.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import schur
    >>> schur(jnp.array([[1.0, 2.0], [0.0, 3.0]]))[0]
    Array([[1., 2.],
           [0., 3.]], dtype=float32)
    """
    (a,) = square_matrices("schur", a)
    check_choice("schur", "output", output, ("real", "complex"))
    return lax.linalg.schur(a.astype(complex_dtype(a.dtype)) if output == "complex" else a)


# polar ----------------------------------------------------------------------------------------------------------------


@partial(custom_jvp, nondiff_argnums=(1, 2, 3))
@partial(jit, static_argnums=(1, 2, 3))
def _polar(a, method, eps, max_iterations):
    """u and h of matrices with as many rows as columns at least, ``a == u @ h``."""
    if not a.size:
        return a, jnp.zeros((*a.shape[:-2], a.shape[-1], a.shape[-1]), a.dtype)
    if method == "svd":
        u, s, vh = lax.linalg.svd(a, full_matrices=False)
        return matmul(u, vh), matmul(adjoint(vh) * s[..., None, :], vh)
    iterate = partial(lax.linalg.qdwh, eps=eps, max_iterations=max_iterations)
    return jnp.vectorize(lambda a: iterate(a)[:2], signature="(m,n)->(m,n),(n,n)")(a)


@_polar.defjvp
def _polar_jvp(method, eps, max_iterations, primals, tangents):
    (a,), (t,) = primals, tangents
    u, h = _polar(a, method, eps, max_iterations)
    v, w = lax.linalg.eigh(h)
    along = matmul(adjoint(u), t)
    # The rotation r = u^H du is skew and solves h r + r h = u^H da - da^H u.
    inner = matmul(matmul(adjoint(v), along - adjoint(along)), v)
    rotation = matmul(matmul(v, inner / (w[..., :, None] + w[..., None, :])), adjoint(v))
    t_u = matmul(u, rotation)
    if a.shape[-2] > a.shape[-1]:
        outside = matmul(t - matmul(u, along), v) / w[..., None, :]
        t_u = t_u + matmul(outside, adjoint(v))
    t_h = along - matmul(rotation, h)
    return (u, h), (t_u, (t_h + adjoint(t_h)) / 2)


def polar(a, side="right", *, method="qdwh", eps=None, max_iterations=None):
    """The polar decomposition: u, unitary or with orthonormal rows or columns, and p, positive semidefinite.

    ``a == u @ p``, or with ``side="left"`` ``a == p @ u``. ``method`` is "qdwh", whose precision and number of
    iterations ``eps`` and ``max_iterations`` limit, or "svd". ValueError for another ``side`` or ``method``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import polar
    >>> u, p = polar(jnp.array([[0.0, -2.0], [3.0, 0.0]]))
    >>> bool(jnp.allclose(p, jnp.diag(jnp.array([3.0, 2.0])), atol=1e-5))
    True
    """
    (a,) = inexact_arrays("polar", a)
    if a.ndim < 2:
        raise ValueError(f"polar: a matrix or a stack of matrices is needed, got an array of shape {a.shape}")
    check_matrix("polar", a.aval)
    check_choice("polar", "side", side, ("right", "left"))
    check_choice("polar", "method", method, ("qdwh", "svd"))
    wide = a.shape[-2] < a.shape[-1]
    u, p = _polar(adjoint(a) if wide else a, method, None if eps is None else float(eps), max_iterations)
    # p is the factor beside the shorter side of a; the other one is u p u^H.
    if (side == "left") != wide:
        p = matmul(matmul(u, p), adjoint(u))
    return adjoint(u) if wide else u, p
