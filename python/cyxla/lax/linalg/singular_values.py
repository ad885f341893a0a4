"""Singular value decomposition."""

from __future__ import annotations

import enum

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive, Zero
from cyxla.lax._util import as_operand, is_complex, real_code, scalar_like, with_shape
from cyxla.lax.linalg.lapack import check_matrix, info_aval, lapack_call, letter, nan_where_failed
from cyxla.lax.linalg.matrices import (
    adjoint,
    as_columns,
    as_rows,
    batch_matrices,
    diagonal_of,
    diagonal_part,
    identity,
    matmul,
)


class SvdAlgorithm(enum.Enum):
    """How singular values are computed: by LAPACK's divide and conquer (the default) or its QR iteration on CPU."""

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "polar"
    DIVIDE_AND_CONQUER = "divide_and_conquer"


def _shapes(shape, full_matrices: bool):
    *batch, m, n = shape
    k = min(m, n)
    return (*batch, m, m if full_matrices else k), (*batch, k), (*batch, n if full_matrices else k, n)


def _svd_abstract(x, *, full_matrices, compute_uv, subset_by_index, algorithm):
    check_matrix("svd", x)
    u, s, v = _shapes(x.shape, full_matrices)
    values = shaped_array(s, real_code(x.code), False)
    return [values, with_shape(x, u), with_shape(x, v)] if compute_uv else [values]


def _svd_lower(ctx, x, *, full_matrices, compute_uv, subset_by_index, algorithm):
    (aval,) = ctx.avals_in
    s_aval, *rest = ctx.avals_out
    if not aval.size:
        out = [ctx.constant(0, s_aval)]
        for unitary in rest:
            eye = ctx.inline_function(
                lambda _, u=unitary: [
                    identity(u.shape[-1], u.dtype, u.shape[:-2])
                    if u.shape[-1] == u.shape[-2]
                    else lax.full(u.shape, 0, u.dtype)
                ],
                [],
                [],
            )
            out += eye
        return out
    if algorithm in (SvdAlgorithm.JACOBI, SvdAlgorithm.POLAR):
        raise NotImplementedError(f"svd: the algorithm {algorithm.name} is not available on CPU")
    u, _, v = _shapes(aval.shape, full_matrices)
    u_aval, v_aval = rest or (with_shape(aval, u), with_shape(aval, v))
    info = info_aval(aval)
    mode = ("A" if full_matrices else "S") if compute_uv else "N"
    _, s, u, v, failed = lapack_call(
        ctx,
        "gesvd" if algorithm is SvdAlgorithm.QR else "gesdd",
        [(x, aval, "m")],
        [(aval, "m"), (s_aval, "v"), (u_aval, "m"), (v_aval, "m"), (info, "v")],
        overwrites=(0,),
        mode=letter(mode),
    )
    values = [(s, s_aval), (u, u_aval), (v, v_aval)]
    return nan_where_failed(ctx, failed, info, values if compute_uv else values[:1])


def _svd_jvp(primals, tangents, *, full_matrices, compute_uv, subset_by_index, algorithm):
    (x,), (t,) = primals, tangents
    params = {"subset_by_index": subset_by_index, "algorithm": algorithm}
    m, n = x.shape[-2:]
    if type(t) is Zero:
        out = svd_p.bind(x, full_matrices=full_matrices, compute_uv=compute_uv, **params)
        return out, [Zero(v.aval) for v in out]
    if compute_uv and full_matrices and m != n:
        raise NotImplementedError(
            f"svd: the singular vectors of a {m} by {n} matrix have no derivative with full_matrices=True, as they "
            "are not "
            "unique; use full_matrices=False"
        )
    s, u, vh = svd_p.bind(x, full_matrices=False, compute_uv=True, **params)
    uh, v = adjoint(u), adjoint(vh)
    inner = matmul(uh, matmul(t, v))
    t_s = diagonal_of(inner)
    t_s = lax.real(t_s) if is_complex(x.aval) else t_s
    if not compute_uv:
        return [s], [t_s]
    k = s.shape[-1]
    shape = (*s.shape[:-1], k, k)
    eye = identity(k, s.dtype, s.shape[:-1])
    rows, columns = as_rows(s, shape), as_columns(s, shape)
    # Off the diagonal: 1 / (s_j^2 - s_i^2).
    differences = lax.mul(lax.add(rows, columns), lax.sub(rows, columns))
    factors = lax.sub(lax.div(lax.full_like(eye, 1), lax.add(differences, eye)), eye)
    zero = lax.eq(s, lax.full_like(s, 0))
    inverse = lax.select(
        zero, lax.full_like(s, 0), lax.div(lax.full_like(s, 1), lax.select(zero, lax.full_like(s, 1), s))
    )

    def as_element(x):
        return lax.convert_element_type(x, inner.dtype) if is_complex(inner.aval) else x

    rows, columns, factors = as_element(rows), as_element(columns), as_element(factors)
    right = lax.mul(inner, rows)
    left = lax.mul(columns, inner)
    rotation_u = lax.mul(factors, lax.add(right, adjoint(right)))
    rotation_v = lax.mul(factors, lax.add(left, adjoint(left)))
    if is_complex(inner.aval):
        # The phase of a pair of singular vectors: the left one takes it.
        phase = lax.div(diagonal_part(lax.sub(inner, adjoint(inner))), scalar_like(inner, 2))
        rotation_u = lax.add(rotation_u, lax.mul(phase, as_element(as_rows(inverse, shape))))
    t_u, t_v = matmul(u, rotation_u), matmul(v, rotation_v)
    if m > k:
        outside = matmul(t, v)
        outside = lax.sub(outside, matmul(u, matmul(uh, outside)))
        t_u = lax.add(t_u, lax.mul(outside, as_element(as_rows(inverse, outside.shape))))
    if n > k:
        outside = matmul(adjoint(t), u)
        outside = lax.sub(outside, matmul(v, matmul(vh, outside)))
        t_v = lax.add(t_v, lax.mul(outside, as_element(as_rows(inverse, outside.shape))))
    return [s, u, vh], [t_s, t_u, adjoint(t_v)]


svd_p = Primitive("svd", abstract=_svd_abstract, lower=_svd_lower, jvp=_svd_jvp, multiple_results=True)
svd_p.batch = batch_matrices(svd_p)


def svd(
    x,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: SvdAlgorithm | None = None,
) -> Array | tuple[Array, Array, Array]:
    """Singular vectors and values: ``u``, ``s`` in descending order and ``vh`` with ``x == (u * s) @ vh``.

    With ``full_matrices`` the unitary factors are square. Only ``s`` is returned without ``compute_uv``.
    ``subset_by_index=(start, stop)`` returns those singular values and vectors only.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.linalg.svd(jnp.array([[0.0, 2.0], [1.0, 0.0]]), compute_uv=False)
    Array([2., 1.], dtype=float32)
    """
    x = as_operand(x)
    out = svd_p.bind(
        x,
        full_matrices=bool(full_matrices),
        compute_uv=bool(compute_uv),
        subset_by_index=None,
        algorithm=algorithm,
    )
    if subset_by_index is not None:
        start, stop = subset_by_index
        k = min(x.shape[-2:])
        if not 0 <= start <= stop <= k:
            raise ValueError(f"svd: subset_by_index must lie in [0, {k}], got {subset_by_index}")
        if full_matrices and compute_uv:
            raise ValueError("svd: subset_by_index needs full_matrices=False")
        axes = (-1, -1, -2)
        out = [lax.slice_in_dim(y, start, stop, axis=axis) for y, axis in zip(out, axes)]
    if not compute_uv:
        return out[0]
    s, u, vh = out
    return u, s, vh
