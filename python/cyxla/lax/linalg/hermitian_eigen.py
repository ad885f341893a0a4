"""Eigenvalues and eigenvectors of Hermitian matrices."""

from __future__ import annotations

import enum

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla.lax._util import is_complex, real_code
from cyxla.lax.linalg.lapack import check_matrix, info_aval, lapack_call, letter, nan_where_failed
from cyxla.lax.linalg.matrices import (
    adjoint,
    batch_matrices,
    diagonal_of,
    inverse_differences,
    matmul,
)
from cyxla.lax.linalg.triangular import as_inexact, symmetrized


class EighImplementation(enum.Enum):
    """How eigenvalues are computed where the backend has a choice; on CPU it is QR."""

    QR = "qr"
    JACOBI = "jacobi"
    QDWH = "qdwh"


def _eigh_abstract(x, *, lower, sort_eigenvalues, subset_by_index, algorithm):
    check_matrix("eigh", x, square=True)
    return [x, shaped_array(x.shape[:-1], real_code(x.code), False)]


def _eigh_lower(ctx, x, *, lower, sort_eigenvalues, subset_by_index, algorithm):
    if algorithm not in (None, EighImplementation.QR):
        raise NotImplementedError(f"eigh: on CPU the implementation is QR, {algorithm.name} is for other devices")
    aval, values_aval = ctx.avals_out
    if not aval.size:
        return [x, ctx.constant(0, values_aval)]
    info = info_aval(aval)
    vectors, values, failed = lapack_call(
        ctx,
        "heevd" if is_complex(aval) else "syevd",
        [(x, aval, "m")],
        [(aval, "m"), (values_aval, "v"), (info, "v")],
        overwrites=(0,),
        mode=letter("V"),
        uplo=letter("L" if lower else "U"),
    )
    return nan_where_failed(ctx, failed, info, [(vectors, aval), (values, values_aval)])


def _eigh_jvp(primals, tangents, **params):
    v, w = eigh_p.bind(*primals, **params)
    (t,) = tangents
    if type(t) is Zero:
        return [v, w], [t, Zero(w.aval)]
    inner = matmul(adjoint(v), matmul(t, v))
    t_w = diagonal_of(inner)
    if is_complex(t_w.aval):
        t_w = lax.real(t_w)
    factors = inverse_differences(w)
    if is_complex(inner.aval):
        factors = lax.convert_element_type(factors, inner.dtype)
    return [v, w], [matmul(v, lax.mul(factors, inner)), t_w]


eigh_p = Primitive("eigh", abstract=_eigh_abstract, lower=_eigh_lower, jvp=_eigh_jvp, multiple_results=True)
eigh_p.batch = batch_matrices(eigh_p)


def eigh(
    x,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: EighImplementation | None = None,
) -> tuple[Array, Array]:
    """Eigenvectors (as columns) and eigenvalues, in ascending order, of Hermitian matrices.

    Only the triangle that ``lower`` names is read unless ``symmetrize_input``, which replaces x by half the sum of x
    and its adjoint. ``subset_by_index=(start, stop)`` returns those eigenvalues and eigenvectors only. ValueError for
    matrices that are not square.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> vectors, values = lax.linalg.eigh(jnp.array([[2.0, 0.0], [0.0, 1.0]]))
    >>> values
    Array([1., 2.], dtype=float32)
    """
    x = as_inexact(x)
    check_matrix("eigh", x.aval, square=True)
    if symmetrize_input:
        x = symmetrized(x)
    v, w = eigh_p.bind(
        x, lower=bool(lower), sort_eigenvalues=bool(sort_eigenvalues), subset_by_index=None, algorithm=implementation
    )
    if subset_by_index is not None:
        start, stop = subset_by_index
        if not 0 <= start <= stop <= x.shape[-1]:
            raise ValueError(f"eigh: subset_by_index must lie in [0, {x.shape[-1]}], got {subset_by_index}")
        v, w = (lax.slice_in_dim(y, start, stop, axis=-1) for y in (v, w))
    return v, w
