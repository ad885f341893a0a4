"""Polynomials as vectors of coefficients, the highest power first."""

import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import ArrayImpl, asarray
from cyxla.lax._util import check_not_negative, check_rank

from . import reductions, ufuncs
from .contraction import dot
from .creation import array, vander
from .promotion import complex_dtype, convert, promote, promote_inexact
from .shape import atleast_1d


def _coefficients(*vectors):
    xs = [asarray(v) if not isinstance(v, (list, tuple)) else array(v) for v in vectors]
    return [atleast_1d(x) for x in promote(*xs)]


def _padded(x, n):
    return lax.pad(x, convert(0, x.dtype), [(n - x.shape[0], 0, 0)]) if x.shape[0] < n else x


def polyadd(a1, a2):
    """The sum of two polynomials."""
    a1, a2 = _coefficients(a1, a2)
    n = max(a1.shape[0], a2.shape[0])
    return ufuncs.add(_padded(a1, n), _padded(a2, n))


def polysub(a1, a2):
    """The difference of two polynomials."""
    a1, a2 = _coefficients(a1, a2)
    n = max(a1.shape[0], a2.shape[0])
    return ufuncs.subtract(_padded(a1, n), _padded(a2, n))


def _without_leading_zeros(x):
    if not isinstance(x, ArrayImpl):
        np.asarray(x)
    values = np.asarray(x)
    nonzero = np.flatnonzero(values)
    return lax.slice(x, (int(nonzero[0]) if nonzero.size else x.shape[0],), (x.shape[0],))


def polymul(a1, a2, *, trim_leading_zeros=False):
    """The product of two polynomials; ``trim_leading_zeros`` needs concrete coefficients."""
    from .calculus import convolve

    a1, a2 = _coefficients(a1, a2)
    if trim_leading_zeros and (a1.size > 1 or a2.size > 1):
        a1, a2 = _without_leading_zeros(a1), _without_leading_zeros(a2)
    if a1.size == 0:
        a1 = lax.full((1,), 0, a1.dtype)
    if a2.size == 0:
        a2 = lax.full((1,), 0, a2.dtype)
    return convolve(a1, a2, mode="full")


def polydiv(u, v, *, trim_leading_zeros=False):
    """(quotient, remainder) of the division of polynomials."""
    u, v = promote_inexact(*_coefficients(u, v))
    m, n = u.shape[0] - 1, v.shape[0] - 1
    leading = lax.slice(v, (0,), (1,))
    quotient = []
    rest = u
    for k in range(max(m - n + 1, 0)):
        factor = ufuncs.divide(lax.slice(rest, (k,), (k + 1,)), leading)
        quotient.append(factor)
        product = lax.pad(ufuncs.multiply(factor, v), convert(0, v.dtype), [(k, m - n - k, 0)])
        rest = ufuncs.subtract(rest, product)
    if trim_leading_zeros:
        rest = _without_leading_zeros(rest)
    return lax.concatenate(quotient, 0) if quotient else lax.full((max(m - n + 1, 1),), 0, u.dtype), rest


def polyval(p, x, *, unroll=16):
    """The value of the polynomial at each element of ``x``.

    >>> import cyxla.numpy as jnp
    >>> jnp.polyval(jnp.array([1, 0, 2]), 3)
    Array(11, dtype=int32)
    """
    p, x = promote(asarray(p) if not isinstance(p, (list, tuple)) else array(p), x)
    n = p.shape[0]
    # Coefficients that are arrays make an array of polynomials.
    value = lax.full(lax.broadcast_shapes(p.shape[1:], x.shape), 0, x.dtype)
    if n <= unroll:
        for i in range(n):
            value = ufuncs.add(ufuncs.multiply(value, x), lax.index_in_dim(p, i, keepdims=False))
        return value
    return lax.scan(lambda total, c: (ufuncs.add(ufuncs.multiply(total, x), c), None), value, p, unroll=unroll)[0]


def polyder(p, m=1):
    """The ``m``-th derivative of a polynomial."""
    m = operator.index(m)
    check_not_negative("polyder", "m", m)
    (p,) = promote_inexact(p)
    if m == 0:
        return p
    n = p.shape[0]
    if n <= m:
        return lax.full((0,), 0, p.dtype)
    factors = np.prod([np.arange(n - 1 - j, m - 1 - j, -1.0) for j in range(m)], axis=0)
    return ufuncs.multiply(lax.slice(p, (0,), (n - m,)), asarray(factors.astype(p.dtype)))


def polyint(p, m=1, k=None):
    """The ``m``-th integral of a polynomial, with integration constants ``k``."""
    m = operator.index(m)
    k = 0 if k is None else k
    (p, k) = promote_inexact(p, asarray(k) if not isinstance(k, (list, tuple)) else array(k))
    check_not_negative("polyint", "m", m)
    k = atleast_1d(k)
    if k.shape[0] == 1:
        k = lax.broadcast_in_dim(k, (m,), (0,)) if m else lax.slice(k, (0,), (0,))
    if k.shape != (m,):
        raise ValueError(
            f"polyint: k of shape {k.shape} must hold one constant, or one for each of the {m} integrations"
        )
    if m == 0:
        return p
    n = p.shape[0] + m
    # Coefficient i of the padded vector is divided by the powers met on its way up.
    powers = np.arange(n - 1, -1, -1.0)
    given = lax.concatenate([p, k], 0)
    divisors = np.ones(n)
    for j in range(m):
        level = np.where(np.arange(n) < p.shape[0] + j, powers - (m - 1 - j), 1.0)
        divisors *= np.maximum(level, 1.0)
    return ufuncs.divide(given, asarray(divisors.astype(p.dtype)))


def poly(seq_of_zeros):
    """The coefficients of the polynomial with the given roots, or of the characteristic polynomial of a matrix."""
    (zeros,) = promote_inexact(seq_of_zeros if not isinstance(seq_of_zeros, (list, tuple)) else array(seq_of_zeros))
    zeros = atleast_1d(zeros)
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] and zeros.shape[0] != 0:
        from . import linalg

        zeros = linalg.eigvals(zeros)
    if zeros.ndim != 1:
        raise ValueError(
            f"poly: the zeros must be a vector, or the eigenvalues of a square matrix; got shape {zeros.shape}"
        )
    from .calculus import convolve

    p = lax.full((1,), 1, zeros.dtype)
    one = lax.full((1,), 1, zeros.dtype)
    for i in range(zeros.shape[0]):
        p = convolve(p, lax.concatenate([one, lax.neg(lax.slice(zeros, (i,), (i + 1,)))], 0), mode="full")
    return p


def roots(p, *, strip_zeros=True):
    """The roots of a polynomial, as the eigenvalues of its companion matrix.

    With ``strip_zeros`` the number of leading zeros must be known: the coefficients must be concrete.
    """
    (p,) = promote_inexact(p if not isinstance(p, (list, tuple)) else array(p))
    p = atleast_1d(p)
    check_rank("roots", "p", p, 1, 1)
    if p.size < 2:
        return lax.full((0,), 0, complex_dtype(p.dtype))
    if strip_zeros:
        values = np.asarray(p)
        nonzero = np.flatnonzero(values)
        if nonzero.size == 0:
            return lax.full((0,), 0, complex_dtype(p.dtype))
        trailing = p.shape[0] - 1 - int(nonzero[-1])
        p = lax.slice(p, (int(nonzero[0]),), (int(nonzero[-1]) + 1,))
    else:
        trailing = 0
    result = _companion_eigenvalues(p)
    if trailing:
        result = lax.concatenate([result, lax.full((trailing,), 0, result.dtype)], 0)
    return result


def _companion_eigenvalues(p):
    from . import linalg
    from .creation import eye

    n = p.shape[0]
    if n == 1:
        return lax.full((0,), 0, complex_dtype(p.dtype))
    first = ufuncs.divide(lax.neg(lax.slice(p, (1,), (n,))), lax.slice(p, (0,), (1,)))
    companion = lax.concatenate([lax.reshape(first, (1, n - 1)), eye(n - 2, n - 1, dtype=p.dtype)], 0)
    return linalg.eigvals(companion)


def polyfit(x, y, deg, rcond=None, full=False, w=None, cov=False):
    """The coefficients of the polynomial of degree ``deg`` that fits the points (x, y) best, by least squares.

    ``full`` also returns residuals, rank, singular values and rcond; ``cov`` the covariance of the coefficients.
    """
    from . import linalg

    deg = operator.index(deg)
    check_not_negative("polyfit", "deg", deg)
    x, y = promote_inexact(x, y)
    check_rank("polyfit", "x", x, 1, 1, TypeError)
    if x.size == 0:
        raise TypeError("polyfit: x and y are empty")
    check_rank("polyfit", "y", y, 1, 2, TypeError)
    if x.shape[0] != y.shape[0]:
        raise TypeError(f"polyfit: x and y must be equally long, got shapes {x.shape} and {y.shape}")
    if rcond is None:
        from .dtypes import finfo

        rcond = x.shape[0] * float(finfo(x.dtype).eps)
    lhs = vander(x, deg + 1)
    rhs = y
    if w is not None:
        (w,) = promote_inexact(w)
        check_rank("polyfit", "w", w, 1, 1, TypeError)
        if w.shape[0] != y.shape[0]:
            raise TypeError(f"polyfit: w needs one weight for each point, got shapes {w.shape} and {y.shape}")
        lhs = ufuncs.multiply(lhs, lax.reshape(w, (w.shape[0], 1)))
        rhs = ufuncs.multiply(rhs, w if rhs.ndim == 1 else lax.reshape(w, (w.shape[0], 1)))
    scale = lax.sqrt(reductions.sum(lax.square(lhs), 0))
    lhs = ufuncs.divide(lhs, scale)
    c, residuals, rank, s = linalg.lstsq(lhs, rhs, rcond)
    c = ufuncs.divide(c, scale if c.ndim == 1 else lax.reshape(scale, (deg + 1, 1)))
    if full:
        return c, residuals, rank, s, asarray(rcond)
    if cov:
        base = linalg.inv(dot(lax.transpose(lhs, (1, 0)), lhs))
        base = ufuncs.divide(base, ufuncs.multiply(lax.reshape(scale, (deg + 1, 1)), lax.reshape(scale, (1, deg + 1))))
        if cov == "unscaled":
            factor = 1
        else:
            if x.shape[0] <= deg + 1:
                raise ValueError(
                    f"polyfit: the covariance of {deg + 1} coefficients needs more than {deg + 1} points, got "
                    f"{x.shape[0]}; use cov='unscaled'"
                )
            factor = ufuncs.divide(residuals, x.shape[0] - (deg + 1))
        if y.ndim == 1:
            return c, ufuncs.multiply(base, factor)
        return c, ufuncs.multiply(lax.reshape(base, (*base.shape, 1)), factor)
    return c
