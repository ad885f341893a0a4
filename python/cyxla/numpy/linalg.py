"""Linear algebra on matrices and stacks of matrices: decompositions, solvers, norms. Built on ``cyxla.lax.linalg``."""

import itertools
import math
import operator
from typing import NamedTuple

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla.lax._util import check_choice, check_rank

from . import contraction, reductions, triangles, ufuncs
from .axes import broadcast, broadcast_shapes, canonical_axes, canonical_axis
from .contraction import matmul, outer, tensordot, vecdot  # noqa: F401 - names of this module too
from .creation import eye
from .dtypes import finfo
from .elementwise import power, select
from .promotion import convert, default_int, kind, promote, promote_inexact, real_dtype
from .selection import take_along_axis
from .shape import expand_dims, matrix_transpose, moveaxis, reshape


class EigResult(NamedTuple):
    """Eigenvalues and, as columns, the eigenvectors of general matrices."""

    eigenvalues: Array
    eigenvectors: Array


class EighResult(NamedTuple):
    """Eigenvalues in ascending order and, as columns, the eigenvectors of Hermitian matrices."""

    eigenvalues: Array
    eigenvectors: Array


class QRResult(NamedTuple):
    """An orthogonal and an upper triangular factor."""

    Q: Array
    R: Array


class SlogdetResult(NamedTuple):
    """The sign of a determinant and the logarithm of its modulus."""

    sign: Array
    logabsdet: Array


class SVDResult(NamedTuple):
    """Left singular vectors, singular values, and the conjugate transpose of the right singular vectors."""

    U: Array
    S: Array
    Vh: Array


def _matrices(name, a):
    (a,) = promote_inexact(a)
    check_rank(name, "a", a, 2)
    return a


def _square(name, a):
    a = _matrices(name, a)
    if a.shape[-1] != a.shape[-2]:
        raise ValueError(f"{name}: square matrices are needed, got shape {a.shape}")
    return a


def _adjoint(x):
    x = matrix_transpose(x)
    return lax.conj(x) if kind(x.dtype) == "c" else x


def _symmetrized(x):
    return ufuncs.multiply(ufuncs.add(x, _adjoint(x)), 0.5)


def cholesky(a, *, upper=False, symmetrize_input=True):
    """The lower triangular L with a = L @ L.conj().T of positive definite matrices, or with ``upper`` its adjoint.

    NaN where a matrix is not positive definite.
    """
    a = _square("cholesky", a)
    if symmetrize_input:
        a = _symmetrized(a)
    factor = lax.linalg.cholesky(a, symmetrize_input=False)
    return _adjoint(factor) if upper else factor


def inv(a):
    """The inverses of square matrices. Raises ValueError for matrices that are not square.

    >>> import cyxla.numpy as jnp
    >>> jnp.linalg.inv(jnp.array([[2.0, 0.0], [0.0, 4.0]]))
    Array([[0.5 , 0.  ],
           [0.  , 0.25]], dtype=float32)
    """
    a = _square("inv", a)
    n = a.shape[-1]
    return solve(a, lax.broadcast_in_dim(eye(n, dtype=a.dtype), a.shape, (a.ndim - 2, a.ndim - 1)))


def _factored(a):
    """LU factors with the row permutation of square matrices."""
    lu, pivots, permutation = lax.linalg.lu(a)
    return lu, pivots, permutation


def solve(a, b):
    """x with a @ x = b, for square matrices ``a`` and a vector or (stacks of) matrices ``b``.

    Raises ValueError for matrices that are not square or sizes that differ.
    """
    a, b = promote_inexact(a, b)
    a = _square("solve", a)
    if b.ndim < 1 or b.shape[0 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ValueError(f"solve: b must have as many rows as a, got shapes a={a.shape} and b={b.shape}")
    vector = b.ndim == 1
    if vector:
        b = expand_dims(b, -1)
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = broadcast(a, lead + a.shape[-2:]), broadcast(b, lead + b.shape[-2:])
    lu, _, permutation = _factored(lax.stop_gradient(a))

    def substitute(rhs):
        rows = take_along_axis(rhs, expand_dims(permutation, -1), axis=-2)
        y = lax.linalg.triangular_solve(lu, rows, left_side=True, lower=True, unit_diagonal=True)
        return lax.linalg.triangular_solve(lu, y, left_side=True, lower=False)

    def substitute_transposed(rhs):
        y = lax.linalg.triangular_solve(lu, rhs, left_side=True, lower=False, transpose_a=True)
        y = lax.linalg.triangular_solve(lu, y, left_side=True, lower=True, transpose_a=True, unit_diagonal=True)
        order = lax.sort_key_val(
            permutation, lax.broadcasted_iota(permutation.dtype, permutation.shape, permutation.ndim - 1)
        )[1]
        return take_along_axis(y, expand_dims(order, -1), axis=-2)

    x = lax.custom_linear_solve(
        lambda v: matmul(a, v, precision="highest"),
        b,
        lambda _, rhs: substitute(rhs),
        lambda _, rhs: substitute_transposed(rhs),
    )
    return lax.squeeze(x, (x.ndim - 1,)) if vector else x


def det(a):
    """The determinants of square matrices.

    >>> import cyxla.numpy as jnp
    >>> jnp.linalg.det(jnp.array([[2.0, 0.0], [0.0, 4.0]]))
    Array(8., dtype=float32)
    """
    a = _square("det", a)
    n = a.shape[-1]
    if n == 0:
        return lax.full(a.shape[:-2], 1, a.dtype)
    if n == 1:
        return reshape(a, a.shape[:-2])
    if n <= 3:
        return _small_det(a)
    sign, logdet = slogdet(a)
    return ufuncs.multiply(sign, convert(lax.exp(logdet), a.dtype))


def _small_det(a):
    n = a.shape[-1]
    e = [[lax.index_in_dim(lax.index_in_dim(a, i, -2, False), j, -1, False) for j in range(n)] for i in range(n)]
    if n == 2:
        return e[0][0] * e[1][1] - e[0][1] * e[1][0]
    return (
        e[0][0] * (e[1][1] * e[2][2] - e[1][2] * e[2][1])
        - e[0][1] * (e[1][0] * e[2][2] - e[1][2] * e[2][0])
        + e[0][2] * (e[1][0] * e[2][1] - e[1][1] * e[2][0])
    )


def slogdet(a, *, method=None):
    """(sign, logarithm of the modulus) of the determinants of square matrices; (0, -inf) for singular ones.

    ``method`` is "lu" (the default) or "qr".
    """
    a = _square("slogdet", a)
    check_choice("slogdet", "method", method, (None, "lu", "qr"))
    if method == "qr":
        q, r = lax.linalg.qr(a, full_matrices=False)
        diagonal_ = triangles.diagonal(r, axis1=-2, axis2=-1)
        sign = ufuncs.multiply(_unit_product(diagonal_), _orthogonal_sign(q))
    else:
        lu, pivots, _ = _factored(a)
        diagonal_ = triangles.diagonal(lu, axis1=-2, axis2=-1)
        swaps = ufuncs.not_equal(pivots, lax.broadcasted_iota(pivots.dtype, pivots.shape, pivots.ndim - 1))
        odd = ufuncs.equal(lax.rem(reductions.count_nonzero(swaps, -1), np.asarray(2, default_int())), 1)
        sign = _unit_product(diagonal_)
        sign = select(odd, -sign, sign)
    magnitude = lax.abs(diagonal_)
    singular = reductions.any(ufuncs.equal(magnitude, 0), -1)
    logdet = reductions.sum(lax.log(magnitude), -1)
    return SlogdetResult(
        select(singular, convert(0, sign.dtype), sign), select(singular, convert(-math.inf, logdet.dtype), logdet)
    )


def _unit_product(x):
    return reductions.prod(lax.sign(x), -1)


def _orthogonal_sign(q):
    lu, pivots, _ = _factored(lax.stop_gradient(q))
    swaps = ufuncs.not_equal(pivots, lax.broadcasted_iota(pivots.dtype, pivots.shape, pivots.ndim - 1))
    odd = ufuncs.equal(lax.rem(reductions.count_nonzero(swaps, -1), np.asarray(2, default_int())), 1)
    sign = _unit_product(triangles.diagonal(lu, axis1=-2, axis2=-1))
    return select(odd, -sign, sign)


# Decompositions.


def eigh(a, UPLO=None, symmetrize_input=True):
    """(eigenvalues in ascending order, eigenvectors as columns) of Hermitian matrices.

    ``UPLO`` says which triangle is read, "L" or "U"; by default both are averaged.
    """
    a = _square("eigh", a)
    check_choice("eigh", "UPLO", UPLO, (None, "L", "U"))
    if UPLO is not None:
        lower = UPLO == "L"
        part = triangles.tril(a) if lower else triangles.triu(a)
        strict = triangles.tril(a, -1) if lower else triangles.triu(a, 1)
        a = ufuncs.add(part, _adjoint(strict))
    vectors, values = lax.linalg.eigh(a, lower=UPLO != "U", symmetrize_input=symmetrize_input)
    return EighResult(values, vectors)


def eigvalsh(a, UPLO="L", *, symmetrize_input=True):
    """The eigenvalues of Hermitian matrices in ascending order."""
    return eigh(a, UPLO, symmetrize_input).eigenvalues


def eig(a):
    """(eigenvalues, eigenvectors as columns) of general matrices, complex; on CPU only."""
    values, vectors = lax.linalg.eig(_square("eig", a), compute_left_eigenvectors=False)
    return EigResult(values, vectors)


def eigvals(a):
    """The eigenvalues of general matrices, complex; on CPU only."""
    return lax.linalg.eig(_square("eigvals", a), compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]


def qr(a, mode="reduced"):
    """(Q, R) with a = Q @ R, Q with orthonormal columns and R upper triangular.

    ``mode`` is "reduced", "complete", "r" (only R) or "raw" (Householder reflectors and their factors).
    """
    a = _matrices("qr", a)
    check_choice("qr", "mode", mode, ("reduced", "complete", "r", "raw", "full"))
    if mode == "raw":
        reflectors, taus = lax.linalg.geqrf(a)
        return QRResult(matrix_transpose(reflectors), taus)
    q, r = lax.linalg.qr(a, full_matrices=mode in ("complete", "full"))
    return r if mode == "r" else QRResult(q, r)


def svd(a, full_matrices=True, compute_uv=True, hermitian=False, subset_by_index=None):
    """(U, S, Vh) with a = U @ diag(S) @ Vh, singular values in descending order; only S unless ``compute_uv``."""
    a = _matrices("svd", a)
    if hermitian:
        values, vectors = eigh(a)
        magnitude = lax.abs(values)
        order = lax.rev(_argsort_last(magnitude), (magnitude.ndim - 1,))
        s = take_along_axis(magnitude, order, axis=-1)
        if not compute_uv:
            return s
        u = take_along_axis(vectors, expand_dims(order, -2), axis=-1)
        signs = convert(lax.sign(take_along_axis(values, order, axis=-1)), u.dtype)
        return SVDResult(u, s, _adjoint(ufuncs.multiply(u, expand_dims(signs, -2))))
    options = {} if subset_by_index is None else {"subset_by_index": subset_by_index}
    if compute_uv:
        u, s, vh = lax.linalg.svd(a, full_matrices=full_matrices, compute_uv=True, **options)
        return SVDResult(u, s, vh)
    result = lax.linalg.svd(a, full_matrices=full_matrices, compute_uv=False, **options)
    return result[0] if isinstance(result, (tuple, list)) else result


def _argsort_last(x):
    positions = lax.broadcasted_iota(default_int(), x.shape, x.ndim - 1)
    return lax.sort((x, positions), num_keys=1)[1]


def svdvals(x, /):
    """The singular values in descending order."""
    return svd(x, compute_uv=False)


# Least squares and rank.


def pinv(a, rtol=None, hermitian=False, *, rcond=None):
    """The Moore-Penrose inverse; singular values below ``rtol`` times the largest count as zero."""
    if rcond is not None:
        if rtol is not None:
            raise ValueError("pinv: rcond is the old name of rtol; give one of them")
        rtol = rcond
    a = _matrices("pinv", a)
    m, n = a.shape[-2:]
    if m == 0 or n == 0:
        return lax.full((*a.shape[:-2], n, m), 0, a.dtype)
    if rtol is None:
        rtol = 10.0 * max(m, n) * float(finfo(a.dtype).eps)
    u, s, vh = svd(a, full_matrices=False, hermitian=hermitian)
    largest = lax.slice_in_dim(s, 0, 1, axis=-1)
    cutoff = ufuncs.multiply(expand_dims(asarray(rtol), -1), largest)
    kept = lax.gt(s, convert(broadcast(cutoff, s.shape), s.dtype))
    inverse = select(kept, ufuncs.divide(1.0, select(kept, s, convert(1, s.dtype))), convert(0, s.dtype))
    scaled = ufuncs.multiply(_adjoint(vh), expand_dims(convert(inverse, a.dtype), -2))
    return matmul(scaled, _adjoint(u), precision="highest")


def matrix_rank(M, rtol=None, *, hermitian=False, tol=None):
    """The number of singular values above ``rtol`` times the largest (above ``tol``)."""
    (M,) = promote_inexact(M)
    if M.ndim < 2:
        return convert(reductions.any(ufuncs.not_equal(M, 0)), default_int())
    s = lax.abs(eigvalsh(M, None)) if hermitian else svd(M, full_matrices=False, compute_uv=False)
    if tol is not None:
        cutoff = expand_dims(asarray(tol), -1)
    else:
        if rtol is None:
            rtol = max(M.shape[-2:]) * float(finfo(s.dtype).eps)
        cutoff = ufuncs.multiply(expand_dims(asarray(rtol), -1), reductions.max(s, -1, keepdims=True, initial=0))
    return reductions.count_nonzero(lax.gt(s, broadcast(convert(cutoff, s.dtype), s.shape)), -1)


def lstsq(a, b, rcond=None, *, numpy_resid=False):
    """(x, residuals, rank, singular values) of the least squares problem a @ x = b.

    Residuals are computed in any case, unless ``numpy_resid`` asks for an empty array where NumPy gives one.
    """
    a, b = promote_inexact(a, b)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"lstsq: a and b must have equally many rows, got shapes {a.shape} and {b.shape}")
    one_dimensional = b.ndim == 1
    if one_dimensional:
        b = expand_dims(b, -1)
    check_rank("lstsq", "a", a, 2, 2, TypeError)
    check_rank("lstsq", "b", b, 2, 2, TypeError)
    m, n = a.shape
    if a.size == 0:
        s = lax.full((0,), 0, a.dtype)
        rank = lax.full((), 0, default_int())
        x = lax.full((n, *b.shape[1:]), 0, a.dtype)
    else:
        if rcond is None:
            rcond = float(finfo(a.dtype).eps) * max(m, n)
        else:
            rcond = select(lax.lt(*promote(rcond, 0)), float(finfo(a.dtype).eps), rcond)
        u, s, vh = svd(a, full_matrices=False)
        largest = lax.index_in_dim(s, 0, keepdims=False)
        kept = lax.ge(s, broadcast(convert(ufuncs.multiply(rcond, largest), s.dtype), s.shape))
        kept = ufuncs.logical_and(kept, ufuncs.not_equal(s, 0))
        rank = reductions.sum(kept)
        inverse = select(kept, ufuncs.divide(1.0, select(kept, s, convert(1, s.dtype))), convert(0, s.dtype))
        projected = matmul(_adjoint(u), b, precision="highest")
        scaled = ufuncs.multiply(convert(expand_dims(inverse, -1), a.dtype), projected)
        x = matmul(_adjoint(vh), scaled, precision="highest")
    if numpy_resid:
        if m <= n or not bool(ufuncs.equal(rank, n)):
            residuals = lax.full((0,), 0, real_dtype(a.dtype))
        else:
            residuals = _residuals(a, b, x)
    else:
        residuals = _residuals(a, b, x)
    if one_dimensional:
        x = lax.squeeze(x, (1,))
    return x, residuals, rank, s


def _residuals(a, b, x):
    difference = ufuncs.subtract(b, matmul(a, x, precision="highest"))
    squares = lax.real(difference * lax.conj(difference)) if kind(difference.dtype) == "c" else lax.square(difference)
    return reductions.sum(squares, 0)


# Norms.


def norm(x, ord=None, axis=None, keepdims=False):
    """The norm of vectors (one axis) or matrices (two axes), by default the root of the sum of squares.

    For vectors ``ord`` is any number or +-inf, for matrices "fro", "nuc", 1, -1, 2, -2 or +-inf. Raises ValueError for
    other orders.

    >>> import cyxla.numpy as jnp
    >>> jnp.linalg.norm(jnp.array([3.0, 4.0]))
    Array(5., dtype=float32)
    """
    (x,) = promote_inexact(x)
    if axis is None:
        if ord is None:
            result = lax.sqrt(reductions.sum(_squared_magnitude(x)))
            return reshape(result, (1,) * x.ndim) if keepdims else result
        axes = tuple(range(x.ndim))
    else:
        axes = canonical_axes(axis, x.ndim)
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"norm: axis must name one axis (a vector norm) or two (a matrix norm), got {axes}")


def _squared_magnitude(x):
    if kind(x.dtype) == "c":
        return lax.real(x * lax.conj(x))
    return lax.square(x)


def _vector_norm(x, ord, axes, keepdims):
    if isinstance(ord, str):
        if ord == "inf":
            ord = math.inf
        elif ord == "-inf":
            ord = -math.inf
        else:
            raise ValueError(f"norm: ord={ord!r} is no norm of vectors; give a number or inf, -inf")
    concrete = isinstance(ord, (int, float))
    if concrete and ord == 2:
        return lax.sqrt(reductions.sum(_squared_magnitude(x), axes, keepdims=keepdims))
    magnitude = lax.abs(x)
    if concrete and ord == math.inf:
        return reductions.max(magnitude, axes, keepdims=keepdims)
    if concrete and ord == -math.inf:
        return reductions.min(magnitude, axes, keepdims=keepdims)
    if concrete and ord == 0:
        return reductions.sum(ufuncs.not_equal(x, 0), axes, magnitude.dtype, keepdims=keepdims)
    if concrete and ord == 1:
        return reductions.sum(magnitude, axes, keepdims=keepdims)
    order = convert(ord, magnitude.dtype)
    total = reductions.sum(power(magnitude, order), axes, keepdims=keepdims)
    return power(total, ufuncs.divide(1, order))


def _matrix_norm(x, ord, axes, keepdims):
    row, column = axes
    if ord is None or ord in ("f", "fro"):
        return lax.sqrt(reductions.sum(_squared_magnitude(x), axes, keepdims=keepdims))
    if ord in (1, -1, math.inf, -math.inf):
        summed, other = (row, column) if ord in (1, -1) else (column, row)
        sums = reductions.sum(lax.abs(x), summed, keepdims=True)
        extreme = reductions.max if ord > 0 else reductions.min
        result = extreme(sums, other, keepdims=True)
        return result if keepdims else lax.squeeze(result, tuple(sorted(axes)))
    if ord in (2, -2, "nuc"):
        s = svd(moveaxis(x, axes, (-2, -1)), compute_uv=False)
        if ord == "nuc":
            result = reductions.sum(s, -1)
        else:
            result = (reductions.max if ord == 2 else reductions.min)(s, -1)
        return expand_dims(result, tuple(sorted(axes))) if keepdims else result
    raise ValueError(f"norm: ord={ord!r} is no norm of matrices; choose one of 'fro', 'nuc', 1, -1, 2, -2, inf, -inf")


def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    """The norm of vectors, which lie along one axis, several, or all for None."""
    (x,) = promote_inexact(x)
    return _vector_norm(x, ord, canonical_axes(axis, x.ndim), keepdims)


def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    """The norm of the matrices in the last two axes."""
    x = asarray(x)
    check_rank("matrix_norm", "x", x, 2)
    return norm(x, ord=ord, keepdims=keepdims, axis=(-2, -1))


def cond(x, p=None):
    """The condition number: the norm of a matrix times that of its inverse; by default of order 2."""
    x = _matrices("cond", x)
    if p in (None, 2, -2):
        s = svd(x, compute_uv=False)
        first, last = lax.index_in_dim(s, 0, -1, False), lax.index_in_dim(s, s.shape[-1] - 1, -1, False)
        return ufuncs.divide(last, first) if p == -2 else ufuncs.divide(first, last)
    _square("cond", x)
    return ufuncs.multiply(norm(x, p, (-2, -1)), norm(inv(x), p, (-2, -1)))


# Products and powers.


def matrix_power(a, n):
    """The ``n``-th power of square matrices, of their inverses for negative ``n``."""
    a = asarray(a)
    check_rank("matrix_power", "a", a, 2, error=TypeError)
    if a.shape[-2] != a.shape[-1]:
        raise TypeError(f"matrix_power: square matrices are needed, got shape {a.shape}")
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError(f"matrix_power: n={n!r} must be an integer") from error
    if n == 0:
        return broadcast(eye(a.shape[-2], dtype=a.dtype), a.shape)
    if n < 0:
        a = inv(a)
        n = -n
    result = None
    while n:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        if n:
            a = matmul(a, a)
    return result


def multi_dot(arrays, *, precision=None):
    """The product of several matrices, in the order that needs the fewest multiplications."""
    from .einsums import einsum

    xs = [asarray(x) for x in arrays]
    if len(xs) < 2:
        raise ValueError(f"multi_dot: two arrays or more are needed, got {len(xs)}")
    if not all(x.ndim in ((1, 2) if i in (0, len(xs) - 1) else (2,)) for i, x in enumerate(xs)):
        raise ValueError(
            "multi_dot: all but the first and last array must be matrices, these vectors or matrices; got shapes "
            f"{[x.shape for x in xs]}"
        )
    if any(x.shape[-1] != y.shape[0] for x, y in itertools.pairwise(xs)):
        raise ValueError(
            f"multi_dot: each array must have as many columns as the next has rows, got shapes {[x.shape for x in xs]}"
        )
    letters = [chr(ord("a") + i) for i in range(len(xs) + 1)]
    terms = [
        letters[i] + letters[i + 1] if x.ndim == 2 else letters[i + 1] if i == 0 else letters[i]
        for i, x in enumerate(xs)
    ]
    output = (letters[0] if xs[0].ndim == 2 else "") + (letters[-1] if xs[-1].ndim == 2 else "")
    return einsum(",".join(terms) + "->" + output, *xs, optimize="auto", precision=precision)


def cross(x1, x2, /, *, axis=-1):
    """The vector product of vectors of three components along ``axis``."""
    x1, x2 = asarray(x1), asarray(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(f"cross: vectors of 3 components are needed, got {x1.shape[axis]} and {x2.shape[axis]}")
    return contraction.cross(x1, x2, axis=axis)


def diagonal(x, /, *, offset=0):
    """The ``offset``-th diagonals of the matrices in the last two axes."""
    return triangles.diagonal(x, offset, -2, -1)


def trace(x, /, *, offset=0, dtype=None):
    """The sums along the ``offset``-th diagonals of the matrices in the last two axes."""
    return triangles.trace(x, offset, -2, -1, dtype)


def tensorinv(a, ind=2):
    """The inverse of the map from tensors to tensors that ``a`` is, whose first ``ind`` axes are of the results."""
    a = asarray(a)
    ind = operator.index(ind)
    if ind <= 0:
        raise ValueError(f"tensorinv: ind={ind} must be positive")
    rows, columns = a.shape[:ind], a.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise ValueError(
            f"tensorinv: the first {ind} axes must hold as many elements as the others, got shape {a.shape}"
        )
    return reshape(inv(reshape(a, (math.prod(rows), math.prod(columns)))), columns + rows)


def tensorsolve(a, b, axes=None):
    """x with tensordot(a, x, x.ndim) = b."""
    a, b = asarray(a), asarray(b)
    if axes is not None:
        axes = [canonical_axis(i, a.ndim) for i in axes]
        a = moveaxis(a, axes, list(range(a.ndim - len(axes), a.ndim)))
    shape = a.shape[b.ndim :]
    if a.shape[: b.ndim] != b.shape or math.prod(shape) != b.size:
        raise ValueError(
            "tensorsolve: the shape of a must begin with that of b, and its rest hold as many elements; got "
            f"{a.shape} and {b.shape}"
        )
    return reshape(solve(reshape(a, (b.size, b.size)), reshape(b, (b.size,))), shape)
