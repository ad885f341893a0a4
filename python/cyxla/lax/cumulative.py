"""Cumulative operations along an axis: sum, product, maximum, minimum, log of the sum of exponentials."""

import numpy as np

from cyxla import lax
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.core import Primitive
from cyxla.lax._util import as_operand, check_axes, check_kind, region
from cyxla.lax.reduction import highest, lowest


def _cumulative(name, accepts, combine, identity, **rules):
    def abstract(x, axis, reverse):
        check_kind(name, x, accepts)
        check_axes(name, "axis", (axis,), x.shape)
        return x

    def lower(ctx, x, axis, reverse):
        # The window that ends (or begins) at each element; XLA knows this pattern and turns it into a scan.
        aval = ctx.avals_in[0]
        if not aval.size:
            return x
        element = shaped_array((), aval.code, False)
        body = region(ctx, lambda a, b: [combine(a, b)], (element, element), name)
        ones = ", ".join("1" for _ in aval.shape)
        window = ", ".join(str(n if d == axis else 1) for d, n in enumerate(aval.shape))
        reach = aval.shape[axis] - 1
        edges = ", ".join(
            ("[0, 0]" if d != axis else f"[0, {reach}]" if reverse else f"[{reach}, 0]") for d in range(aval.ndim)
        )
        return ctx.op(
            f'"stablehlo.reduce_window"({x}, {ctx.constant(identity(aval.dtype), element)}) <{{'
            f"base_dilations = array<i64: {ones}>, padding = dense<[{edges}]> : tensor<{aval.ndim}x2xi64>, "
            f"window_dilations = array<i64: {ones}>, window_dimensions = array<i64: {window}>, "
            f"window_strides = array<i64: {ones}>}}> {body} : ({aval.mlir}, {element.mlir}) -> {aval.mlir}"
        )

    def batch(args, dims, axis, reverse):
        d = dims[0]
        return prim.bind(args[0], axis=axis + (axis >= d), reverse=reverse), d

    prim = Primitive(name, abstract=abstract, lower=lower, batch=batch, **rules)
    return prim


def _by_pairs(join):
    """The derivative: a scan of (value, tangent) pairs. `join(a, ta, b, tb)` is the pair of two combined."""

    def rule(t, ans, x, axis, reverse):
        return lax.associative_scan(lambda one, two: join(*one, *two), (x, t), reverse, axis)[1]

    return rule


def _join_prod(a, ta, b, tb):
    return lax.mul(a, b), lax.add_any(lax.mul(ta, b), lax.mul(a, tb))


def _share(mine, other, ans):
    """The weight of one of two candidates for an extremum: 1 for the winner, half each for equals."""
    tie = lax.eq(mine, other)
    weight = lax.select(lax.eq(mine, ans), lax.full_like(ans, 1), lax.full_like(ans, 0))
    return lax.select(tie, lax.full_like(ans, 0.5), weight)


def _join_extremum(choose):
    def join(a, ta, b, tb):
        ans = choose(a, b)
        return ans, lax.add_any(lax.mul(ta, _share(a, b, ans)), lax.mul(tb, _share(b, a, ans)))

    return join


def logaddexp(a, b):
    """log(exp(a) + exp(b)) of two real or complex arrays, without overflow; infinities are added."""
    if np.issubdtype(a.dtype, np.complexfloating):
        larger = lax.select(lax.ge(lax.real(a), lax.real(b)), a, b)
        smaller = lax.select(lax.ge(lax.real(a), lax.real(b)), b, a)
        delta = lax.sub(smaller, larger)
        undefined = lax.ne(delta, delta)
        return lax.select(undefined, lax.add(a, b), lax.add(larger, lax.log1p(lax.exp(delta))))
    larger = lax.max(a, b)
    delta = lax.sub(a, b)
    smooth = lax.add(larger, lax.log1p(lax.exp(lax.neg(lax.abs(delta)))))
    return lax.select(lax.ne(delta, delta), lax.add(a, b), smooth)


def _join_logsumexp(a, ta, b, tb):
    ans = logaddexp(a, b)

    def weight(x):  # exp(x - ans), 1 where both are the same infinity
        same = lax.eq(x, ans)
        return lax.exp(lax.select(same, lax.full_like(x, 0), lax.sub(x, ans)))

    return ans, lax.add_any(lax.mul(ta, weight(a)), lax.mul(tb, weight(b)))


cumsum_p = _cumulative(
    "cumsum",
    "iufc",
    lambda a, b: lax.add(a, b),
    lambda dtype: 0,
    linear=True,
    transpose=lambda ct, x, axis, reverse: [cumsum_p.bind(ct, axis=axis, reverse=not reverse)],
)
cumprod_p = _cumulative(
    "cumprod",
    "iufc",
    lambda a, b: lax.mul(a, b),
    lambda dtype: 1,
    jvps=(_by_pairs(_join_prod),),
)
cummax_p = _cumulative(
    "cummax",
    "iufc",
    lambda a, b: lax.max(a, b),
    lowest,
    jvps=(_by_pairs(_join_extremum(lambda a, b: lax.max(a, b))),),
)
cummin_p = _cumulative(
    "cummin",
    "iufc",
    lambda a, b: lax.min(a, b),
    highest,
    jvps=(_by_pairs(_join_extremum(lambda a, b: lax.min(a, b))),),
)
cumlogsumexp_p = _cumulative(
    "cumlogsumexp",
    "fc",
    logaddexp,
    lowest,
    jvps=(_by_pairs(_join_logsumexp),),
)


def _bind(prim, operand, axis, reverse):
    return prim.bind(as_operand(operand), axis=integer(axis), reverse=bool(reverse))


def cumsum(operand, axis=0, reverse=False):
    """Cumulative sum along an axis, from the end if `reverse`.

    ValueError for an axis that is negative or does not exist.

    >>> import numpy as np
    >>> from cyxla import lax
    >>> lax.cumsum(np.int32([1, 2, 3]), reverse=True)
    Array([6, 5, 3], dtype=int32)
    """
    return _bind(cumsum_p, operand, axis, reverse)


def cumprod(operand, axis=0, reverse=False):
    """Cumulative product along an axis, from the end if `reverse`."""
    return _bind(cumprod_p, operand, axis, reverse)


def cummax(operand, axis=0, reverse=False):
    """Cumulative maximum along an axis, from the end if `reverse`."""
    return _bind(cummax_p, operand, axis, reverse)


def cummin(operand, axis=0, reverse=False):
    """Cumulative minimum along an axis, from the end if `reverse`."""
    return _bind(cummin_p, operand, axis, reverse)


def cumlogsumexp(operand, axis=0, reverse=False):
    """Cumulative logarithm of the sum of exponentials along an axis, from the end if `reverse`."""
    return _bind(cumlogsumexp_p, operand, axis, reverse)
