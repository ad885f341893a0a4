"""Taylor mode: beside jax where that has rules, and beside nested forward mode everywhere."""

import importlib
import math

import numpy as np
import pytest
from compare import agree, both_raise

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


def test_each_primal_has_a_series():
    with pytest.raises(ValueError, match="jet takes a series for each primal, got 2 primals and 1 series"):
        jet(lambda x, y: x * y, (1.0, 2.0), ([1.0],))
