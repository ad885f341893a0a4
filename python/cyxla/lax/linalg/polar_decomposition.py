"""Polar decomposition by dynamically weighted Halley iterations.

Y. Nakatsukasa, Z. Bai, F. Gygi: Optimizing Halley's iteration for computing the matrix polar decomposition, SIAM J.
Matrix Anal. Appl. 31 (2010). An iteration maps each singular value s to s (a + b s^2) / (1 + c s^2), with weights for
which the least of them grows fastest; all of them tend to one.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import integer
from cyxla._transform.jit import jit
from cyxla.lax._util import as_operand, is_complex, scalar_like, short
from cyxla.lax.linalg.lapack import check_matrix
from cyxla.lax.linalg.matrices import adjoint, identity, matmul
from cyxla.lax.linalg.qr_decomposition import qr
from cyxla.lax.linalg.triangular import cholesky, symmetrized, triangular_solve

# From here on the iteration by a Cholesky decomposition loses digits, and the one by a QR decomposition is taken.
_LARGEST_FOR_CHOLESKY = 100.0


def _weights(least: float, eps: float) -> list[tuple[float, float, float]]:
    """The weights (a, b, c) of the iterations after which singular values from `least` to 1 differ little from 1.

    The last are those of Halley's own iteration, to which the others tend.
    """
    weights = []
    while abs(1 - least) > 10 * eps:
        square = least * least
        d = (4 * (1 - square) / square**2) ** (1 / 3)
        root = math.sqrt(1 + d)
        a = root + math.sqrt(8 - 4 * d + 8 * (2 - square) / (square * root)) / 2
        b = (a - 1) ** 2 / 4
        c = a + b - 1
        weights.append((a, b, c))
        least = min(least * (a + b * square) / (1 + c * square), 1.0)
    return [*weights, (3.0, 1.0, 3.0)]


def _by_qr(u, a, b, c) -> Array:
    """One iteration without squares of u, for large weights."""
    m, n = u.shape
    stacked = lax.concatenate([lax.mul(u, lax.sqrt(c)), identity(n, u.dtype)], 0)
    q, _ = qr(stacked, full_matrices=False)
    upper, lower = lax.slice_in_dim(q, 0, m, axis=0), lax.slice_in_dim(q, m, m + n, axis=0)
    ratio = lax.div(b, c)
    change = lax.mul(matmul(upper, adjoint(lower)), lax.div(lax.sub(a, ratio), lax.sqrt(c)))
    return lax.add(lax.mul(u, ratio), change)


def _by_cholesky(u, a, b, c) -> Array:
    """One iteration by the inverse of 1 + c u^H u."""
    gram = lax.add(lax.mul(matmul(adjoint(u), u), c), identity(u.shape[1], u.dtype))
    factor = cholesky(gram, symmetrize_input=False)
    inner = triangular_solve(factor, u, left_side=False, lower=True, transpose_a=True, conjugate_a=True)
    inner = triangular_solve(factor, inner, left_side=False, lower=True)
    ratio = lax.div(b, c)
    return lax.add(lax.mul(u, ratio), lax.mul(inner, lax.sub(a, ratio)))


def _frobenius(x) -> Array:
    x = lax.abs(x)
    return lax.sqrt(lax.reduce_sum(lax.mul(x, x), (0, 1)))


def _scale(x) -> Array:
    """One over an upper bound of the 2-norm; one for a matrix of zeros."""
    size = lax.abs(x)
    bounds = [lax.reduce_max(lax.reduce_sum(size, (axis,)), (0,)) for axis in (0, 1)]
    inverse = lax.mul(lax.rsqrt(bounds[0]), lax.rsqrt(bounds[1]))
    return lax.select(lax.eq(bounds[0], lax.full_like(bounds[0], 0)), lax.full_like(inverse, 1), inverse)


@partial(jit, static_argnames=("is_hermitian", "max_iterations", "eps"))
def _qdwh(x, dynamic_shape, *, is_hermitian, max_iterations, eps):
    if dynamic_shape is not None:
        for axis, size in enumerate(dynamic_shape):
            position = lax.broadcasted_iota(np.int32, x.shape, axis)
            inside = lax.lt(position, lax.full_like(position, lax.convert_element_type(size, np.int32)))
            x = lax.select(inside, x, lax.full_like(x, 0))
    real = lax.real(x).dtype if is_complex(x.aval) else x.dtype
    weights = _weights(eps, eps)
    by_qr = sum(c > _LARGEST_FOR_CHOLESKY for _, _, c in weights)
    tolerance = (5 * eps) ** (1 / 3)
    table = lax.convert_element_type(np.array(weights), real)

    def iterate(step, state):
        count, u, _ = state
        row = lax.dynamic_index_in_dim(table, lax.min(count, len(weights) - 1), 0, keepdims=False)
        a, b, c = (lax.convert_element_type(lax.index_in_dim(row, i, 0, keepdims=False), u.dtype) for i in range(3))
        after = step(u, a, b, c)
        large_change = lax.gt(_frobenius(lax.sub(after, u)), lax.full((), tolerance, real))
        return lax.add(count, lax.full_like(count, 1)), after, large_change

    def body(step, _, state):
        return iterate(step, state)

    u = lax.mul(x, lax.convert_element_type(_scale(x), x.dtype))
    state = as_operand(0), u, lax.full((), True, np.bool_)
    state = lax.fori_loop(0, min(by_qr, max_iterations), partial(body, _by_qr), state)

    def moving(count, large_change):
        # Under large weights what is far from one moves slowly, too: movement tells nothing yet.
        return lax.bitwise_or(lax.lt(count, lax.full_like(count, len(weights) - 1)), large_change)

    count, u, large_change = lax.while_loop(
        lambda state: lax.bitwise_and(lax.lt(state[0], lax.full_like(state[0], max_iterations)), moving(*state[::2])),
        partial(iterate, _by_cholesky),
        state,
    )
    # One step of Newton and Schulz: u (3 - u^H u) / 2.
    cube = matmul(u, matmul(adjoint(u), u))
    u = lax.div(lax.sub(lax.mul(u, scalar_like(u, 3)), cube), scalar_like(u, 2))
    if is_hermitian:
        u = symmetrized(u)
    h = symmetrized(matmul(adjoint(u), x))
    return u, h, count, lax.bitwise_not(moving(count, large_change))


def qdwh(
    x,
    *,
    is_hermitian: bool = False,
    max_iterations: int | None = None,
    eps: float | None = None,
    dynamic_shape: tuple[int, int] | None = None,
) -> tuple[Array, Array, Array, Array]:
    """The polar decomposition ``x == u @ h`` of a matrix with at least as many rows as columns.

    u has orthonormal columns and h is Hermitian and positive semidefinite. Returns also the number of iterations, at
    most ``max_iterations`` (10), and whether they converged. ``eps`` is the precision aimed at, that of the dtype by
    default. With ``dynamic_shape`` only so many rows and columns are used and the others are taken as zero.
    ValueError for an x of more columns than rows or one that is not a matrix.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> u, h, _, converged = lax.linalg.qdwh(jnp.array([[0.0, -2.0], [3.0, 0.0]]))
    >>> bool(converged), bool(jnp.allclose(h, jnp.diag(jnp.array([3.0, 2.0])), atol=1e-5))
    (True, True)
    """
    x = as_operand(x)
    if x.ndim != 2 or x.shape[0] < x.shape[1]:
        raise ValueError(f"qdwh: a matrix of at least as many rows as columns is needed, got {short(x.aval)}")
    check_matrix("qdwh", x.aval)
    limit = 10 if max_iterations is None else integer(max_iterations)
    precision = float(np.finfo(x.dtype).eps if eps is None else eps)
    return _qdwh(x, dynamic_shape, is_hermitian=bool(is_hermitian), max_iterations=limit, eps=precision)
