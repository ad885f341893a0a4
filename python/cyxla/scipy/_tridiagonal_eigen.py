"""Eigenvalues and eigenvectors of Hermitian tridiagonal matrices."""

import operator
from functools import partial

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import check_choice, check_same_dtype, short
from cyxla.lax.linalg.lapack import PREFIXES


def _matrix(d, e):
    return jnp.diag(d).astype(e.dtype) + jnp.diag(e, 1) + jnp.diag(jnp.conj(e), -1)


def _bisected(d, e, wanted, tol):
    """The eigenvalues of the numbers `wanted`, all of them at once.

    W. Barth, R. Martin, J. Wilkinson (1967): as many eigenvalues are less than x as there are negative pivots in the
    elimination of the matrix less x.
    """
    info = jnp.finfo(d.dtype)
    size = jnp.abs(e)
    squares = jnp.concatenate([jnp.zeros_like(d[:1]), size * size])
    radii = jnp.concatenate([size, jnp.zeros_like(d[:1])]) + jnp.concatenate([jnp.zeros_like(d[:1]), size])
    low, high = jnp.min(d - radii), jnp.max(d + radii)
    bound = jnp.maximum(jnp.abs(low), jnp.abs(high))
    least_pivot = info.tiny * jnp.maximum(jnp.max(squares), 1)
    width = jnp.maximum(info.eps * bound, tol)

    def count_below(x):
        def eliminate(state, row):
            pivot, count = state
            value, square = row
            pivot = value - x - square / pivot
            pivot = jnp.where(jnp.abs(pivot) < least_pivot, -least_pivot, pivot)
            return (pivot, count + (pivot < 0)), None

        start = jnp.ones_like(x), jnp.zeros(x.shape, np.int32)
        return lax.scan(eliminate, start, (d, squares))[0][1]

    def halve(state):
        low, high = state
        middle = (low + high) / 2
        above = count_below(middle) > wanted
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    edge = width + 2 * info.tiny
    start = jnp.full(wanted.shape, low - edge), jnp.full(wanted.shape, high + edge)
    low, high = lax.while_loop(lambda state: jnp.max(state[1] - state[0], initial=0) > width, halve, start)
    return (low + high) / 2


@partial(custom_jvp, nondiff_argnums=(2, 3, 4))
@partial(jit, static_argnums=(2, 3, 4))
def _eigenvalues(d, e, first, last, tol):
    return _bisected(d, e, jnp.arange(first, last, dtype=np.int32), tol)


@_eigenvalues.defjvp
def _eigenvalues_jvp(first, last, tol, primals, tangents):
    d, e = primals
    t_d, t_e = tangents
    # How an eigenvalue moves is what the change of the matrix does to its eigenvector.
    v = lax.linalg.eigh(_matrix(d, e), symmetrize_input=False)[0][:, first:last]
    change = jnp.sum(t_d[:, None] * jnp.abs(v) ** 2, axis=0)
    change = change + 2 * jnp.sum((jnp.conj(v[:-1]) * t_e[:, None] * v[1:]).real, axis=0)
    return _eigenvalues(d, e, first, last, tol), change


def eigh_tridiagonal(d, e, *, eigvals_only=False, select="a", select_range=None, tol=None, key=None):
    """Eigenvalues, in ascending order, and eigenvectors (as columns) of a Hermitian tridiagonal matrix.

    ``d`` is its diagonal and ``e`` the diagonal above, of one element less. With ``eigvals_only`` eigenvalues alone are
    found, by bisection, to an absolute precision of ``tol`` or what the dtype allows. ``select`` is "a" (all), "i"
    (those of the numbers from ``select_range[0]`` to ``select_range[1]``, both included) or "v" (those in the interval
    (``select_range[0]``, ``select_range[1]``]; not under a transformation, as their number depends on values).
    ``key`` has no effect. ValueError for an unknown ``select`` or a range that does not fit, TypeError for arrays that
    do not.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.scipy.linalg import eigh_tridiagonal
    >>> values, vectors = eigh_tridiagonal(jnp.array([2.0, 1.0]), jnp.array([0.0]))
    >>> values
    Array([1., 2.], dtype=float32)
    """
    d, e = (jnp.asarray(x) for x in (d, e))
    check_choice("eigh_tridiagonal", "select", select, ("a", "i", "v"))
    check_same_dtype("eigh_tridiagonal", (d.aval, e.aval))
    if d.aval.code not in PREFIXES:
        raise TypeError(f"eigh_tridiagonal: d and e must be floating or complex numbers, got {short(d.aval)}")
    if d.ndim != 1 or e.ndim != 1 or d.size != e.size + 1:
        raise TypeError(
            "eigh_tridiagonal: d and e must be vectors, d of one element more; their shapes are "
            f"{d.shape} and {e.shape}"
        )
    d = d.real
    first, last = 0, d.size
    if select != "a" and (select_range is None or len(select_range) != 2):
        raise ValueError(f"eigh_tridiagonal: select={select!r} needs a select_range of two, got {select_range!r}")
    if select == "i":
        first, last = (operator.index(i) for i in select_range)
        last += 1
        if not 0 <= first < last <= d.size:
            raise ValueError(
                f"eigh_tridiagonal: select_range={tuple(select_range)} must lie in [0, {d.size}), in ascending order"
            )
    if eigvals_only:
        found = [_eigenvalues(d, e, first, last, 0.0 if tol is None else float(tol))]
    else:
        v, w = lax.linalg.eigh(_matrix(d, e), symmetrize_input=False)
        found = [w[first:last], v[:, first:last]]
    if select == "v":
        inside = (found[0] > select_range[0]) & (found[0] <= select_range[1])
        found = [x[..., inside] for x in found]
    return found[0] if eigvals_only else tuple(found)
