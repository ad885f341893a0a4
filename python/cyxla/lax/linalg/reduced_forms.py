"""Forms that unitary similarity transformations bring square matrices to: Hessenberg, tridiagonal and Schur."""

from __future__ import annotations

from cyxla._engine.array import Array
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla.lax._util import as_operand, is_complex, real_code, short, with_shape
from cyxla.lax.linalg.lapack import check_matrix, info_aval, lapack_call, letter, nan_where_failed
from cyxla.lax.linalg.matrices import batch_matrices

# ---- hessenberg


def _hessenberg_abstract(a):
    check_matrix("hessenberg", a, square=True)
    return [a, with_shape(a, (*a.shape[:-2], max(a.shape[-1] - 1, 0)))]


def _hessenberg_lower(ctx, a):
    aval, taus_aval = ctx.avals_out
    if not taus_aval.size:
        return [a, ctx.constant(0, taus_aval)]
    info = info_aval(aval)
    packed, taus, failed = lapack_call(
        ctx,
        "gehrd",
        [(a, aval, "m")],
        [(aval, "m"), (taus_aval, "v"), (info, "v")],
        overwrites=(0,),
        low="1 : i32",
        high=f"{aval.shape[-1]} : i32",
    )
    return nan_where_failed(ctx, failed, info, [(packed, aval), (taus, taus_aval)])


hessenberg_p = Primitive("hessenberg", abstract=_hessenberg_abstract, lower=_hessenberg_lower, multiple_results=True)
hessenberg_p.batch = batch_matrices(hessenberg_p)


def hessenberg(a) -> list[Array]:
    """Reduces square matrices to Hessenberg form, which is zero below the first subdiagonal.

    Returns the form with the vectors of the Householder reflections below its subdiagonal, and their n - 1 scalar
    factors. `cyxla.scipy.linalg.hessenberg` returns the matrices themselves.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> packed, taus = lax.linalg.hessenberg(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> packed
    Array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    return hessenberg_p.bind(as_operand(a))


# ---- tridiagonal


def _tridiagonal_abstract(a, *, lower):
    check_matrix("tridiagonal", a, square=True)
    *batch, n = a.shape[:-1]
    if not n:
        raise ValueError(f"tridiagonal: matrices of at least one row are needed, got {short(a)}")
    real = real_code(a.code)
    return [
        a,
        shaped_array((*batch, n), real, False),
        shaped_array((*batch, n - 1), real, False),
        with_shape(a, (*batch, n - 1)),
    ]


def _tridiagonal_lower(ctx, a, *, lower):
    aval, *vectors = ctx.avals_out
    if not aval.size:
        return [a, *[ctx.constant(0, v) for v in vectors]]
    info = info_aval(aval)
    *outs, failed = lapack_call(
        ctx,
        "hetrd" if is_complex(aval) else "sytrd",
        [(a, aval, "m")],
        [(aval, "m"), *[(v, "v") for v in vectors], (info, "v")],
        overwrites=(0,),
        uplo=letter("L" if lower else "U"),
    )
    return nan_where_failed(ctx, failed, info, list(zip(outs, ctx.avals_out)))


tridiagonal_p = Primitive(
    "tridiagonal", abstract=_tridiagonal_abstract, lower=_tridiagonal_lower, multiple_results=True
)
tridiagonal_p.batch = batch_matrices(tridiagonal_p)


def tridiagonal(a, *, lower: bool = True) -> list[Array]:
    """Reduces Hermitian matrices to real symmetric tridiagonal form.

    Only the triangle that ``lower`` names is read. Returns that triangle with the form in its first diagonals and the
    vectors of the Householder reflections in the others, the diagonal and the off-diagonal of the form, and the
    scalar factors of the reflections. ValueError for matrices that are not square, or empty.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> _, diagonal, off_diagonal, _ = lax.linalg.tridiagonal(jnp.array([[1.0, 2.0], [2.0, 3.0]]))
    >>> diagonal, off_diagonal
    (Array([1., 3.], dtype=float32), Array([2.], dtype=float32))
    """
    return tridiagonal_p.bind(as_operand(a), lower=bool(lower))


# ---- schur


def _schur_abstract(x, *, compute_schur_vectors, sort_eig_vals, select_callable):
    check_matrix("schur", x, square=True)
    return [x, x] if compute_schur_vectors else [x]


def _schur_lower(ctx, x, *, compute_schur_vectors, sort_eig_vals, select_callable):
    (aval,) = ctx.avals_in
    if not aval.size:
        return [x] * len(ctx.avals_out)
    info = info_aval(aval)
    values = with_shape(aval, aval.shape[:-1])
    # Of a real matrix LAPACK returns real and imaginary parts of the eigenvalues.
    parts = [(values, "v")] if is_complex(aval) else [(values, "v")] * 2
    form, vectors, *_, failed = lapack_call(
        ctx,
        "gees",
        [(x, aval, "m")],
        [(aval, "m"), (aval, "m"), *parts, (info, "v"), (info, "v")],
        overwrites=(0,),
        mode=letter("V" if compute_schur_vectors else "N"),
        sort=letter("N"),
    )
    wanted = [(form, aval), (vectors, aval)]
    return nan_where_failed(ctx, failed, info, wanted[: len(ctx.avals_out)])


schur_p = Primitive("schur", abstract=_schur_abstract, lower=_schur_lower, multiple_results=True)
schur_p.batch = batch_matrices(schur_p)


def schur(x, *, compute_schur_vectors: bool = True, sort_eig_vals: bool = False, select_callable=None) -> list[Array]:
    """The Schur form T of square matrices and, where asked for, the unitary Z with ``x == Z @ T @ Z.conj().T``.

    T is upper triangular for complex matrices. For real ones Z and T are real, and T has a block of two rows and
    columns on its diagonal for each pair of complex eigenvalues. LAPACK's kernel cannot sort the eigenvalues:
    NotImplementedError for ``sort_eig_vals`` and ``select_callable``. ValueError for matrices that are not square.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> form, vectors = lax.linalg.schur(jnp.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> form
    Array([[1., 2.],
           [0., 3.]], dtype=float32)
    """
    if sort_eig_vals or select_callable is not None:
        raise NotImplementedError(
            "schur: the kernel leaves eigenvalues in the order in which they are found, so sort_eig_vals must be False "
            "and select_callable None"
        )
    return schur_p.bind(
        as_operand(x), compute_schur_vectors=bool(compute_schur_vectors), sort_eig_vals=False, select_callable=None
    )
