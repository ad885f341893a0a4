"""Taylor mode: beside jax where that has rules, and beside nested forward mode everywhere."""

import importlib
import math

import jax
import numpy as np
import pytest
from compare import agree, assert_same, both_raise

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla.experimental.jet import jet, jet2

for module in ("jax", "cyxla"):
    importlib.import_module(f"{module}.experimental.jet")

X = np.array([0.3, 0.7, 1.2], np.float32)
TERMS = [X - 0.5, X * 0.5, 0.2 - X, X * 0.1]
W = np.arange(6, dtype=np.float32).reshape(2, 3) / 5


def net(m, w, x):
    hidden = m.numpy.tanh(w @ x)
    return m.nn.softmax(hidden) * m.numpy.exp(-hidden), {"norm": m.numpy.sqrt((hidden**2).sum() + 1)}


BY_JAX = {
    "polynomial": lambda m: m.experimental.jet.jet(lambda x: x**3 - 2 * x + 1, (X,), (TERMS,)),
    "coefficients": lambda m: m.experimental.jet.jet2(lambda x: x**3 - 2 * x, (X,), (TERMS,)),
    "trigonometric": lambda m: m.experimental.jet.jet(lambda x: m.numpy.sin(x) * m.numpy.cos(2 * x), (X,), (TERMS,)),
    "exp, log, sqrt": lambda m: m.experimental.jet.jet(
        lambda x: m.numpy.exp(x) / m.numpy.sqrt(x) - m.numpy.log(1 + x), (X,), (TERMS,)
    ),
    "sinh, logistic": lambda m: m.experimental.jet.jet(
        lambda x: m.numpy.sinh(x) * m.nn.sigmoid(x) + m.numpy.cosh(x), (X,), (TERMS,)
    ),
    "negative power": lambda m: m.experimental.jet.jet(lambda x: x**-3, (X,), (TERMS,)),
    "two arguments": lambda m: m.experimental.jet.jet(
        lambda x, y: (x * y, {"a": x + 1}), (1.0, 2.0), ((1.0, 0.0), (0.0, 1.0))
    ),
    "a network": lambda m: m.experimental.jet.jet(lambda w, x: net(m, w, x), (W, X), ([W / 2, W, -W], TERMS[:3])),
    "inside jit": lambda m: m.jit(lambda x: m.experimental.jet.jet(m.jit(m.numpy.sin), (x,), ([x, x * 2],)))(X),
    "mapped": lambda m: m.vmap(lambda x: m.experimental.jet.jet(m.numpy.tanh, (x,), ([1.0, 0.0, 0.0],)))(X),
    "indexing": lambda m: m.experimental.jet.jet(lambda x: x[::-1][1:] * x[:2], (X,), (TERMS,)),
    "maximum": lambda m: m.experimental.jet.jet(lambda x: m.numpy.maximum(x, 0.5) ** 2, (X,), (TERMS,)),
    "constant": lambda m: m.experimental.jet.jet(lambda x: (m.numpy.ones(2), x), (X,), (TERMS[:2],)),
}


@pytest.mark.parametrize("name", BY_JAX)
def test_as_jax(name):
    agree(BY_JAX[name], rtol=2e-4, atol=1e-4)


WITHOUT_RULES = {
    "special functions": lambda x: lax.bessel_i1e(x) + lax.lgamma(x + 1) + lax.erf(x),
    "a scan": lambda x: lax.scan(lambda c, v: (jnp.sin(c * v), c), x.sum(), x)[0],
    "a conditional": lambda x: lax.cond(x[0] > 0, jnp.tan, jnp.sin, x),
    "sorted": lambda x: jnp.sort(-x) * jnp.arange(3.0),
    "solved": lambda x: jnp.linalg.solve(jnp.eye(3) * 2 + jnp.outer(x, x), x),
}


@pytest.mark.parametrize("name", WITHOUT_RULES)
def test_as_nested_forward_mode(name):
    f = WITHOUT_RULES[name]
    x = X.astype(np.float64)
    terms = [t.astype(np.float64) for t in TERMS[:3]]
    with cyxla.enable_x64(True):

        def curve(t):
            return f(x + sum(c * t**k / math.factorial(k) for k, c in enumerate(terms, 1)))

        value, series = jet(f, (x,), (terms,))
        expected = [curve]
        for _ in terms:
            expected.append(lambda t, g=expected[-1]: cyxla.jvp(g, (t,), (np.float64(1),))[1])
        for actual, function in zip([value, *series], expected, strict=True):
            np.testing.assert_allclose(actual, function(np.float64(0)), rtol=1e-8, atol=1e-10)


def test_derivatives_of_derivatives():
    second = lambda x: jet(jnp.sin, (x,), ([1.0, 0.0],))[1][1]
    np.testing.assert_allclose(cyxla.grad(second)(0.4), -np.cos(0.4), rtol=1e-5)


def test_scaling():
    _, derivatives = jet(jnp.exp, (0.0,), ([1.0] + [0.0] * 4,))
    _, coefficients = jet2(jnp.exp, (0.0,), ([1.0] + [0.0] * 4,))
    np.testing.assert_allclose(derivatives, np.ones(5), rtol=1e-6)
    np.testing.assert_allclose(coefficients, [1 / math.factorial(k) for k in range(1, 6)], rtol=1e-6)


@pytest.mark.parametrize(
    "error, program, match",
    [
        ("ValueError", lambda m: m.experimental.jet.jet(lambda x, y: x, (1.0, 2.0), ([1.0], [1.0, 2.0])), "length"),
        ("TypeError", lambda m: m.experimental.jet.jet(lambda x: x, 1.0, ([1.0],)), "tuples"),
    ],
)
def test_errors(error, program, match):
    both_raise(error, program, match)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        jet(lambda x: x, (np.ones(2),), ([np.ones(3)],))


# rules of one's own ---------------------------------------------------------------------------------------------------


def with_rule(lib, declare, compute, multiple_results=False):
    """A primitive that `compute` evaluates, with the Taylor rule that `declare(jet module, primitive)` gives it."""
    rules = importlib.import_module(f"{lib.__name__}.experimental.jet")
    prim = importlib.import_module(f"{lib.__name__}.extend.core").Primitive("mine")
    prim.multiple_results = multiple_results
    prim.def_impl(lambda *args, **params: compute(lib, *args, **params))
    prim.def_abstract_eval(lambda x, *others, **params: [x, x] if multiple_results else x)
    declare(rules, prim)
    return rules, prim


def declare_by_hand(rules, prim):
    def rule(primals, series, *, scale):
        (x,), ((first, second),) = primals, series
        return scale * x * x, [2 * scale * x * first, scale * (2 * x * second + first * first)]

    rules.jet_rules[prim] = rule


def declare_two(rules, prim):
    def rule(primals, series):
        square, terms = rules.jet_rules[rules.lax.mul_p](primals * 2, list(series) * 2)
        return [square, primals[0]], [terms, series[0]]

    rules.jet_rules[prim] = rule


@pytest.mark.parametrize(
    "declare, compute, params",
    [
        (declare_by_hand, lambda lib, x, *, scale: scale * x * x, {"scale": 3.0}),
        (lambda rules, prim: rules.deflinear(prim), lambda lib, x: 3 * x, {}),
        (lambda rules, prim: rules.defzero(prim), lambda lib, x: lib.numpy.round(x), {}),
        (lambda rules, prim: rules.def_deriv(prim, lambda x: 2 * x), lambda lib, x: x * x, {}),
        (
            lambda rules, prim: rules.def_comp(prim, lambda x: rules.lax.exp(x) * x),
            lambda lib, x: lib.numpy.exp(x) * x,
            {},
        ),
        (declare_two, lambda lib, x: [x * x, x], {}),
        # What does not depend on the parameter, and comes as zeros.
        (
            lambda rules, prim: rules.jet_rules.update({prim: lambda primals, series: (primals[0], rules.zero_series)}),
            lambda lib, x: x,
            {},
        ),
    ],
    ids=["hand", "linear", "zero", "deriv", "comp", "two results", "zero series"],
)
def test_rules_of_users(declare, compute, params):
    results = []
    for lib in (cyxla, jax):
        rules, prim = with_rule(lib, declare, compute, declare is declare_two)

        def program(x, lib=lib, prim=prim):
            out = prim.bind(lib.numpy.sin(x), **params)
            return out[0] * out[1] if prim.multiple_results else lib.numpy.exp(out)

        results.append([rules.jet(program, (X,), ([X, 1 - X],)), rules.jet2(program, (X,), ([X, 1 - X],))])
    assert_same(*results, rtol=1e-4)


def test_tables_of_rules_hold_the_library_s():
    rules = importlib.import_module("cyxla.experimental.jet")
    value, (first, second) = rules.jet_rules[cyxla.lax.exp_p]((1.0,), ([1.0, 2.0],))
    np.testing.assert_allclose([value, first, second], np.exp(1.0) * np.array([1, 1, 2.5]), rtol=1e-6)
    assert cyxla.tree.leaves([rules.zero_series, rules.zero_term]) == []
    assert [float(rules.fact(n)) for n in range(5)] == [1, 1, 2, 6, 24]
    np.testing.assert_allclose(rules.fact(np.float32(3)), 6, rtol=1e-5)


def test_zero_terms():
    def declare(rules, prim):
        rules.jet_rules[prim] = lambda primals, series: (primals[0], [series[0][0], rules.zero_term])

    rules, prim = with_rule(cyxla, declare, lambda lib, x: x)
    assert [float(t) for t in rules.jet2(prim.bind, (2.0,), ([1.0, 5.0],))[1]] == [1, 0]


def test_rules_that_return_too_little():
    def declare(rules, prim):
        rules.jet_rules[prim] = lambda primals, series: (primals[0], series[0][:1])

    rules, prim = with_rule(cyxla, declare, lambda lib, x: x)
    with pytest.raises(ValueError, match="mine in jet_rules returned 1 coefficients"):
        rules.jet(prim.bind, (2.0,), ([1.0, 5.0],))


def test_each_primal_has_a_series():
    with pytest.raises(ValueError, match="jet takes a series for each primal, got 2 primals and 1 series"):
        jet(lambda x, y: x * y, (1.0, 2.0), ([1.0],))


@pytest.mark.parametrize(
    "f",
    [lambda lib, x: x > 1, lambda lib, x: (lib.numpy.isnan(x), lib.numpy.sin(x)), lambda lib, x: lib.numpy.sin(x)],
)
@pytest.mark.parametrize("terms", [(np.ones(3, np.float32), np.zeros(3, np.float32)), (1.0, 0.0)])
def test_results_that_do_not_move_and_scalar_terms(f, terms):
    agree(lambda lib: lib.experimental.jet.jet(lambda x: f(lib, x), (lib.numpy.arange(3.0),), (terms,)), rtol=1e-5)
