"""Hypergeometric functions of real arguments, with derivatives by the parameters too."""

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.scipy._arguments import constant, real_arrays

MAX_TERMS = 20_000


def _series(upper, lower, x):
    """The sum over k of x**k / k! times the rising factorials of `upper` over those of `lower`, and its derivatives.

    Returns the sum and the list of its derivatives by each of `upper` and `lower`. Terms are added until none counts
    any more; each derivative of a term follows from the previous one by the product rule.
    """
    parameters = (*upper, *lower)
    zero, one = lax.full_like(x, 0), lax.full_like(x, 1)
    epsilon = constant(x, np.finfo(x.dtype).eps / 8)

    def goes_on(state):
        k, _, _, calm = state
        return jnp.logical_and(k < MAX_TERMS, jnp.logical_not(jnp.all(calm >= 3)))

    def step(state):
        k, terms, sums, calm = state
        index = lax.convert_element_type(k, x.dtype)
        term, *slopes = terms
        ratio = x / (index + 1)
        for a in upper:
            ratio = ratio * (a + index)
        for b in lower:
            ratio = ratio / (b + index)
        new = []
        for i, slope in enumerate(slopes):
            # The derivative of the ratio by its parameter, without a division by a factor that may be 0.
            change = x / (index + 1)
            for j, a in enumerate(upper):
                change = change if j == i else change * (a + index)
            for j, b in enumerate(lower, len(upper)):
                change = -change / lax.square(b + index) if j == i else change / (b + index)
            new.append(slope * ratio + term * change)
        terms = (term * ratio, *new)
        sums = tuple([total + term for total, term in zip(sums, terms)])
        small = jnp.isnan(sums[0]) | jnp.isinf(sums[0])
        counts = [lax.abs(term) > epsilon * lax.abs(total) for term, total in zip(terms, sums)]
        count = counts[0]
        for other in counts[1:]:
            count = count | other
        return k + 1, terms, sums, jnp.where(count & ~small, 0, calm + 1)

    start = (one, *[zero] * len(parameters))
    calm = lax.full(x.shape, 0, np.int32)
    _, _, (value, *slopes), _ = lax.while_loop(goes_on, step, (np.int32(0), start, start, calm))
    return value, slopes


# 1F1 ------------------------------------------------------------------------------------------------------------------


@custom_jvp
@jit
def _kummer(a, b, x):
    return _series((a,), (b,), x)[0]


@_kummer.defjvp
def _kummer_jvp(primals, tangents):
    (a, b, x), (da, db, dx) = primals, tangents
    value, (by_a, by_b) = jit(lambda a, b, x: _series((a,), (b,), x))(a, b, x)
    return value, da * by_a + db * by_b + dx * (a / b) * _kummer(a + 1, b + 1, x)


def hyp1f1(a, b, x):
    """Confluent hypergeometric function of Kummer, 1F1(a; b; x).

    >>> import cyxla.scipy.special as special
    >>> abs(float(special.hyp1f1(1.0, 2.0, 1.0)) - 1.7182818) < 1e-6
    True
    """
    dtype, (a, b, x) = real_arrays("hyp1f1", a, b, x)
    # For negative x the terms alternate: exp(x) 1F1(b - a; b; -x) is the same, and has positive ones.
    negative = x < 0
    value = _kummer(jnp.where(negative, b - a, a), b, lax.abs(x))
    return lax.convert_element_type(jnp.where(negative, lax.exp(lax.min(x, constant(x, 0))) * value, value), dtype)


# 2F1 ------------------------------------------------------------------------------------------------------------------


@custom_jvp
@jit
def _gauss(a, b, c, x):
    return _series((a, b), (c,), x)[0]


@_gauss.defjvp
def _gauss_jvp(primals, tangents):
    (a, b, c, x), (da, db, dc, dx) = primals, tangents
    value, (by_a, by_b, by_c) = jit(lambda a, b, c, x: _series((a, b), (c,), x))(a, b, c, x)
    return value, da * by_a + db * by_b + dc * by_c + dx * (a * b / c) * _gauss(a + 1, b + 1, c + 1, x)


def _is_whole(x):
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN) == x


def _gamma_ratio(over, under):
    """The product of gamma functions of `over` by that of `under`; 0 where one of `under` is a pole."""
    from cyxla.scipy.special import gammaln, gammasgn

    pole = under[0] != under[0]
    for x in under:
        pole = pole | ((x <= 0) & _is_whole(x))
    log, sign = 0, 1
    for x in over:
        log, sign = log + gammaln(x), sign * gammasgn(x)
    for x in under:
        x = jnp.where(pole, constant(x, 1), x)
        log, sign = log - gammaln(x), sign * gammasgn(x)
    return jnp.where(pole, constant(log, 0), sign * lax.exp(log))


@jit
def _hyp2f1(a, b, c, x):
    one = constant(x, 1)
    polynomial = ((a <= 0) & _is_whole(a)) | ((b <= 0) & _is_whole(b))
    # Negative x go to (0, 1) by Pfaff's transformation.
    negative = (x < 0) & ~polynomial
    scale = jnp.where(negative, lax.exp(-a * lax.log1p(lax.max(-x, constant(x, 0)))), one)
    b = jnp.where(negative, c - b, b)
    x = jnp.where(negative, x / jnp.where(negative, x - 1, one), x)
    polynomial = polynomial | ((b <= 0) & _is_whole(b))
    excess = c - a - b
    distance = lax.abs(excess - lax.round(excess, lax.RoundingMethod.TO_NEAREST_EVEN))
    # Near 1 the series in 1 - x converges quickly; its two parts cancel where c - a - b is nearly whole.
    reflected = (x > 0.9) & (x < 1) & ~polynomial & (distance > 0.02)
    inside = jnp.where(polynomial | (x < 1), x, constant(x, 0))
    direct = _gauss(a, b, c, jnp.where(reflected, constant(x, 0), inside))
    safe = jnp.where(reflected, excess, one / 2)
    y = jnp.where(reflected, 1 - x, constant(x, 0.5))
    first = _gamma_ratio((c, safe), (c - a, c - b)) * _gauss(a, b, 1 - safe, jnp.where(reflected, y, constant(x, 0)))
    second = _gamma_ratio((c, -safe), (a, b)) * _gauss(c - a, c - b, 1 + safe, jnp.where(reflected, y, constant(x, 0)))
    around = first + lax.exp(safe * lax.log(y)) * second
    value = jnp.where(reflected, around, direct)
    summable = excess > 0
    at_one = _gamma_ratio((c, jnp.where(summable, excess, one)), (c - a, c - b))
    end = jnp.where((x == 1) & summable, at_one, constant(x, np.inf))
    value = jnp.where((x >= 1) & ~polynomial, end, value)
    return scale * jnp.where(jnp.isnan(x), x, value)


def hyp2f1(a, b, c, x):
    """Hypergeometric function of Gauss, 2F1(a, b; c; x), for `x` up to 1; infinity beyond, but for polynomials.

    >>> import cyxla.scipy.special as special
    >>> abs(float(special.hyp2f1(1.0, 1.0, 2.0, 0.5)) - 1.3862944) < 1e-6
    True
    """
    dtype, (a, b, c, x) = real_arrays("hyp2f1", a, b, c, x)
    return lax.convert_element_type(_hyp2f1(a, b, c, x), dtype)
