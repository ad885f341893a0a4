"""Eigenvalues and eigenvectors of square matrices without symmetry."""

from __future__ import annotations

import enum
import warnings

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla.lax._util import as_operand, complex_code, is_complex, real_code
from cyxla.lax.linalg.lapack import check_matrix, info_aval, lapack_call, letter, nan_where_failed
from cyxla.lax.linalg.lu_decomposition import lu
from cyxla.lax.linalg.matrices import (
    adjoint,
    as_rows,
    batch_matrices,
    diagonal_of,
    inverse_differences,
    matmul,
    take_rows,
)
from cyxla.lax.linalg.triangular import triangular_solve


class EigImplementation(enum.Enum):
    """Where eigenvalues are computed, for backends that have a choice; on CPU it is LAPACK."""

    CUSOLVER = "cusolver"
    MAGMA = "magma"
    LAPACK = "lapack"


def _eig_abstract(
    x, *, compute_left_eigenvectors, compute_right_eigenvectors, enable_eigvec_derivs=False, implementation=None
):
    check_matrix("eig", x, square=True)
    code = complex_code(x.code)
    vectors = shaped_array(x.shape, code, False)
    count = bool(compute_left_eigenvectors) + bool(compute_right_eigenvectors)
    return [shaped_array(x.shape[:-1], code, False), *[vectors] * count]


def _eig_lower(
    ctx, x, *, compute_left_eigenvectors, compute_right_eigenvectors, enable_eigvec_derivs=False, implementation=None
):
    if implementation not in (None, EigImplementation.LAPACK):
        raise ValueError(f"eig: on CPU the implementation is LAPACK, {implementation.name} is for GPUs")
    aval, values_aval = ctx.avals_in[0], ctx.avals_out[0]
    if not aval.size:
        return [ctx.constant(0, out) for out in ctx.avals_out]
    real = shaped_array(values_aval.shape, real_code(values_aval.code), False)
    vectors_aval = shaped_array(aval.shape, values_aval.code, False)
    info = info_aval(aval)
    # Of a real matrix LAPACK returns real and imaginary parts of the eigenvalues.
    parts = [(values_aval, "v")] if is_complex(aval) else [(real, "v"), (real, "v")]
    outs = lapack_call(
        ctx,
        "geev",
        [(x, aval, "m")],
        [*parts, (vectors_aval, "m"), (vectors_aval, "m"), (info, "v")],
        compute_left=letter("V" if compute_left_eigenvectors else "N"),
        compute_right=letter("V" if compute_right_eigenvectors else "N"),
    )
    *values, left, right, failed = outs
    value = (
        values[0] if is_complex(aval) else ctx.op(f"stablehlo.complex {values[0]}, {values[1]} : {values_aval.mlir}")
    )
    wanted = [(value, values_aval)]
    if compute_left_eigenvectors:
        wanted.append((left, vectors_aval))
    if compute_right_eigenvectors:
        wanted.append((right, vectors_aval))
    return nan_where_failed(ctx, failed, info, wanted)


def _solve(a, b):
    """The solution of a x = b for complex square matrices."""
    factors, _, permutation = lu(a)
    b = take_rows(b, permutation)
    b = triangular_solve(factors, b, left_side=True, lower=True, unit_diagonal=True)
    return triangular_solve(factors, b, left_side=True, lower=False)


def _eig_jvp(primals, tangents, **params):
    outs = eig_p.bind(*primals, **params)
    (t,) = tangents
    if type(t) is Zero:
        return outs, [Zero(out.aval) for out in outs]
    vectors_wanted = params["compute_left_eigenvectors"] or params["compute_right_eigenvectors"]
    if (vectors_wanted and not params["enable_eigvec_derivs"]) or params["compute_left_eigenvectors"]:
        raise NotImplementedError(
            "the derivatives of the eigenvectors of a general matrix are defined up to their normalization only: "
            "compute eigenvalues alone, use eigh for symmetric matrices, or pass enable_eigvec_derivs=True with right "
            "eigenvectors"
        )
    values = outs[0]
    if vectors_wanted:
        right = outs[1]
    else:
        right = eig_p.bind(
            *primals, **{**params, "compute_left_eigenvectors": False, "compute_right_eigenvectors": True}
        )[1]
    # With A V = V D: the change of A seen in the basis of eigenvectors has that of D on its diagonal.
    inner = _solve(right, matmul(lax.convert_element_type(t, right.dtype), right))
    t_values = diagonal_of(inner)
    if not vectors_wanted:
        return outs, [t_values]
    change = matmul(right, lax.mul(inverse_differences(values), inner))
    # Eigenvectors keep length one.
    along = lax.real(diagonal_of(matmul(adjoint(right), change)))
    along = as_rows(lax.convert_element_type(along, right.dtype), right.shape)
    return outs, [t_values, lax.sub(change, lax.mul(right, along))]


eig_p = Primitive("eig", abstract=_eig_abstract, lower=_eig_lower, jvp=_eig_jvp, multiple_results=True)
eig_p.batch = batch_matrices(eig_p)


def eig(
    x,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
    implementation: EigImplementation | None = None,
    use_magma: bool | None = None,
) -> list[Array]:
    """Eigenvalues of square matrices and, where asked for, left and right eigenvectors (as columns); all complex.

    Eigenvalues can be differentiated where no eigenvectors are asked for, or with ``enable_eigvec_derivs``, which also
    differentiates right eigenvectors of length one. ``implementation`` chooses among those for GPUs. ValueError for
    matrices that are not square, TypeError for integers.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> values, right = lax.linalg.eig(jnp.array([[2.0, 0.0], [0.0, 1.0]]), compute_left_eigenvectors=False)
    >>> values
    Array([2.+0.j, 1.+0.j], dtype=complex64)
    """
    if use_magma is not None:
        instead = EigImplementation.MAGMA if use_magma else EigImplementation.CUSOLVER
        warnings.warn(
            f"eig: use_magma={use_magma} is the former name of implementation={instead}",
            DeprecationWarning,
            stacklevel=2,
        )
        if implementation is not None:
            raise ValueError("eig: give implementation alone, use_magma is its former name")
        implementation = instead
    return eig_p.bind(
        as_operand(x),
        compute_left_eigenvectors=bool(compute_left_eigenvectors),
        compute_right_eigenvectors=bool(compute_right_eigenvectors),
        enable_eigvec_derivs=bool(enable_eigvec_derivs),
        implementation=implementation,
    )
