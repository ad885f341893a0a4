"""Functions of square matrices: exponential, square root and others, and the equations that their derivatives solve."""

import math
from functools import partial

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.custom import custom_jvp
from cyxla._transform.grad import jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import check_arrays, check_choice, is_complex
from cyxla.lax.linalg.lapack import check_matrix
from cyxla.lax.linalg.matrices import adjoint, matmul, transposed
from cyxla.numpy.promotion import complex_dtype, promote_inexact


def inexact_arrays(name, *args):
    """Arguments, which may be lists, as arrays of one inexact dtype; TypeError for what is neither."""
    args = [jnp.asarray(x) if isinstance(x, list | tuple) else x for x in args]
    check_arrays(name, *args)
    return promote_inexact(*args)


def square_matrices(name, *args):
    """Arguments as arrays of one inexact dtype; ValueError unless they are square matrices or stacks of them."""
    arrays = inexact_arrays(name, *args)
    for x in arrays:
        if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
            raise ValueError(f"{name}: square matrices are needed, got an array of shape {x.shape}")
        check_matrix(name, x.aval)
    return arrays


def _as_complex(x):
    return x.astype(complex_dtype(x.dtype))


_product = partial(jnp.matmul, precision="highest")


def _unit_where(condition, x):
    return jnp.where(condition, jnp.ones_like(x), x)


def _columns_of(n, column, start):
    """A matrix filled column by column: ``column(j, matrix)`` has the first j columns before it."""

    def fill(j, matrix):
        return matrix.at[:, j].set(column(j, matrix))

    return lax.fori_loop(0, n, fill, start)


def _solve_upper(matrix, diagonal, b):
    """x of ``(strict upper triangle of matrix + diag(diagonal)) @ x = b`` for a vector b."""
    system = jnp.triu(matrix, 1) + jnp.diag(diagonal)
    return lax.linalg.triangular_solve(system, b, left_side=True, lower=False)


# exponential ----------------------------------------------------------------------------------------------------------
# N. Higham: The scaling and squaring method for the matrix exponential revisited, SIAM J. Matrix Anal. Appl. 26 (2005).

# Degree of the Pade approximation, and the 1-norm up to which it has full precision.
_PADE = {32: (7, 3.925724783138660), 64: (13, 5.371920351148152)}


def _pade(a, degree):
    """Odd and even part of the numerator of the diagonal Pade approximation to exp(a)."""
    weights = [math.comb(degree, k) / math.perm(2 * degree, k) for k in range(degree + 1)]
    powers = [jnp.eye(a.shape[0], dtype=a.dtype), matmul(a, a)]
    for _ in range(2):
        powers.append(matmul(powers[-1], powers[1]))

    def combined(terms):
        return sum(weight * power for weight, power in zip(terms, powers))

    def part(terms):
        if len(terms) <= 4:
            return combined(terms)
        return matmul(powers[3], combined([0.0, *terms[4:]])) + combined(terms[:4])

    return matmul(a, part(weights[1::2])), part(weights[0::2])


def _expm_of_one(a, upper_triangular, max_squarings):
    degree, limit = _PADE[jnp.finfo(a.dtype).bits]
    norm = lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(a), axis=0), initial=0))
    squarings = jnp.maximum(jnp.ceil(jnp.log2(norm / limit)), 0)
    odd, even = _pade(a * jnp.exp2(-squarings).astype(a.dtype), degree)
    if upper_triangular:
        start = lax.linalg.triangular_solve(even - odd, even + odd, left_side=True, lower=False)
    else:
        start = jnp.linalg.solve(even - odd, even + odd)

    def square(i, x):
        return lax.cond(i < squarings, lambda x: matmul(x, x), lambda x: x, x)

    out = lax.fori_loop(0, max_squarings, square, start)
    return jnp.where(squarings > max_squarings, jnp.full_like(out, np.nan), out)


@partial(jit, static_argnames=("upper_triangular", "max_squarings"))
def _expm(a, upper_triangular, max_squarings):
    function = partial(_expm_of_one, upper_triangular=upper_triangular, max_squarings=max_squarings)
    return jnp.vectorize(function, signature="(n,n)->(n,n)")(a)


def expm(A, *, upper_triangular=False, max_squarings=16):
    """The exponentials of square matrices, by scaling and squaring.

    ``upper_triangular`` promises that form and saves work. Matrices that need more than ``max_squarings`` squarings
    give NaN. ValueError for matrices that are not square.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import expm
    >>> expm(jnp.array([[0.0, 1.0], [0.0, 0.0]]))
    Array([[1., 1.],
           [0., 1.]], dtype=float32)
    """
    check_arrays("expm", A)
    (a,) = square_matrices("expm", A)
    if not a.size:
        return a
    return _expm(a, upper_triangular=bool(upper_triangular), max_squarings=max_squarings)


def expm_frechet(A, E, *, method=None, compute_expm=True):
    """The exponential of matrices ``A`` and its derivative in the directions ``E``; the latter alone unless
    ``compute_expm``.

    ``method`` has no effect: SciPy's choice of algorithms is not needed where functions can be differentiated.
    ValueError for matrices that are not square, or of two shapes.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import expm_frechet
    >>> expm_frechet(jnp.zeros((1, 1)), jnp.ones((1, 1)))
    (Array([[1.]], dtype=float32), Array([[1.]], dtype=float32))
    """
    a, e = square_matrices("expm_frechet", A, E)
    if a.shape != e.shape:
        raise ValueError(f"expm_frechet: A and E must have one shape, got {a.shape} and {e.shape}")
    value, derivative = jvp(expm, (a,), (e,))
    return (value, derivative) if compute_expm else derivative


# Sylvester equation ---------------------------------------------------------------------------------------------------


def _by_schur(a, b, c):
    """R. Bartels, G. Stewart: with upper triangular a and b, the columns of x follow one from the other.

    Returns x and the sums of eigenvalues that make the equation singular where they are zero.
    """
    s, u = lax.linalg.schur(a)
    t, v = lax.linalg.schur(b)
    right = matmul(matmul(adjoint(u), c), v)
    values = jnp.diagonal(s)

    def column(k, x):
        return _solve_upper(s, values + t[k, k], right[:, k] - _product(x, t[:, k]))

    x = _columns_of(t.shape[0], column, jnp.zeros_like(right))
    return matmul(matmul(u, x), adjoint(v)), values[:, None] + jnp.diagonal(t)


def _by_eigenvectors(a, b, c):
    d, u = lax.linalg.eig(a, compute_left_eigenvectors=False)
    e, v = lax.linalg.eig(b, compute_left_eigenvectors=False)
    sums = d[:, None] + e
    x = jnp.linalg.solve(u, matmul(c, v)) / sums
    return matmul(u, jnp.linalg.solve(v.mT, x.mT).mT), sums


def _sylvester_of_one(a, b, c, method, tol):
    algorithm = {"schur": _by_schur, "eigen": _by_eigenvectors}[method]

    def solve(a, b, right):
        x, sums = algorithm(_as_complex(a), _as_complex(b), _as_complex(right))
        x = jnp.where(jnp.any(jnp.abs(sums) <= tol), jnp.full_like(x, np.nan), x)
        return x if is_complex(right.aval) else x.real

    # Told by what it solves, it can be differentiated as often as needed.
    return lax.custom_linear_solve(
        lambda x: matmul(a, x) + matmul(x, b),
        c,
        solve=lambda _, right: solve(a, b, right),
        transpose_solve=lambda _, right: solve(transposed(a), transposed(b), right),
    )


@partial(jit, static_argnames=("method", "tol"))
def _sylvester(a, b, c, method="schur", tol=0.0):
    function = partial(_sylvester_of_one, method=method, tol=tol)
    return jnp.vectorize(function, signature="(m,m),(n,n),(m,n)->(m,n)")(a, b, c)


def solve_sylvester(A, B, C, *, method="schur", tol=1e-8):
    """X with ``A @ X + X @ B == C``, for A of shape (m, m), B (n, n) and C (m, n), or stacks of them.

    ``method`` is "schur" or "eigen", which is quicker on accelerators but needs matrices with well-conditioned
    eigenvectors. Where an eigenvalue of A and one of B add up to no more than ``tol``, X is NaN. ValueError for shapes
    that do not fit.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import solve_sylvester
    >>> solve_sylvester(jnp.array([[2.0]]), jnp.array([[3.0]]), jnp.array([[10.0]]))
    Array([[2.]], dtype=float32)
    """
    a, b, c = inexact_arrays("solve_sylvester", A, B, C)
    check_choice("solve_sylvester", "method", method, ("schur", "eigen"))
    if min(a.ndim, b.ndim, c.ndim) < 2 or c.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ValueError(
            f"solve_sylvester: A, B and C must have shapes (m, m), (n, n) and (m, n), got {a.shape}, {b.shape} and "
            f"{c.shape}"
        )
    square_matrices("solve_sylvester", a, b)
    return _sylvester(a, b, c, method=method, tol=float(tol))


# square root ----------------------------------------------------------------------------------------------------------


def _root_of_one(a):
    """A. Bjorck, S. Hammarling: of an upper triangular matrix, a root is upper triangular, too."""
    t, u = lax.linalg.schur(a)
    n = t.shape[0]
    roots = jnp.sqrt(jnp.diagonal(t))
    positions = jnp.arange(n)

    def column(j, x):
        above = positions < j
        sums = _unit_where(~above, roots + roots[j])
        x = _solve_upper(x, _unit_where(sums == 0, sums), jnp.where(above, t[:, j], 0))
        return jnp.where(positions == j, roots[j], x)

    root = _columns_of(n, column, jnp.zeros_like(t))
    return matmul(matmul(u, root), adjoint(u))


@custom_jvp
@jit
def _root(a):
    return jnp.vectorize(_root_of_one, signature="(n,n)->(n,n)")(a)


@_root.defjvp
def _root_jvp(primals, tangents):
    root = _root(*primals)
    return root, _sylvester(root, root, tangents[0])


def sqrtm(A, blocksize=1):
    """The principal square roots of square matrices, complex: ``sqrtm(A) @ sqrtm(A) == A``.

    ValueError for matrices that are not square; NotImplementedError for a ``blocksize`` other than 1.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import sqrtm
    >>> sqrtm(jnp.array([[4.0, 0.0], [0.0, -9.0]]))
    Array([[2.+0.j, 0.+0.j],
           [0.+0.j, 0.+3.j]], dtype=complex64)
    """
    if blocksize != 1:
        raise NotImplementedError(f"sqrtm: blocksize={blocksize} has no algorithm here, leave it at 1")
    (a,) = inexact_arrays("sqrtm", A)
    if a.ndim > 1 and jnp.finfo(a.dtype).bits < 32:
        a = a.astype(np.float32)
    (a,) = square_matrices("sqrtm", a)
    return _root(_as_complex(a))


# other functions ------------------------------------------------------------------------------------------------------


def funm(A, func, disp=True):
    """The function of a square matrix that ``func`` is of its eigenvalues, complex; by Schur's form.

    ``func`` takes an array of complex numbers. Without ``disp`` an estimate of the relative error is returned, too.
    The result loses precision where eigenvalues are close to each other. ValueError for an A that is not square.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import funm
    >>> funm(jnp.diag(jnp.array([1.0, 4.0])), jnp.sqrt).real
    Array([[1., 0.],
           [0., 2.]], dtype=float32)
    """
    (a,) = square_matrices("funm", A)
    if a.ndim != 2:
        raise ValueError(f"funm: one square matrix is needed, got an array of shape {a.shape}; use vmap for a stack")
    t, u = lax.linalg.schur(_as_complex(a))
    n = t.shape[0]
    values = jnp.diagonal(t)
    results = jnp.asarray(func(values)).astype(t.dtype)
    positions = jnp.arange(n)

    def column(j, x):
        # From x t = t x (Parlett); equal eigenvalues leave a row as it is, as SciPy does.
        above = positions < j
        right = jnp.where(above, _product(x, t[:, j]) - t[:, j] * results[j], 0)
        differences = _unit_where(~above, values - t[j, j])
        x = _solve_upper(jnp.where(positions < j, t, 0), jnp.where(differences == 0, -1, differences), right)
        return jnp.where(positions == j, results[j], x)

    x = _columns_of(n, column, jnp.zeros_like(t))
    out = matmul(matmul(u, x), adjoint(u))
    if disp:
        return out
    eps = jnp.finfo(t.dtype).eps
    different = positions[:, None] != positions
    least = jnp.min(jnp.where(different, jnp.abs(values[:, None] - values), jnp.inf), initial=jnp.inf)
    least = jnp.where(least == 0, eps, jnp.minimum(least, jnp.abs(t[0, 0])) if n else least)
    error = jnp.clip(eps / least * jnp.max(jnp.sum(jnp.abs(jnp.triu(t, 1)), axis=0), initial=0), eps, 1)
    return out, jnp.where(jnp.all(jnp.isfinite(out)), error, jnp.inf)


def _complex_schur_of_one(t, z):
    """A plane rotation a subdiagonal element, from the last to the first, makes it zero."""
    n = t.shape[0]
    eps = jnp.finfo(t.dtype).eps

    def rotate(step, state):
        t, z = state
        m = n - 1 - step
        a, b, c, d = t[m - 1, m - 1], t[m - 1, m], t[m, m - 1], t[m, m]
        half = (a - d) / 2
        # An eigenvalue of the two by two block, less its last element.
        first = half + jnp.sqrt(half * half + b * c)
        length = jnp.sqrt(jnp.abs(first) ** 2 + jnp.abs(c) ** 2)
        needed = jnp.abs(c) > eps * (jnp.abs(a) + jnp.abs(d))
        cosine, sine = (jnp.where(needed, x / _unit_where(~needed, length), y) for x, y in ((first, 1), (c, 0)))
        rotation = jnp.array([[jnp.conj(cosine), jnp.conj(sine)], [-sine, cosine]])
        both = jnp.array([m - 1, m])
        t = t.at[both].set(_product(rotation, t[both]))
        t = t.at[:, both].set(_product(t[:, both], adjoint(rotation)))
        return t.at[m, m - 1].set(0), z.at[:, both].set(_product(z[:, both], adjoint(rotation)))

    t, z = lax.fori_loop(0, max(n - 1, 0), rotate, (t, z))
    return jnp.triu(t), z


@jit
def _complex_schur(t, z):
    return jnp.vectorize(_complex_schur_of_one, signature="(n,n),(n,n)->(n,n),(n,n)")(t, z)


def rsf2csf(T, Z, check_finite=True):
    """The complex Schur form of which ``T`` and the unitary ``Z`` are the real one: T upper triangular.

    ``check_finite`` has no effect. ValueError for matrices that are not square, or of two shapes.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import rsf2csf
    >>> t, _ = rsf2csf(jnp.array([[0.0, -1.0], [1.0, 0.0]]), jnp.eye(2))
    >>> bool(jnp.allclose(jnp.diagonal(t), jnp.array([1j, -1j]), atol=1e-6))
    True
    """
    t, z = square_matrices("rsf2csf", T, Z)
    if t.shape != z.shape:
        raise ValueError(f"rsf2csf: T and Z must have one shape, got {t.shape} and {z.shape}")
    return _complex_schur(_as_complex(t), _as_complex(z))
