"""Incomplete gamma and beta functions, elementwise, by series and continued fractions that run until they settle."""

import numpy as np

from cyxla import lax
from cyxla._engine.core import Primitive
from cyxla._engine.ufunc import StrictOp
from cyxla.lax._util import scalar_like
from cyxla.lax.bessel import in_single_precision
from cyxla.lax.binary import no_derivative

MAX_TERMS = 2000


def _limits(x):
    return np.finfo(x.dtype)


def _any(mask):
    return lax.reduce_or(mask, tuple(range(mask.ndim)))


def _until_settled(step, state, active):
    """Runs `step(n, state) -> (state, still)` on the elements that are active, until none is; `state` is a tuple."""

    def body(carry):
        n, active, state = carry
        new, still = step(n, state)
        kept = tuple(lax.select(active, a, b) for a, b in zip(new, state))
        return lax.add(n, scalar_like(n, 1)), lax.bitwise_and(active, still), kept

    def condition(carry):
        n, active, _ = carry
        return lax.bitwise_and(_any(active), lax.lt(n, scalar_like(n, MAX_TERMS)))

    first = lax.full((), 1, state[0].dtype)
    return lax.while_loop(condition, body, (first, active, state))[2]


def _prefactor(a, x):
    """x^a exp(-x) / Gamma(a)."""
    log_factor = lax.sub(lax.sub(lax.mul(a, lax.log(x)), x), lax.lgamma(a))
    under = lax.lt(log_factor, scalar_like(a, -float(np.log(_limits(a).max))))
    return lax.select(under, lax.full_like(a, 0), lax.exp(log_factor))


def _series(a, x, active):
    """P(a, x) and its derivative in a, over the prefactor: the sum of x^n / (a (a + 1) ... (a + n))."""
    eps = scalar_like(a, float(_limits(a).eps))
    one, zero = lax.full_like(a, 1), lax.full_like(a, 0)

    def step(n, state):
        total, term, slope, dtotal = state
        place = lax.add(a, n)
        term = lax.mul(term, lax.div(x, place))
        slope = lax.sub(slope, lax.div(one, place))  # of the logarithm of the term
        total, dterm = lax.add(total, term), lax.mul(term, slope)
        dtotal = lax.add(dtotal, dterm)
        still = lax.bitwise_or(lax.gt(term, lax.mul(eps, total)), lax.gt(lax.abs(dterm), lax.mul(eps, lax.abs(dtotal))))
        return (total, term, slope, dtotal), still

    total, _, _, dtotal = _until_settled(step, (one, one, zero, zero), active)
    dlog_factor = lax.sub(lax.sub(lax.log(x), lax.digamma(a)), lax.div(one, a))
    return lax.div(total, a), lax.div(lax.add(dtotal, lax.mul(total, dlog_factor)), a)


def _continued_fraction(a, x, active):
    """Q(a, x) and its derivative in a, over the prefactor: Legendre's continued fraction, of ratios p / q."""
    eps = scalar_like(a, float(_limits(a).eps))
    big = scalar_like(a, 1 / float(_limits(a).eps))
    one, zero = lax.full_like(a, 1), lax.full_like(a, 0)
    z0 = lax.add(lax.sub(x, a), scalar_like(a, 2))

    def step(n, state):
        p2, p1, q2, q1, dp2, dp1, dq2, dq1, ratio, dratio = state
        y = lax.add(lax.sub(one, a), n)
        z = lax.add(z0, lax.mul(scalar_like(n, 2), n))
        yn = lax.mul(y, n)
        p = lax.sub(lax.mul(p1, z), lax.mul(p2, yn))
        q = lax.sub(lax.mul(q1, z), lax.mul(q2, yn))
        # z and y fall with a at slope 1
        dp = lax.add(lax.sub(lax.sub(lax.mul(dp1, z), p1), lax.mul(dp2, yn)), lax.mul(p2, n))
        dq = lax.add(lax.sub(lax.sub(lax.mul(dq1, z), q1), lax.mul(dq2, yn)), lax.mul(q2, n))
        good = lax.ne(q, zero)
        safe = lax.select(good, q, one)
        new = lax.select(good, lax.div(p, safe), ratio)
        dnew = lax.select(good, lax.div(lax.sub(dp, lax.mul(new, dq)), safe), dratio)
        change = lax.gt(lax.abs(lax.sub(new, ratio)), lax.mul(eps, lax.abs(new)))
        dchange = lax.gt(lax.abs(lax.sub(dnew, dratio)), lax.mul(eps, lax.abs(dnew)))
        still = lax.bitwise_or(lax.bitwise_not(good), lax.bitwise_or(change, dchange))
        values = (p1, p, q1, q, dp1, dp, dq1, dq)
        scale = lax.select(lax.gt(lax.abs(p), big), lax.full_like(p, float(_limits(a).eps)), one)
        return (*(lax.mul(v, scale) for v in values), new, dnew), still

    p1, q1 = lax.add(x, one), lax.mul(z0, x)
    dq1 = lax.neg(x)
    ratio = lax.div(p1, q1)
    dratio = lax.neg(lax.div(lax.mul(ratio, dq1), q1))
    *_, ratio, dratio = _until_settled(step, (one, p1, x, q1, zero, zero, zero, dq1, ratio, dratio), active)
    return ratio, lax.add(dratio, lax.mul(ratio, lax.sub(lax.log(x), lax.digamma(a))))


def _regions(a, x):
    """Where the arguments make no sense, and where the continued fraction is the faster of the two ways."""
    zero, one = scalar_like(a, 0), scalar_like(a, 1)
    wrong = lax.bitwise_or(lax.ne(a, a), lax.ne(x, x))
    wrong = lax.bitwise_or(wrong, lax.bitwise_or(lax.lt(x, zero), lax.lt(a, zero)))
    wrong = lax.bitwise_or(wrong, lax.bitwise_and(lax.eq(a, zero), lax.eq(x, zero)))
    upper = lax.bitwise_and(lax.ge(x, one), lax.gt(x, a))
    edge = lax.bitwise_or(lax.eq(x, zero), lax.eq(x, scalar_like(x, np.inf)))
    edge = lax.bitwise_or(edge, lax.bitwise_or(lax.eq(a, zero), lax.eq(a, scalar_like(a, np.inf))))
    inside = lax.bitwise_not(lax.bitwise_or(wrong, edge))
    # harmless arguments for the elements that are not computed
    safe_a = lax.select(inside, a, lax.full_like(a, 1))
    safe_x = lax.select(inside, x, lax.full_like(x, 1))
    upper_inside = lax.bitwise_and(upper, inside)
    lower_inside = lax.bitwise_and(lax.bitwise_not(upper), inside)
    return wrong, inside, upper, safe_a, safe_x, lower_inside, upper_inside


def _incomplete(a, x, complement):
    wrong, inside, upper, safe_a, safe_x, low, high = _regions(a, x)
    p, _ = _series(safe_a, safe_x, low)
    q, _ = _continued_fraction(safe_a, safe_x, high)
    factor = _prefactor(safe_a, safe_x)
    p, q = lax.mul(p, factor), lax.mul(q, factor)
    one, zero = lax.full_like(a, 1), lax.full_like(a, 0)
    # at the edges: P(0, x) = P(a, inf) = 1 and P(a, 0) = P(inf, x) = 0
    full = lax.bitwise_or(lax.eq(a, zero), lax.eq(x, scalar_like(x, np.inf)))
    if complement:
        value, edge = lax.select(upper, q, lax.sub(one, p)), lax.select(full, zero, one)
    else:
        value, edge = lax.select(upper, lax.sub(one, q), p), lax.select(full, one, zero)
    return lax.select(wrong, lax.full_like(a, np.nan), lax.select(inside, value, edge))


def _slope(a, x, of_sample):
    """The derivative of P in a; or that of a sample x in a: the former over the density, with its sign changed."""
    wrong, inside, upper, safe_a, safe_x, low, high = _regions(a, x)
    _, dp = _series(safe_a, safe_x, low)
    _, dq = _continued_fraction(safe_a, safe_x, high)
    over_prefactor = lax.select(upper, lax.neg(dq), dp)
    # the density is the prefactor over x
    value = lax.mul(over_prefactor, lax.neg(safe_x) if of_sample else _prefactor(safe_a, safe_x))
    value = lax.select(inside, value, lax.full_like(a, 0))
    wrong = lax.bitwise_or(wrong, lax.le(a, scalar_like(a, 0)))
    return lax.select(wrong, lax.full_like(a, np.nan), value)


def _density(a, x):
    """The slope of igamma in x: x^(a - 1) exp(-x) / Gamma(a)."""
    log_x = lax.mul(lax.sub(a, scalar_like(a, 1)), lax.log(x))
    return lax.exp(lax.sub(lax.add(lax.neg(x), log_x), lax.lgamma(a)))


def _row(name, function, jvps):
    return Primitive(name, kind="elementwise", accepts="f", lower=in_single_precision(function), jvps=jvps)


igamma_grad_a_p = _row("igamma_grad_a", lambda a, x: _slope(a, x, False), (no_derivative("igamma_grad_a"),) * 2)
igamma_grad_a = StrictOp(
    igamma_grad_a_p, "igamma_grad_a", "Elementwise derivative of igamma(a, x) with respect to a.", signature="(a, x)"
)

igamma_p = _row(
    "igamma",
    lambda a, x: _incomplete(a, x, False),
    (
        lambda t, ans, a, x: lax.mul(t, lax.igamma_grad_a(a, x)),
        lambda t, ans, a, x: lax.mul(t, _density(a, x)),
    ),
)
igamma = StrictOp(
    igamma_p, "igamma", "Elementwise regularized lower incomplete gamma function P(a, x).", signature="(a, x)"
)

igammac_p = _row(
    "igammac",
    lambda a, x: _incomplete(a, x, True),
    (
        lambda t, ans, a, x: lax.neg(lax.mul(t, lax.igamma_grad_a(a, x))),
        lambda t, ans, a, x: lax.neg(lax.mul(t, _density(a, x))),
    ),
)
igammac = StrictOp(
    igammac_p,
    "igammac",
    "Elementwise regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x).",
    signature="(a, x)",
)


random_gamma_grad_p = _row(
    "random_gamma_grad", lambda a, x: _slope(a, x, True), (no_derivative("random_gamma_grad"),) * 2
)
random_gamma_grad = StrictOp(
    random_gamma_grad_p,
    "random_gamma_grad",
    "Elementwise derivative of a gamma sample x with respect to its shape a, the quantile held fixed.",
    signature="(*args)",
)

# ---- the incomplete beta function


def _beta_fraction(a, b, x, active):
    """The continued fraction of I_x(a, b) by Lentz's method: two of its terms a step."""
    eps = scalar_like(a, float(_limits(a).eps))
    one = lax.full_like(a, 1)
    tiny = lax.full_like(a, float(_limits(a).tiny) * 1e4)
    total = lax.add(a, b)

    def nonzero(v):
        return lax.select(lax.lt(lax.abs(v), tiny), tiny, v)

    def step(n, state):
        c, d, h = state
        place = lax.add(a, lax.mul(scalar_like(n, 2), n))
        even = lax.div(lax.mul(lax.mul(n, lax.sub(b, n)), x), lax.mul(lax.sub(place, one), place))
        odd = lax.neg(
            lax.div(lax.mul(lax.mul(lax.add(a, n), lax.add(total, n)), x), lax.mul(place, lax.add(place, one)))
        )
        change = one
        for factor in (even, odd):
            d = lax.div(one, nonzero(lax.add(one, lax.mul(factor, d))))
            c = nonzero(lax.add(one, lax.div(factor, c)))
            change = lax.mul(c, d)
            h = lax.mul(h, change)
        return (c, d, h), lax.gt(lax.abs(lax.sub(change, one)), eps)

    d = lax.div(one, nonzero(lax.sub(one, lax.div(lax.mul(total, x), lax.add(a, one)))))
    return _until_settled(step, (one, d, d), active)[2]


def _log_beta(a, b):
    return lax.sub(lax.add(lax.lgamma(a), lax.lgamma(b)), lax.lgamma(lax.add(a, b)))


def _betainc(a, b, x):
    zero, one = lax.full_like(a, 0), lax.full_like(a, 1)
    infinity = lax.full_like(a, np.inf)
    a_low, b_low = lax.eq(a, zero), lax.eq(b, zero)
    a_high, b_high = lax.eq(a, infinity), lax.eq(b, infinity)
    wrong = lax.bitwise_or(lax.ne(a, a), lax.bitwise_or(lax.ne(b, b), lax.ne(x, x)))
    for bad in (lax.lt(a, zero), lax.lt(b, zero), lax.lt(x, zero), lax.gt(x, one)):
        wrong = lax.bitwise_or(wrong, bad)
    wrong = lax.bitwise_or(wrong, lax.bitwise_or(lax.bitwise_and(a_low, b_low), lax.bitwise_and(a_high, b_high)))
    # all mass at 0, or all at 1
    to_one = lax.bitwise_or(lax.bitwise_or(a_low, b_high), lax.eq(x, one))
    to_zero = lax.bitwise_or(lax.bitwise_or(b_low, a_high), lax.eq(x, zero))
    inside = lax.bitwise_not(lax.bitwise_or(wrong, lax.bitwise_or(to_one, to_zero)))
    half = lax.full_like(x, 0.5)
    a, b, x = (lax.select(inside, v, w) for v, w in ((a, one), (b, one), (x, half)))
    # the fraction converges fast below the mean; above it the roles of the tails are exchanged
    swap = lax.gt(x, lax.div(lax.add(a, one), lax.add(lax.add(a, b), scalar_like(a, 2))))
    first, second = lax.select(swap, b, a), lax.select(swap, a, b)
    y = lax.select(swap, lax.sub(one, x), x)
    log_y, log_rest = (
        lax.select(swap, lax.log1p(lax.neg(x)), lax.log(x)),
        lax.select(swap, lax.log(x), lax.log1p(lax.neg(x))),
    )
    log_factor = lax.sub(lax.add(lax.mul(first, log_y), lax.mul(second, log_rest)), _log_beta(first, second))
    tail = lax.div(lax.mul(lax.exp(log_factor), _beta_fraction(first, second, y, inside)), first)
    value = lax.select(swap, lax.sub(one, tail), tail)
    edge = lax.select(to_zero, zero, one)
    return lax.select(wrong, lax.full_like(value, np.nan), lax.select(inside, value, edge))


def _betainc_shape_jvp(t, ans, a, b, x):
    raise ValueError(
        "betainc has a derivative with respect to x only; hold a and b constant, for example by jax.lax.stop_gradient"
    )


def _betainc_jvp(t, ans, a, b, x):
    one = scalar_like(x, 1)
    log_density = lax.sub(
        lax.add(lax.mul(lax.sub(b, one), lax.log1p(lax.neg(x))), lax.mul(lax.sub(a, one), lax.log(x))),
        _log_beta(a, b),
    )
    return lax.mul(t, lax.exp(log_density))


regularized_incomplete_beta_p = _row(
    "regularized_incomplete_beta", _betainc, (_betainc_shape_jvp, _betainc_shape_jvp, _betainc_jvp)
)


def betainc(a, b, x):
    """Elementwise regularized incomplete beta function I_x(a, b); differentiable with respect to x only.

    >>> from cyxla import lax
    >>> print(f"{lax.betainc(1.0, 1.0, 0.25):.3f}")
    0.250
    """
    return regularized_incomplete_beta_p.bind(a, b, x)
