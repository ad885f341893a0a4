"""Systems of linear equations with tridiagonal matrices."""

from __future__ import annotations

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.core import Primitive, UndefinedPrimal, Zero
from cyxla.lax._util import as_operand, check_same_dtype, short
from cyxla.lax.linalg.lapack import check_matrix, info_aval, kernel_call, lapack_call, nan_where_failed
from cyxla.lax.linalg.matrices import as_columns, batch_matrices, beside_each_other


def _tridiagonal_solve_abstract(dl, d, du, b, *, perturb_singular):
    check_same_dtype("tridiagonal_solve", (dl, d, du, b))
    check_matrix("tridiagonal_solve", b)
    if not dl.shape == d.shape == du.shape == b.shape[:-1]:
        raise TypeError(
            "tridiagonal_solve: dl, d and du must have the shape of b without its last axis, got "
            f"{short(dl)}, {short(d)}, {short(du)} and {short(b)}; the first element of dl and the last of du are not "
            "used, and a vector b needs a last axis of one"
        )
    return b


def _tridiagonal_solve_lower(ctx, dl, d, du, b, *, perturb_singular):
    *diagonals, aval = ctx.avals_in
    if not aval.size:
        return b
    operands = [*[(name, v, "v") for name, v in zip((dl, d, du), diagonals)], (b, aval, "m")]
    if perturb_singular:
        return kernel_call(ctx, "tridiagonal_solve_perturbed_ffi", operands, [(aval, "m")])[0]
    info = info_aval(aval)
    results = [*[(v, "v") for v in diagonals], (aval, "m"), (info, "v")]
    *_, x, failed = lapack_call(ctx, "gtsv", operands, results, overwrites=(0, 1, 2, 3))
    return nan_where_failed(ctx, failed, info, [(x, aval)])[0]


def _shifted(x, by: int, axis: int) -> Array:
    """The elements moved by one place along an axis; a zero comes in."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (by, -by, 0)
    return lax.pad(x, lax.full((), 0, x.dtype), config)


def _times(dl, d, du, x) -> Array:
    """The product of tridiagonal matrices with the columns of x."""
    terms = ((dl, _shifted(x, 1, -2)), (d, x), (du, _shifted(x, -1, -2)))
    below, on, above = (lax.mul(as_columns(diagonal, x.shape), y) for diagonal, y in terms)
    return lax.add(lax.add(below, on), above)


def _tridiagonal_solve_jvp(primals, tangents, **params):
    dl, d, du, _ = primals
    *changes, right = tangents
    x = tridiagonal_solve_p.bind(*primals, **params)
    if all(type(t) is Zero for t in tangents):
        return x, right
    if any(type(t) is not Zero for t in changes):
        changes = [lax.full_like(d, 0) if type(t) is Zero else t for t in changes]
        change = _times(*changes, x)
        right = lax.neg(change) if type(right) is Zero else lax.sub(right, change)
    return x, tridiagonal_solve_p.bind(dl, d, du, right, **params)


def _tridiagonal_solve_transpose(ct, dl, d, du, b, **params):
    if any(isinstance(x, UndefinedPrimal) for x in (dl, d, du)):
        raise NotImplementedError("tridiagonal_solve is linear in b only, not in the diagonals")
    return [None, None, None, tridiagonal_solve_p.bind(_shifted(du, 1, -1), d, _shifted(dl, -1, -1), ct, **params)]


tridiagonal_solve_p = Primitive(
    "tridiagonal_solve",
    abstract=_tridiagonal_solve_abstract,
    lower=_tridiagonal_solve_lower,
    jvp=_tridiagonal_solve_jvp,
    transpose=_tridiagonal_solve_transpose,
)


def _tridiagonal_solve_batch(args, dims, **params):
    *diagonals, b = args
    if any(dim is not None for dim in dims[:3]):
        return batch_matrices(tridiagonal_solve_p)(args, dims, **params)
    return beside_each_other(lambda b: tridiagonal_solve_p.bind(*diagonals, b, **params), b, dims[3], left_side=True)


tridiagonal_solve_p.batch = _tridiagonal_solve_batch


def tridiagonal_solve(dl, d, du, b, *, perturb_singular: bool = False) -> Array:
    """Solves ``a @ x = b`` for tridiagonal matrices with the diagonals ``dl``, ``d`` and ``du``.

    All three diagonals have n elements: ``dl[i]`` is the element left of ``d[i]`` and ``du[i]`` the one right of it, so
    the first of ``dl`` and the last of ``du`` are not used. ``b`` holds right-hand sides as columns. Singular matrices
    give NaN; with ``perturb_singular`` pivots that are zero count as tiny instead. TypeError for shapes or dtypes that
    do not fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> one = jnp.ones(3)
    >>> lax.linalg.tridiagonal_solve(one, 2 * one, one, jnp.array([[3.0], [4.0], [3.0]]))
    Array([[1.],
           [1.],
           [1.]], dtype=float32)
    """
    dl, d, du, b = (as_operand(x) for x in (dl, d, du, b))
    return tridiagonal_solve_p.bind(dl, d, du, b, perturb_singular=bool(perturb_singular))
