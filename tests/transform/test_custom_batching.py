"""custom_vmap and sequential_vmap, linear_call: rules that users give beside derivatives."""

import jax
import jax.custom_batching
import jax.custom_derivatives
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
import cyxla.custom_batching
import cyxla.custom_derivatives

X = np.arange(6, dtype=np.float32).reshape(3, 2) + 1


def with_rule(module, seen=None):
    """x + y, which under vmap is x * y."""

    @module.custom_batching.custom_vmap
    def f(x, y):
        return x + y

    @f.def_vmap
    def rule(axis_size, in_batched, x, y):
        if seen is not None:
            seen.append((axis_size, in_batched, x.shape, y.shape))
        return x * y, any(in_batched)

    return f


def of_trees(module, result, flags):
    @module.custom_batching.custom_vmap
    def f(d):
        return {"a": d["p"] + d["q"], "b": d["p"]}

    f.def_vmap(lambda n, batched, d: (result(d), flags(batched)))
    return f


PAIR = {"p": X[:, 0], "q": X[:, 1]}
PROGRAMS = {
    "called": lambda m: with_rule(m)(1.0, 2.0),
    "by keyword": lambda m: with_rule(m)(y=1.0, x=2.0),
    "under jit": lambda m: m.jit(with_rule(m))(X, X),
    "mapped": lambda m: m.vmap(with_rule(m))(X, X),
    "one argument mapped": lambda m: m.vmap(with_rule(m), (0, None))(X, np.float32(5)),
    "another axis": lambda m: m.vmap(with_rule(m), (1, None))(X, X[:, 0]),
    "none mapped": lambda m: m.vmap(lambda x: x * with_rule(m)(2.0, 3.0))(X),
    "jit of vmap": lambda m: m.jit(m.vmap(with_rule(m)))(X, X),
    "vmap of jit": lambda m: m.vmap(m.jit(with_rule(m)))(X, X),
    "vmap of vmap": lambda m: m.vmap(m.vmap(with_rule(m)))(X, X),
    "in scan": lambda m: m.vmap(lambda x: m.lax.scan(lambda c, _: (with_rule(m)(c, x), c), x, None, length=2))(X),
    "jvp": lambda m: m.jvp(with_rule(m), (1.0, 2.0), (1.0, 0.5)),
    "jvp of vmap": lambda m: m.jvp(m.vmap(with_rule(m)), (X, X), (X, 2 * X)),
    "vmap of jvp": lambda m: m.vmap(lambda x, y: m.jvp(with_rule(m), (x, y), (y, x)))(X, X + 1),
    "vmap of jvp in one": lambda m: m.vmap(lambda x: m.jvp(lambda u: with_rule(m)(u, 3.0), (x,), (x,)))(X),
    "grad of vmap": lambda m: m.grad(lambda x: m.vmap(with_rule(m))(x, x).sum())(X),
    "trees": lambda m: m.vmap(
        of_trees(m, lambda d: {"a": d["p"] * 2, "b": d["q"]}, lambda b: {"a": True, "b": b[0]["q"]})
    )(PAIR),
    "a result that is not batched": lambda m: m.vmap(
        of_trees(m, lambda d: {"a": d["p"] * 2, "b": m.numpy.float32(1)}, lambda b: {"a": True, "b": False})
    )(PAIR),
    "sequential": lambda m: m.vmap(m.custom_batching.sequential_vmap(lambda x, y: x @ y), (0, None))(X, X[0]),
    "sequential in two": lambda m: m.vmap(m.vmap(m.custom_batching.sequential_vmap(lambda x: (x, x * x))))(X),
    "sequential, derivative": lambda m: m.jvp(m.vmap(m.custom_batching.sequential_vmap(lambda x: x * x)), (X,), (X,)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_custom_vmap(name):
    agree(PROGRAMS[name])


def test_the_rule_sees_what_jax_shows_it():
    seen = {cyxla: [], jax: []}
    for module, calls in seen.items():
        f = with_rule(module, calls)
        module.vmap(f)(X, X)
        module.vmap(f, (0, None))(X, X[0])
        module.vmap(f, (1, None))(X, X[:, 0])
    assert seen[cyxla] == seen[jax]


def test_a_function_wrapped_keeps_its_looks():
    def f(x):
        """Documented."""
        return x

    wrapped = cyxla.custom_batching.custom_vmap(f)
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == ("f", "Documented.", f)


@pytest.mark.parametrize(
    "error, program, message",
    [
        ("AttributeError", lambda m: m.vmap(m.custom_batching.custom_vmap(lambda x: x))(X), "def_vmap"),
        (
            "ValueError",
            lambda m: m.vmap(of_trees(m, lambda d: {"a": d["p"]}, lambda b: {"a": True}))(PAIR),
            "structure",
        ),
        (
            "ValueError",
            lambda m: m.vmap(of_trees(m, lambda d: {"a": d["p"], "b": d["q"]}, lambda b: True))(PAIR),
            "each leaf",
        ),
        ("ValueError", lambda m: m.grad(lambda x: with_rule(m)(x, x))(1.0), "forward derivatives only"),
    ],
)
def test_errors(error, program, message):
    both_raise(error, program, message)


def test_rules_that_return_no_pair():
    f = cyxla.custom_batching.custom_vmap(lambda x: x)
    f.def_vmap(lambda n, batched, x: x)
    with pytest.raises(TypeError, match="pair"):
        cyxla.vmap(f)(X)


def test_rules_do_not_see_closed_over_batches():
    def program(y):
        f = cyxla.custom_batching.custom_vmap(lambda x: x + y)
        f.def_vmap(lambda n, batched, x: (x, True))
        return f(1.0)

    with pytest.raises(ValueError, match="closes over a mapped value"):
        cyxla.vmap(program)(X)


# ---- linear_call


def divided(module, residual=2.0):
    def f(x):
        # The transpose is recognizable: it is not the true one.
        return module.custom_derivatives.linear_call(lambda r, v: v / r, lambda r, ct: 3 * ct / r, residual, x)

    return f


def two_linear(module, x, y):
    return module.custom_derivatives.linear_call(
        lambda r, v: (r * v[0] + v[1], 2 * v[1]), lambda r, ct: (ct[0] * r, ct[0] + 2 * ct[1]), 4.0, (x, y)
    )


LINEAR = {
    "called": lambda m: divided(m)(X),
    "under jit": lambda m: m.jit(divided(m))(X),
    "transposed": lambda m: m.linear_transpose(divided(m), X)(X),
    "transposed twice": lambda m: m.linear_transpose(lambda y: m.linear_transpose(divided(m), X)(y)[0], X)(X),
    "gradient": lambda m: m.grad(lambda x: (divided(m)(x) ** 2).sum())(X),
    "jvp": lambda m: m.jvp(divided(m), (X,), (X,)),
    "gradient of vmap of a constant": lambda m: m.jit(m.grad(lambda x: (divided(m)(x) ** 2).sum()))(X),
    "trees": lambda m: m.vjp(lambda x, y: two_linear(m, x, y), X, X)[1]((X, X + 1)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_call(name):
    agree(LINEAR[name])


def test_linear_calls_under_vmap():
    """jax has no rule for this."""
    np.testing.assert_allclose(cyxla.vmap(divided(cyxla))(X), X / 2)
    np.testing.assert_allclose(cyxla.vmap(cyxla.grad(lambda x: divided(cyxla)(x).sum()))(X), np.full_like(X, 1.5))
    residuals = np.array([1.0, 2.0, 4.0], np.float32)
    gradients = cyxla.vmap(lambda r, x: cyxla.grad(lambda v: divided(cyxla, r)(v).sum())(x))(residuals, X)
    np.testing.assert_allclose(gradients, np.broadcast_to(3 / residuals[:, None], X.shape))
    # A linear argument that all members share gets the sum of their cotangents.
    shared = cyxla.grad(lambda x: cyxla.vmap(lambda r: divided(cyxla, r)(x))(residuals).sum())(1.0)
    np.testing.assert_allclose(shared, (3 / residuals).sum())


def test_transposes_close_over_arrays():
    k = cyxla.numpy.arange(2.0)

    def f(x):
        return cyxla.custom_derivatives.linear_call(lambda r, v: v * r * k, lambda r, ct: ct * r * k, 2.0, x)

    np.testing.assert_allclose(cyxla.grad(lambda x: f(x).sum())(X[0]), 2 * np.arange(2.0))
    twice = cyxla.linear_transpose(lambda y: cyxla.linear_transpose(f, X[0])(y)[0], X[0])(X[0])[0]
    np.testing.assert_allclose(twice, f(X[0]))


@pytest.mark.parametrize(
    "transpose, error, message",
    [(lambda r, ct: (ct, ct), TypeError, "structured"), (lambda r, ct: ct[:1], ValueError, "linear argument")],
)
def test_transposes_that_do_not_fit(transpose, error, message):
    def f(x):
        return cyxla.custom_derivatives.linear_call(lambda r, v: v * r, transpose, 2.0, x)

    assert f(X).shape == X.shape
    with pytest.raises(error, match=message):
        cyxla.grad(lambda x: f(x).sum())(X)


def test_residuals_have_no_derivative():
    with pytest.raises(NotImplementedError, match="residuals"):
        cyxla.jvp(lambda r: divided(cyxla, r)(X), (2.0,), (1.0,))
