"""Taylor mode: derivatives of any order along a curve, all in one pass over the program.

A value is carried as the coefficients of its Taylor polynomial in a parameter. Rules below say what the operations make
of these; the recurrences are those of Griewank and Walther, "Evaluating Derivatives" (2nd ed.), chapter 13. Linear
operations need none, and others without a rule are differentiated by nested forward mode, one by one.

    jet_rules[cube_p] = lambda primals, series: jet(lambda x: x * x * x, primals, series, factorial_scaled=False)
"""

import functools
import math

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray, is_arraylike
from cyxla._engine.dtypes import float0
from cyxla._transform.grad import jvp
from cyxla._transform.jaxprs import interpret
from cyxla._transform.shapes import make_jaxpr
from cyxla.tree_util import register_pytree_node, tree_flatten, tree_structure, tree_unflatten


def _sum(terms):
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _cauchy(product, a, b):
    """The coefficients of a product of polynomials, by any bilinear product."""
    return [_sum([product(a[j], b[k - j]) for j in range(k + 1)]) for k in range(len(a))]


def _integrate(y0, a, slope):
    """y with y' = slope(y) a', coefficient by coefficient: `slope(known)` gives those of the slope as far as known."""
    y = [y0]
    for k in range(1, len(a)):
        s = slope(y)
        y.append(_sum([(j / k) * a[j] * s[k - j] for j in range(1, k + 1)]))
    return y


def _exp(a):
    return _integrate(lax.exp(a[0]), a, lambda y: y)


def _log(a):
    y = [lax.log(a[0])]
    for k in range(1, len(a)):
        inner = [(j / k) * y[j] * a[k - j] for j in range(1, k)]
        y.append((a[k] - _sum(inner) if inner else a[k]) / a[0])
    return y


def _pair(f0, g0, a, sign):
    """f' = g a' and g' = sign f a', as of sine and cosine."""
    f, g = [f0], [g0]
    for k in range(1, len(a)):
        f.append(_sum([(j / k) * a[j] * g[k - j] for j in range(1, k + 1)]))
        g.append(_sum([(sign * j / k) * a[j] * f[k - j] for j in range(1, k + 1)]))
    return f, g


def _squares(y):
    return _cauchy(lax.mul, y, y)


def _one_minus(y):
    return [1 - y[0], *[-v for v in y[1:]]]


def _tanh(a):
    return _integrate(lax.tanh(a[0]), a, lambda y: _one_minus(_squares(y)))


def _logistic(a):
    return _integrate(lax.logistic(a[0]), a, lambda y: [u - v for u, v in zip(y, _squares(y))])


def _sqrt(a):
    y = [lax.sqrt(a[0])]
    for k in range(1, len(a)):
        inner = [y[j] * y[k - j] for j in range(1, k)]
        y.append((a[k] - _sum(inner) if inner else a[k]) / (2 * y[0]))
    return y


def _div(a, b):
    y = [a[0] / b[0]]
    for k in range(1, len(a)):
        y.append((a[k] - _sum([b[j] * y[k - j] for j in range(1, k + 1)])) / b[0])
    return y


def _integer_pow(a, *, y):
    if y < 0:
        one = [lax.full_like(a[0], 1), *[lax.full_like(v, 0) for v in a[1:]]]
        return _div(one, _integer_pow(a, y=-y))
    result, power = None, a
    while y:
        if y & 1:
            result = power if result is None else _cauchy(lax.mul, result, power)
        power, y = _squares(power) if y > 1 else power, y >> 1
    return result or [lax.full_like(a[0], 1), *[lax.full_like(v, 0) for v in a[1:]]]


class ZeroTerm:
    """A coefficient that is zero, whatever its shape."""


class ZeroSeries:
    """The coefficients of a constant: all are zero."""


zero_term, zero_series = ZeroTerm(), ZeroSeries()
# They are containers of nothing, so that they are told from arrays wherever containers are flattened.
register_pytree_node(ZeroTerm, lambda _: ((), None), lambda *_: zero_term)
register_pytree_node(ZeroSeries, lambda _: ((), None), lambda *_: zero_series)


# Primitive -> `rule(primals, series, **params) -> (result, its series)`, or lists of both for one of several results.
# Series are lists of Taylor coefficients of order 1, 2 and so on, one for each operand; all have one length.
jet_rules = {}


def _polynomials(primals, series):
    return [[primal, *terms] for primal, terms in zip(primals, series, strict=True)]


def _def_recurrence(prim, function):
    """The rule of a primitive by a function of the operands' polynomials, lists of coefficients from order 0 on."""

    def rule(primals, series, **params):
        value, *terms = function(*_polynomials(primals, series), **params)
        return value, terms

    jet_rules[prim] = rule


def linear_prop(prim, primals_in, series_in, **params):
    """The rule of a primitive that is linear in all operands together: it is applied order by order."""
    by_order = [prim.bind(*terms, **params) for terms in zip(*_polynomials(primals_in, series_in))]
    if not prim.multiple_results:
        return by_order[0], by_order[1:]
    outs = [list(terms) for terms in zip(*by_order)]
    return [terms[0] for terms in outs], [terms[1:] for terms in outs]


def zero_prop(prim, primals_in, series_in, **params):
    """The rule of a primitive that is constant piece by piece."""
    out = prim.bind(*primals_in, **params)
    return out, [zero_series] * len(out) if prim.multiple_results else zero_series


def deriv_prop(prim, deriv, primals_in, series_in, **params):
    """The rule of a primitive of one operand whose derivative is the function `deriv`."""
    (x,), (series,) = primals_in, series_in
    slope, slopes = jet(deriv, (x,), (list(series[:-1]),), factorial_scaled=False)
    slopes = [slope, *slopes]
    terms = [_sum([(j / k) * series[j - 1] * slopes[k - j] for j in range(1, k + 1)]) for k in _orders(series)]
    return prim.bind(x, **params), terms


def _orders(series):
    return range(1, len(series) + 1)


def deflinear(prim):
    """Says that a primitive is linear in all operands together. What `ad.deflinear` declared need not be again."""
    jet_rules[prim] = functools.partial(linear_prop, prim)


def defzero(prim):
    """Says that the derivatives of a primitive are zero, as those of rounding."""
    jet_rules[prim] = functools.partial(zero_prop, prim)


def def_deriv(prim, deriv):
    """Gives a primitive of one operand its derivative, a function of arrays that `jet` can follow."""
    jet_rules[prim] = functools.partial(deriv_prop, prim, deriv)


def def_comp(prim, comp, **kwargs):
    """Says that a primitive computes what `comp`, a function of arrays that `jet` can follow, does."""
    jet_rules[prim] = functools.partial(jet, comp, factorial_scaled=False, **kwargs)


def fact(n):
    """The factorial of a number, as an array of floats."""
    return asarray(float(math.factorial(n))) if isinstance(n, int) else lax.exp(lax.lgamma(asarray(n) + 1.0))


def _def_bilinear(prim):
    _def_recurrence(prim, lambda a, b, **params: _cauchy(functools.partial(prim.bind, **params), a, b))


_def_recurrence(lax.cos_p, lambda a, **params: _pair(lax.sin(a[0]), lax.cos(a[0]), a, -1)[1])
_def_recurrence(lax.cosh_p, lambda a: _pair(lax.sinh(a[0]), lax.cosh(a[0]), a, 1)[1])
_def_recurrence(lax.div_p, _div)
_def_recurrence(lax.exp_p, lambda a, **params: _exp(a))
_def_recurrence(lax.integer_pow_p, _integer_pow)
_def_recurrence(lax.log_p, lambda a, **params: _log(a))
_def_recurrence(lax.logistic_p, lambda a, **params: _logistic(a))
_def_recurrence(lax.sin_p, lambda a, **params: _pair(lax.sin(a[0]), lax.cos(a[0]), a, -1)[0])
_def_recurrence(lax.sinh_p, lambda a: _pair(lax.sinh(a[0]), lax.cosh(a[0]), a, 1)[0])
_def_recurrence(lax.sqrt_p, lambda a, **params: _sqrt(a))
_def_recurrence(lax.square_p, _squares)
_def_recurrence(lax.tanh_p, lambda a, **params: _tanh(a))
for _prim in (lax.conv_general_dilated_p, lax.dot_general_p, lax.mul_p):
    _def_bilinear(_prim)
for _prim in (lax.add_p, lax.binary.add_any_p, lax.copy_p, lax.neg_p, lax.sub_p):
    deflinear(_prim)


def _constant(x, order):
    """The coefficients of a value that does not depend on the parameter."""
    return [x, *[lax.full_like(x, 0) for _ in range(order)]]


def _apply(eqn, operands, order):
    """The results' coefficients (only the first of those that are constant) of an equation on operands' ones."""
    primitive, params = eqn.primitive, eqn.params
    rule = jet_rules.get(primitive)
    if all(len(a) == 1 for a in operands) or (rule is None and not primitive.differentiable):
        outs = primitive.bind(*[a[0] for a in operands], **params)
        return [[out] for out in (outs if primitive.multiple_results else [outs])]
    if primitive.name == "jit":
        closed = params["jaxpr"]
        return _evaluate(closed.jaxpr, closed.consts, operands, order)
    if rule is None:
        if not primitive.linear or not all(_is_inexact(a[0]) for a in operands):
            return _by_nesting(primitive, operands, params, order)
        rule = functools.partial(linear_prop, primitive)
    full = [a if len(a) > 1 else _constant(a[0], order) for a in operands]
    outs, series = rule(tuple(a[0] for a in full), [a[1:] for a in full], **params)
    if not primitive.multiple_results:
        outs, series = [outs], [series]
    return [_checked_terms(primitive, out, terms, order) for out, terms in zip(outs, series, strict=True)]


def _checked_terms(primitive, out, terms, order):
    """A result's coefficients, of what a rule returned."""
    out = asarray(out)
    if terms is zero_series:
        return [out]
    if len(terms) != order:
        raise ValueError(
            f"the rule of {primitive} in jet_rules returned {len(terms)} coefficients of order 1 and higher; it was "
            f"given {order} of each operand, and must return as many of each result"
        )
    return [out, *[lax.full_like(out, 0) if term is zero_term else asarray(term) for term in terms]]


def _is_inexact(x):
    return x.dtype.kind in "fcV"


def _by_nesting(primitive, operands, params, order):
    """Coefficients by derivatives of the operation along the operands' polynomials."""
    active = [i for i, a in enumerate(operands) if len(a) > 1]
    real = np.zeros((), operands[active[0]][0].dtype).real.dtype

    def curve(t):
        args = [a[0] for a in operands]
        for i in active:
            a = operands[i]
            value = a[-1]
            for term in reversed(a[:-1]):
                value = value * lax.convert_element_type(t, a[0].dtype) + term
            args[i] = value
        outs = primitive.bind(*args, **params)
        return list(outs) if primitive.multiple_results else [outs]

    def derivative(f):
        return lambda t: jvp(f, (t,), (lax.full_like(t, 1),))[1]

    zero = asarray(np.zeros((), real))
    results = [[out] for out in curve(zero)]
    function = curve
    for k in range(1, order + 1):
        function = derivative(function)
        for mine, out in zip(results, function(zero)):
            if out.dtype != float0:
                mine.append(out / math.factorial(k))
    return results


def _evaluate(jaxpr, consts, operands, order):
    return interpret(
        jaxpr,
        [[asarray(c)] for c in consts],
        operands,
        lambda eqn, operands: _apply(eqn, operands, order),
        of_literal=lambda array: [array],
    )


def jet(fun, primals, series, factorial_scaled=True, **_):
    """Derivatives of `fun` along a curve, of all orders up to the length of the series.

    `primals` holds the arguments at the parameter's value 0 and `series`, for each argument, the curve's derivatives
    there of order 1, 2, and so on: a list of arrays like the argument (for a pytree, one with lists in the place of
    arrays). With `factorial_scaled=False` these are Taylor coefficients, the derivatives divided by factorials.

    Returns the value and the derivatives (or coefficients) of `fun` of the curve, in the same form.

    Raises ValueError where series differ in length.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.experimental.jet import jet
    >>> value, (first, second) = jet(lambda x: x**3, (2.0,), ([1.0, 0.0],))
    >>> float(value), float(first), float(second)
    (8.0, 12.0, 12.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(series, (tuple, list)):
        raise TypeError(
            f"jet takes its primals and series as tuples, one entry per argument of the function; got "
            f"{type(primals).__name__} and {type(series).__name__}"
        )
    if len(primals) != len(series):
        raise ValueError(f"jet takes a series for each primal, got {len(primals)} primals and {len(series)} series")
    leaves, tree = tree_flatten(tuple(primals))
    terms = []
    for primal, mine in zip(primals, series):
        structure = tree_structure(primal)
        try:
            terms.extend(structure.flatten_up_to(mine))
        except ValueError as error:
            raise ValueError(f"jet: the series {mine!r:.200} has not the structure of its primal: {error}") from None
    orders = {len(t) for t in terms}
    if len(orders) != 1:
        raise ValueError(f"jet: the series of all arguments must have one length, got the lengths {sorted(orders)}")
    (order,) = orders
    operands = []
    for leaf, mine in zip(leaves, terms):
        leaf = asarray(leaf)
        coefficients = [leaf]
        for k, term in enumerate(mine, 1):
            if not is_arraylike(term) or np.shape(term) not in (leaf.shape, ()):
                raise ValueError(
                    f"jet: a term of the series is {term!r:.100}; it must be a scalar or have the primal's shape "
                    f"{leaf.shape}"
                )
            if not _is_inexact(leaf):
                continue
            term = asarray(term)
            if term.dtype != leaf.dtype:
                term = lax.convert_element_type(term, leaf.dtype)
            if term.shape != leaf.shape:
                term = lax.broadcast(term, leaf.shape)
            coefficients.append(term / math.factorial(k) if factorial_scaled else term)
        operands.append(coefficients)
    closed, out_structure = make_jaxpr(fun, return_shape=True)(*tree_unflatten(tree, [a[0] for a in operands]))
    outs = _evaluate(closed.jaxpr, closed.consts, operands, order)
    values, series_out = [], []
    for out in outs:
        if not _is_inexact(out[0]):
            # Integers and booleans do not move; as in jax that is said in floats.
            out = [out[0], *[lax.full(out[0].shape, 0.0)] * order]
        elif len(out) == 1:
            out = _constant(out[0], order)
        values.append(out[0])
        series_out.append([t * math.factorial(k) if factorial_scaled else t for k, t in enumerate(out[1:], 1)])
    out_tree = tree_structure(out_structure)
    return tree_unflatten(out_tree, values), tree_unflatten(out_tree, series_out)


def jet2(fun, primals, series, *, factorial_scaled=False):
    """`jet` with Taylor coefficients instead of derivatives."""
    return jet(fun, primals, series, factorial_scaled=factorial_scaled)
