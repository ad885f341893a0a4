"""Sequences of numbers and functions, by recurrences: Bernoulli numbers, Bessel functions, spherical harmonics."""

import math
from fractions import Fraction
from functools import partial
from operator import index

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla._engine.core import Tracer
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.errors import ConcretizationTypeError
from cyxla.lax._util import check_kind
from cyxla.scipy._arguments import arrays, constant, real_arrays


def _bernoulli_number(k, exact):
    """B_k for even k of 2 and more: from the sum over binomials, or from zeta where that is 1 to the last digit."""
    if k < 60:
        exact.append(
            -sum((math.comb(k + 1, j) * b for j, b in enumerate(exact)), Fraction(0)) / (k + 1) if k % 2 == 0 else 0
        )
        return float(exact[-1])
    log = math.log(2) + math.lgamma(k + 1) - k * math.log(2 * math.pi)
    return (1 if k % 4 == 2 else -1) * (math.exp(log) if log < 709 else math.inf)


def bernoulli(n):
    """The Bernoulli numbers `B_0, ..., B_n`, an array of the default float dtype.

    >>> import cyxla.scipy.special as special
    >>> special.bernoulli(2)
    Array([ 1.        , -0.5       ,  0.16666667], dtype=float32)
    """
    n = index(n)
    if n < 0:
        raise ValueError(f"bernoulli: n={n} is negative")
    exact = [Fraction(1), Fraction(-1, 2)]
    values = [1.0, -0.5]
    for k in range(2, n + 1):
        values.append(_bernoulli_number(k, exact) if k % 2 == 0 or k < 60 else 0.0)
    dtype = jnp.zeros(()).dtype
    with np.errstate(over="ignore"):
        return asarray(np.array(values[: n + 1]).astype(dtype))


# Bessel functions -----------------------------------------------------------------------------------------------------


@partial(jit, static_argnums=(1, 2))
def _bessel(z, v, n_iter):
    """J_0, ..., J_v by Miller's backward recurrence from order n_iter."""
    tiny = lax.abs(z) < 1e-3
    argument = jnp.where(tiny, constant(z, 1), z)
    zero = lax.full_like(z, 0)
    kept = lax.full((v + 1, *z.shape), 0, z.dtype)
    orders = lax.broadcasted_iota(np.int32, kept.shape, 0)

    def step(i, state):
        above, here, total, kept = state
        k = n_iter - i
        index = lax.convert_element_type(k, z.dtype)
        below = 2 * index / argument * here - above
        kept = jnp.where(orders == k - 1, below, kept)
        total = total + jnp.where((k - 1) % 2 == 0, jnp.where(k == 1, 1, 2), 0).astype(z.dtype) * below
        # Only ratios matter, until they are divided by the sum that is known to be 1.
        scale = jnp.where(lax.abs(below) > 1e8, constant(z, 1e-8), constant(z, 1))
        return here * scale, below * scale, total * scale, kept * scale

    _, _, total, kept = lax.fori_loop(0, n_iter, step, (zero, zero + constant(z, 1e-8), zero, kept))
    large = kept / total
    powers = [zero + 1]
    for k in range(1, v + 1):
        powers.append(powers[-1] * z / (2 * k))
    quarter = lax.square(z) / 4
    small = jnp.stack([power * (1 - quarter / (k + 1)) for k, power in enumerate(powers)])
    return jnp.where(tiny, small, large)


@partial(custom_jvp, nondiff_argnums=(1, 2))
def _bessel_jn(z, v, n_iter):
    return _bessel(z, v, n_iter)


@_bessel_jn.defjvp
def _bessel_jn_jvp(v, n_iter, primals, tangents):
    (z,), (dz,) = primals, tangents
    values = _bessel_jn(z, v + 1, n_iter)
    below = jnp.concatenate([-values[1:2], values[:v]])
    return values[: v + 1], dz * (below - values[1:]) / 2


def bessel_jn(z, *, v, n_iter=50):
    """The Bessel functions of the first kind `J_0(z), ..., J_v(z)`, along a new first axis.

    `n_iter` is the order that the backward recurrence starts from: it must exceed `v`, and the largest `abs(z)` by
    half for single precision, or by its double for double precision.
    """
    v, n_iter = index(v), index(n_iter)
    if not 0 <= v <= n_iter:
        raise ValueError(f"bessel_jn: v={v} must lie between 0 and n_iter={n_iter}")
    (z,) = arrays("bessel_jn", z)
    check_kind("bessel_jn", z.aval, "f", "z")
    dtype, (z,) = real_arrays("bessel_jn", z)
    return lax.convert_element_type(_bessel_jn(z, v, max(n_iter, v + 2)), dtype)


# spherical harmonics --------------------------------------------------------------------------------------------------


@partial(jit, static_argnums=(4,))
def _harmonics(n, m, theta, phi, n_max):
    order = lax.abs(m)
    cosine, sine = lax.cos(theta), lax.sin(theta)
    order_float = lax.convert_element_type(order, theta.dtype)

    # P_m^m of normalized Legendre functions, and then P_l^m for l = m + 1, ..., n.
    def diagonal(k, value):
        factor = np.sqrt((2 * k + 1) / (2 * k))
        return jnp.where(k <= order, -constant(theta, factor) * sine * value, value)

    value = lax.full_like(theta, math.sqrt(0.25 / math.pi))
    for k in range(1, n_max + 1):
        value = diagonal(k, value)
    previous = lax.full_like(theta, 0)
    for degree in range(1, n_max + 1):
        l = constant(theta, degree)
        over = jnp.where(degree > order, lax.square(l) - lax.square(order_float), constant(theta, 1))
        first = lax.sqrt((4 * lax.square(l) - 1) / over)
        under = lax.max(lax.square(l - 1) - lax.square(order_float), constant(theta, 0))
        second = lax.sqrt((2 * l + 1) * under / (abs(2 * l - 3) * over))
        new = first * cosine * value - second * previous
        grows = (degree > order) & (degree <= n)
        previous, value = jnp.where(grows, value, previous), jnp.where(grows, new, value)
    value = jnp.where(order > n, constant(theta, 0), value)
    value = jnp.where((m < 0) & (order % 2 == 1), -value, value)
    angle = lax.convert_element_type(m, theta.dtype) * phi
    return lax.complex(value * lax.cos(angle), value * lax.sin(angle))


def sph_harm_y(n, m, theta, phi, diff_n=None, n_max=None):
    """Spherical harmonics of degree `n` and order `m`, at polar angles `theta` and azimuths `phi`; complex.

    `n_max` is the largest degree, which must be given where `n` is traced. Shapes broadcast. Derivatives come from
    differentiating, `diff_n` is not available.
    """
    if diff_n is not None:
        raise NotImplementedError("sph_harm_y: diff_n is not available; differentiate by theta and phi with jax.jvp")
    if n_max is None:
        if isinstance(n, Tracer):
            raise ConcretizationTypeError(n, "sph_harm_y() needs the largest degree; give n_max as a Python integer")
        n_max = int(np.max(np.asarray(n), initial=0))
    n, m = (x if isinstance(x, Array) else asarray(x) for x in (n, m))
    check_kind("sph_harm_y", n.aval, "iu", "n")
    check_kind("sph_harm_y", m.aval, "iu", "m")
    _, (theta, phi) = real_arrays("sph_harm_y", theta, phi)
    n, m, theta, phi = jnp.broadcast_arrays(n, m, theta, phi)
    return _harmonics(n, m, theta, phi, index(n_max))
