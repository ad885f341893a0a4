"""Matrices with a structure: made from a few numbers, or from vectors whose elements they repeat."""

import operator

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import check_arrays, check_choice, check_kind, check_rank
from cyxla.numpy.promotion import default_complex, default_float, kind, promote, promote_inexact, requested_dtype

# matrices of a size ---------------------------------------------------------------------------------------------------
# All are computed by NumPy in double precision and rounded once.


def _size(name, n, least=0):
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"{name}: n={n!r:.80} must be an integer known before the call is traced") from None
    if n < least:
        raise ValueError(f"{name}: n={n} must be at least {least}")
    return n


def _rounded(x, dtype=None):
    return asarray(x.astype(default_float() if dtype is None else dtype))


def dft(n, scale=None, *, dtype=None):
    """The matrix of the discrete Fourier transform of size ``n``: complex, of shape (n, n).

    ``scale`` is None, "sqrtn" (divided by the root of n, which makes it unitary) or "n".

    >>> from cyxla.scipy.linalg import dft
    >>> dft(2).real
    Array([[ 1.,  1.],
           [ 1., -1.]], dtype=float32)
    """
    n = _size("dft", n)
    check_choice("dft", "scale", scale, (None, "sqrtn", "n"))
    dtype = requested_dtype(dtype) or default_complex()
    if kind(dtype) != "c":
        raise ValueError(f"dft: dtype={dtype} must be complex")
    # Turns are reduced before they become angles, so that large ones lose nothing.
    turns = np.outer(np.arange(n), np.arange(n)) % max(n, 1)
    matrix = np.exp(-2j * np.pi / max(n, 1) * turns)
    return _rounded(matrix / {None: 1, "sqrtn": np.sqrt(n), "n": n}[scale], dtype)


def hadamard(n, dtype=int):
    """The Hadamard matrix of size ``n``, a power of two, in Sylvester's order: entries 1 and -1, orthogonal rows.

    >>> from cyxla.scipy.linalg import hadamard
    >>> hadamard(2)
    Array([[ 1,  1],
           [ 1, -1]], dtype=int32)
    """
    n = _size("hadamard", n, 1)
    if n & (n - 1):
        raise ValueError(f"hadamard: n={n} must be a power of two")
    dtype = requested_dtype(dtype)
    if kind(dtype) == "b":
        raise TypeError("hadamard: dtype=bool has no -1; choose a number's, such as int")
    matrix = np.ones((1, 1), np.int8)
    while matrix.shape[0] < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return _rounded(matrix, dtype)


def helmert(n, full=False):
    """The rows of a Helmert matrix of size ``n``: orthonormal, and orthogonal to a row of ones, which ``full`` adds.

    >>> from cyxla.scipy.linalg import helmert
    >>> helmert(2, full=True)
    Array([[ 0.70710677,  0.70710677],
           [ 0.70710677, -0.70710677]], dtype=float32)
    """
    n = _size("helmert", n, 1)
    matrix = np.tril(np.ones((n, n)), -1) - np.diag(np.arange(n))
    matrix[0] = 1
    matrix /= np.sqrt(np.concatenate([[n], np.arange(1, n) * np.arange(2, n + 1)]))[:, None]
    return _rounded(matrix if full else matrix[1:])


def hilbert(n):
    """The Hilbert matrix of size ``n``: 1 / (i + j + 1).

    >>> from cyxla.scipy.linalg import hilbert
    >>> hilbert(2)
    Array([[1.        , 0.5       ],
           [0.5       , 0.33333334]], dtype=float32)
    """
    i = np.arange(_size("hilbert", n))
    return _rounded(1 / (i[:, None] + i + 1))


def invhilbert(n):
    """The inverse of the Hilbert matrix of size ``n``, whose entries are integers.

    >>> from cyxla.scipy.linalg import invhilbert
    >>> invhilbert(2)
    Array([[ 4., -6.],
           [-6., 12.]], dtype=float32)
    """
    n = _size("invhilbert", n)
    i = np.arange(1, n, dtype=float)
    factors = np.cumprod(np.concatenate([[float(n)], (i - n) * (i + n) / i**2])[:n])
    i = np.arange(n)
    return _rounded(np.rint(np.outer(factors, factors) / (i[:, None] + i + 1)))


def _binomials(n):
    """C(i + j, i) as a matrix of size n."""
    matrix = np.ones((n, n))
    for i in range(1, n):
        matrix[i] = np.cumsum(matrix[i - 1])
    return matrix


def _lower_pascal(n, sign=1):
    """C(i, j), times sign to the power i - j."""
    i = np.arange(n)
    down = i[:, None] - i
    return np.where(down >= 0, _binomials(n)[down % max(n, 1), i] * float(sign) ** down, 0)


def _pascal(name, n, of, sign):
    n = _size(name, n)
    of = "symmetric" if of is None else of
    check_choice(name, "kind", of, ("symmetric", "lower", "upper"))
    return _lower_pascal(n, sign), of


def pascal(n, kind=None):
    """The Pascal matrix of size ``n``, of binomial coefficients: "symmetric" (the default), "lower" or "upper".

    >>> from cyxla.scipy.linalg import pascal
    >>> pascal(3, "lower")
    Array([[1., 0., 0.],
           [1., 1., 0.],
           [1., 2., 1.]], dtype=float32)
    """
    lower, of = _pascal("pascal", n, kind, 1)
    return _rounded({"symmetric": _binomials(len(lower)), "lower": lower, "upper": lower.T}[of])


def invpascal(n, kind=None):
    """The inverse of the Pascal matrix of size ``n`` and of the same kind.

    >>> from cyxla.scipy.linalg import invpascal
    >>> invpascal(2)
    Array([[ 2., -1.],
           [-1.,  1.]], dtype=float32)
    """
    lower, of = _pascal("invpascal", n, kind, -1)
    return _rounded({"symmetric": lower.T @ lower, "lower": lower, "upper": lower.T}[of])


# matrices that repeat the elements of vectors -------------------------------------------------------------------------


def _vectors(name, *args, promoted=promote):
    """Arrays of one dtype with at least one axis."""
    check_arrays(name, *args)
    return [jnp.atleast_1d(x) for x in promoted(*args)]


def _picked(values, index):
    """Matrices of the elements of vectors, which lie along the last axis, at a matrix of places."""
    return values.at[..., np.asarray(index)].get(mode="clip")


def _joined(*parts):
    """Batches of vectors one after the other; the batches broadcast."""
    batch = jnp.broadcast_shapes(*(x.shape[:-1] for x in parts))
    return jnp.concatenate([jnp.broadcast_to(x, (*batch, x.shape[-1])) for x in parts], axis=-1)


def _rows_and_columns(m, n):
    return np.arange(m)[:, None], np.arange(n)[None]


def _numbers(x, *values):
    return asarray(np.array(values)).astype(x.dtype)


def toeplitz(c, r=None):
    """Matrices with constant diagonals, from their first column ``c`` and row ``r``: shape (..., len(c), len(r)).

    ``r`` is the conjugate of ``c`` by default; its first element is not used.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import toeplitz
    >>> toeplitz(jnp.array([1, 2]), jnp.array([1, 3, 4]))
    Array([[1, 3, 4],
           [2, 1, 3]], dtype=int32)
    """
    check_arrays("toeplitz", c)
    c, r = _vectors("toeplitz", c, jnp.conjugate(c) if r is None else r)
    i, j = _rows_and_columns(c.shape[-1], r.shape[-1])
    return _picked(_joined(c[..., ::-1], r[..., 1:]), c.shape[-1] - 1 - i + j)


def hankel(c, r=None):
    """Matrices with constant antidiagonals, from their first column ``c`` and last row ``r``, zeros by default.

    The first element of ``r`` is not used. ValueError for a scalar ``c``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import hankel
    >>> hankel(jnp.array([1, 2]), jnp.array([2, 3]))
    Array([[1, 2],
           [2, 3]], dtype=int32)
    """
    check_arrays("hankel", c)
    check_rank("hankel", "c", asarray(c), 1)
    c, r = _vectors("hankel", c, jnp.zeros_like(c) if r is None else r)
    i, j = _rows_and_columns(c.shape[-1], r.shape[-1])
    return _picked(_joined(c, r[..., 1:]), i + j)


def circulant(c):
    """Matrices whose columns are ``c``, moved down by one place more in each and around: shape (..., n, n).

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import circulant
    >>> circulant(jnp.array([1, 2, 3]))
    Array([[1, 3, 2],
           [2, 1, 3],
           [3, 2, 1]], dtype=int32)
    """
    (c,) = _vectors("circulant", c)
    n = c.shape[-1]
    i, j = _rows_and_columns(n, n)
    return _picked(c, (i - j) % max(n, 1))


def convolution_matrix(a, n, mode="full"):
    """The matrix whose product with a vector of ``n`` elements is its convolution with ``a``.

    ``mode`` is "full" (m + n - 1 rows for m elements of ``a``), "same" (the middle max(m, n) of them) or "valid" (those
    to which all elements of the shorter one contribute). ValueError for an empty ``a`` or n < 1.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import convolution_matrix
    >>> convolution_matrix(jnp.array([1, 2]), 2)
    Array([[1, 0],
           [2, 1],
           [0, 2]], dtype=int32)
    """
    (a,) = _vectors("convolution_matrix", a)
    n, m = _size("convolution_matrix", n, 1), a.shape[-1]
    check_choice("convolution_matrix", "mode", mode, ("full", "valid", "same"))
    if not m:
        raise ValueError(f"convolution_matrix: a must have an element at least, its shape is {a.shape}")
    shorter = min(m, n) - 1
    before = {"full": 0, "same": shorter // 2, "valid": shorter}[mode]
    after = {"full": 0, "same": shorter - shorter // 2, "valid": shorter}[mode]
    i, j = _rows_and_columns(m + n - 1, n)
    inside = (i >= j) & (i - j < m)
    return _picked(_joined(_numbers(a, 0), a), np.where(inside, i - j + 1, 0)[before : m + n - 1 - after])


def companion(a):
    """The companion matrix of a polynomial, whose eigenvalues are its roots.

    ``a`` holds the coefficients, of the highest power first; ValueError for fewer than two.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import companion
    >>> companion(jnp.array([1.0, -3.0, 2.0]))
    Array([[ 3., -2.],
           [ 1.,  0.]], dtype=float32)
    """
    (a,) = _vectors("companion", a, promoted=promote_inexact)
    n = a.shape[-1] - 1
    if n < 1:
        raise ValueError(f"companion: a must have two coefficients at least, its shape is {a.shape}")
    index = np.eye(n, k=-1, dtype=int)
    index[0] = np.arange(2, n + 2)
    return _picked(_joined(_numbers(a, 0, 1), -a[..., 1:] / a[..., :1]), index)


def fiedler_companion(a):
    """A companion matrix of a polynomial with five diagonals (M. Fiedler, 2003).

    ``a`` holds the coefficients, of the highest power first; ValueError for none.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import fiedler_companion
    >>> fiedler_companion(jnp.array([1.0, 2.0, 3.0, 4.0]))
    Array([[-2., -3.,  1.],
           [ 1.,  0.,  0.],
           [ 0., -4.,  0.]], dtype=float32)
    """
    (a,) = _vectors("fiedler_companion", a, promoted=promote_inexact)
    n = a.shape[-1] - 1
    if n < 0:
        raise ValueError(f"fiedler_companion: a must have a coefficient at least, its shape is {a.shape}")
    # Places among 0, 1 and the coefficients after the first.
    index = np.zeros((n, n), int)
    for i in range(n):
        if i % 2:
            index[i, max(i - 2, 0)] = 1
            continue
        if i + 1 < n:
            index[i, i + 1] = i + 3
        if i + 2 < n:
            index[i, i + 2] = 1
        index[i, max(i - 1, 0)] = i + 2
    return _picked(_joined(_numbers(a, 0, 1), -a[..., 1:] / a[..., :1]), index)


def fiedler(a):
    """The symmetric matrices of distances between elements: ``abs(a[i] - a[j])``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import fiedler
    >>> fiedler(jnp.array([1, 4]))
    Array([[0, 3],
           [3, 0]], dtype=int32)
    """
    (a,) = _vectors("fiedler", a)
    check_kind("fiedler", a.aval, "iufc", "a")
    return jnp.abs(a[..., :, None] - a[..., None, :])


def leslie(f, s):
    """The Leslie matrix of a population: fecundities ``f`` in its first row, survival rates ``s`` below the diagonal.

    ValueError unless ``f`` has at least two elements, and one more than ``s``.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import leslie
    >>> leslie(jnp.array([0.0, 2.0]), jnp.array([0.5]))
    Array([[0. , 2. ],
           [0.5, 0. ]], dtype=float32)
    """
    f, s = _vectors("leslie", f, s)
    n = f.shape[-1]
    if n < 2 or s.shape[-1] != n - 1:
        raise ValueError(
            f"leslie: f must have two elements at least, and one more than s; their shapes are {f.shape} and {s.shape}"
        )
    index = np.zeros((n, n), int)
    index[0] = np.arange(1, n + 1)
    index[np.arange(1, n), np.arange(n - 1)] = np.arange(n + 1, 2 * n)
    return _picked(_joined(_numbers(f, 0), f, s), index)


def block_diag(*arrs):
    """The matrix with matrices ``arrs`` on its diagonal and zeros elsewhere; vectors count as rows.

    ValueError for arrays of more than two axes.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import block_diag
    >>> block_diag(jnp.array([[1, 2]]), 3)
    Array([[1, 2, 0],
           [0, 0, 3]], dtype=int32)
    """
    check_arrays("block_diag", *arrs)
    arrays = promote(*arrs) if arrs else [jnp.zeros((1, 0))]
    for position, x in enumerate(arrays):
        check_rank("block_diag", f"argument {position}", x, 0, 2)
    arrays = [jnp.atleast_2d(x) for x in arrays]
    width, before, rows = sum(x.shape[1] for x in arrays), 0, []
    for x in arrays:
        after = width - before - x.shape[1]
        rows.append(lax.pad(x, _numbers(x, 0)[0], [(0, 0, 0), (before, after, 0)]))
        before += x.shape[1]
    return jnp.concatenate(rows, axis=0)
