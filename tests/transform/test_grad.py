"""Differentiation: every function and argument of it, compositions in all orders, errors; against jax."""

import itertools

import jax
import numpy as np
import pytest
from compare import agree, assert_same, both_raise

import cyxla
import cyxla.numpy as jnp

X = np.array([0.5, -1.0, 2.0], np.float32)
M = np.arange(6, dtype=np.float32).reshape(2, 3) / 4


# -- values, with all arguments


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.grad(jax.numpy.sin)(1.0),
        lambda jax: jax.grad(jax.numpy.sin)(np.float32(1)),
        lambda jax: jax.grad(lambda x: (x**2).sum())(X),
        lambda jax: jax.grad(lambda x: 3.0)(X),
        lambda jax: jax.grad(lambda x, y: x * y, argnums=1)(2.0, 3.0),
        lambda jax: jax.grad(lambda x, y: x * y, argnums=-1)(2.0, 3.0),
        lambda jax: jax.grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0),
        lambda jax: jax.grad(lambda x, y: x * y, argnums=(1,))(2.0, 3.0),
        lambda jax: jax.grad(lambda x, y: x * y, argnums=(1, 0))(2.0, 3.0),
        lambda jax: jax.grad(lambda x, y: x * y, argnums=[0, 1])(2.0, 3.0),
        lambda jax: jax.grad(lambda x, *, k: x * k)(2.0, k=3.0),
        lambda jax: jax.grad(lambda x, k=3.0: x * k)(2.0),
        lambda jax: jax.grad(lambda d: d["a"] * d["b"][0])({"a": 2.0, "b": (3.0, None)}),
        lambda jax: jax.grad(lambda x: (x * 2, {"aux": x, "n": 3}), has_aux=True)(2.0),
        lambda jax: jax.value_and_grad(lambda x: x**2)(3.0),
        lambda jax: jax.value_and_grad(lambda x: (x**2, (x, None)), has_aux=True)(3.0),
        lambda jax: jax.value_and_grad(lambda x, y: x * y, argnums=(0, 1))(2.0, X[0]),
        lambda jax: jax.value_and_grad(lambda x: x[0])((3.0, 2.0)),
        lambda jax: jax.grad(lambda z: z**2, holomorphic=True)(np.complex64(1 + 2j)),
        lambda jax: jax.grad(lambda z: (z * z.conj()).real)(np.complex64(1 + 2j)),
        lambda jax: jax.grad(lambda n, x: x * n, argnums=(0, 1), allow_int=True)(3, 2.0),
        lambda jax: jax.grad(lambda n: n["x"] * n["k"], allow_int=True)({"x": 2.0, "k": np.int32(3)}),
        lambda jax: jax.grad(lambda x: x.astype("float16").sum())(X),
        lambda jax: jax.grad(lambda x: x.sum())(X.astype(np.float16)),
        lambda jax: jax.grad(lambda x: (x @ x.T).sum())(M),
        lambda jax: jax.grad(lambda x: jax.numpy.where(x > 0, x, x**2).sum())(X),
        lambda jax: jax.grad(lambda x: jax.lax.stop_gradient(x) * x)(3.0),
        lambda jax: jax.grad(lambda x: x.at[1].set(2 * x[0]).sum())(X),
        lambda jax: jax.grad(lambda x: jax.numpy.sum(x[np.array([0, 0, 1])] ** 2))(X),
        lambda jax: jax.grad(lambda x: (x * np.arange(3)).sum())(X),
    ],
)
def test_grad(program):
    agree(program)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.jvp(jax.numpy.sin, (1.0,), (2.0,)),
        lambda jax: jax.jvp(lambda x, y: x * y, (X, 2.0), (X, 1.0)),
        lambda jax: jax.jvp(lambda x, y: x * y, [X, 2.0], [X, 1.0]),
        lambda jax: jax.jvp(lambda d: {"s": d["a"].sum(), "n": 1}, ({"a": X},), ({"a": X},)),
        lambda jax: jax.jvp(lambda x: (x, x * 2), (1.0,), (1.0,), has_aux=True),
        lambda jax: jax.jvp(lambda x, n: x * n, (1.0, 2), (1.0, np.zeros((), jax.dtypes.float0))),
        lambda jax: jax.jvp(lambda x: x > 0, (X,), (X,)),
        lambda jax: jax.jvp(lambda x: (x, 3), (X,), (X,)),
        lambda jax: jax.jvp(lambda x: x, (np.float32(1),), (1.0,)) if False else jax.jvp(lambda x: x, (1.0,), (1.0,)),
        lambda jax: jax.jvp(jax.jit(lambda x: (x.sum(), 2)), (X,), (X,)),
        lambda jax: jax.jvp(lambda z: z * z, (np.complex64(1j),), (np.complex64(1),)),
    ],
)
def test_jvp(program):
    agree(program)


def pullback(jax, fun, *primals, cotangent, **options):
    out, pull, *aux = jax.vjp(fun, *primals, **options)
    return out, pull(cotangent), aux


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: pullback(jax, jax.numpy.sin, 1.0, cotangent=2.0),
        lambda jax: pullback(jax, lambda x, y: (x * y, x), X, 2.0, cotangent=(X, X)),
        lambda jax: pullback(jax, lambda x: (x.sum(), {"aux": x, "n": 3}), X, cotangent=2.0, has_aux=True),
        lambda jax: pullback(
            jax, lambda d: {"a": d["b"], "b": d["a"]}, {"a": X, "b": 1.0}, cotangent={"a": 1.0, "b": X}
        ),
        lambda jax: pullback(jax, lambda x, n: x * n, 1.0, 2, cotangent=1.0),
        lambda jax: pullback(jax, lambda x: (x, 3), 1.0, cotangent=(1.0, np.zeros((), jax.dtypes.float0))),
        lambda jax: pullback(jax, lambda x: (x, 3), 1.0, cotangent=(1.0, 2.0)),
        lambda jax: pullback(jax, lambda x: (x, x > 1), X, cotangent=(X, np.ones(X.shape, np.int32))),
        lambda jax: pullback(jax, lambda x: x * 0, X, cotangent=X),
        lambda jax: pullback(jax, lambda x, y: y, X, X, cotangent=X),
        lambda jax: pullback(jax, lambda: 3.0, cotangent=1.0),
        lambda jax: pullback(jax, jax.jit(lambda x: (x.sum(), x)), X, cotangent=(1.0, X)),
        lambda jax: pullback(jax, lambda z: z * 2j, np.complex64(1j), cotangent=np.complex64(1)),
    ],
)
def test_vjp(program):
    agree(program)


def test_pullback_may_be_called_again_and_transformed():
    def program(jax):
        _, pull = jax.vjp(lambda x: jax.numpy.sin(x) * x, X)
        rows = jax.vmap(pull)(np.eye(3, dtype=np.float32))
        return pull(X), pull(2 * X), rows, jax.jit(pull)(X), jax.grad(lambda c: pull(c)[0].sum())(X)

    agree(program)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: (lambda y, f: (y, f(2.0), f(3.0)))(*jax.linearize(jax.numpy.sin, 1.0)),
        lambda jax: (lambda y, f: (y, f(X, 2.0)))(*jax.linearize(lambda x, y: {"p": x * y, "q": x}, X, 1.0)),
        lambda jax: (lambda y, f, aux: (y, f(X), aux))(*jax.linearize(lambda x: (x * x, (x, 3)), X, has_aux=True)),
        lambda jax: jax.jit(jax.linearize(lambda x: jax.numpy.sin(x).sum(), X)[1])(X),
        lambda jax: jax.vmap(jax.linearize(lambda x: jax.numpy.sin(x).sum(), X)[1])(np.eye(3, dtype=np.float32)),
        lambda jax: jax.linearize(lambda x: 3.0, X)[1](X),
        lambda jax: jax.linearize(jax.jit(lambda x: x * x), X)[1](X),
        lambda jax: jax.linear_transpose(lambda x: jax.linearize(jax.numpy.sin, X)[1](x), X)(X),
    ],
)
def test_linearize(program):
    agree(program)


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.linear_transpose(lambda x: 3.0 * x, 1.0)(2.0),
        lambda jax: jax.linear_transpose(lambda x: 3 * x, np.arange(3))(np.arange(3)),
        lambda jax: jax.linear_transpose(lambda x: M @ x, X)(M[:, 0]),
        lambda jax: jax.linear_transpose(lambda x, y: {"a": x + 2 * y, "b": y}, X, X)({"a": X, "b": X}),
        lambda jax: jax.linear_transpose(lambda x: x.sum(), jax.ShapeDtypeStruct((3,), np.float32))(1.0),
        lambda jax: jax.linear_transpose(jax.jit(lambda x: x[::-1]), X)(X),
        lambda jax: jax.vmap(jax.linear_transpose(lambda x: M @ x, X))(M.T),
        lambda jax: jax.linear_transpose(lambda x: jax.linear_transpose(lambda y: M @ y, X)(x)[0], M[:, 0])(X),
    ],
)
def test_linear_transpose(program):
    agree(program)


@pytest.mark.parametrize("jacobian", ["jacfwd", "jacrev", "jacobian"])
@pytest.mark.parametrize(
    "program",
    [
        lambda jax, jac: jac(lambda x: x**2)(X),
        lambda jax, jac: jac(lambda x: x.sum())(X),
        lambda jax, jac: jac(lambda x: x)(2.0),
        lambda jax, jac: jac(lambda x: M @ x)(X),
        lambda jax, jac: jac(lambda x: {"a": x * 2, "b": x.sum()})(X),
        lambda jax, jac: jac(lambda d: d["a"] * d["b"].sum())({"a": X, "b": M}),
        lambda jax, jac: jac(lambda x, y: x * y, argnums=1)(X, X),
        lambda jax, jac: jac(lambda x, y: x * y, argnums=(0, 1))(X, X),
        lambda jax, jac: jac(lambda x, y: x * y, argnums=-1)(X, 2.0),
        lambda jax, jac: jac(lambda x: (x * 2, {"aux": x, "n": 1}), has_aux=True)(X),
        lambda jax, jac: jac(lambda z: z**2, holomorphic=True)(X.astype(np.complex64)),
        lambda jax, jac: jac(lambda x, *, k: x * k)(X, k=2.0),
        lambda jax, jac: jac(lambda x: x[:, None] * x)(X),
    ],
)
def test_jacobians(jacobian, program):
    agree(lambda jax: program(jax, getattr(jax, jacobian)))


def test_jacrev_of_integers():
    agree(lambda jax: jax.jacrev(lambda n, x: x * n, argnums=(0, 1), allow_int=True)(np.arange(3), X))


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.hessian(lambda x: (x**3).sum())(X),
        lambda jax: jax.hessian(lambda x, y: (x**2 * y).sum(), argnums=(0, 1))(X, X),
        lambda jax: jax.hessian(lambda d: d["a"].sum() * d["b"])({"a": X, "b": 2.0}),
        lambda jax: jax.hessian(lambda x: ((x**3).sum(), x), has_aux=True)(X),
        lambda jax: jax.hessian(lambda x: jax.numpy.stack([x.sum(), (x**2).sum()]))(X),
    ],
)
def test_hessian(program):
    agree(program)


# -- compositions


def f(jax, x):
    return jax.numpy.sin(x) * x + jax.numpy.where(x > 0.7, x**3, x)


LAYERS = {
    "jit": lambda jax, g: jax.jit(g),
    "grad": lambda jax, g: jax.grad(g),
    "jvp": lambda jax, g: lambda x: jax.jvp(g, (x,), (x * 0 + 2,))[1],
    "vjp": lambda jax, g: lambda x: jax.vjp(g, x)[1](x * 0 + 2)[0],
    "linearize": lambda jax, g: lambda x: jax.linearize(g, x)[1](x * 0 + 2),
    "vmap": lambda jax, g: lambda x: jax.vmap(g)(jax.numpy.stack([x, x + 1])).sum(),
    "checkpoint": lambda jax, g: jax.checkpoint(g),
}


# A fifth of the triples; each pair of neighbours occurs among them.
ORDERS = [order for i, order in enumerate(itertools.product(LAYERS, repeat=3)) if i % 5 == 2]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_compositions(order):
    # Jitted as a whole, an order costs one compilation on either side.
    ours, theirs = (m.jit(compose(m, order))(np.float32(1.3)) for m in (cyxla, jax))
    assert_same(ours, theirs, 1e-4)


def compose(module, order):
    g = lambda x: f(module, x)
    for layer in reversed(order):
        g = LAYERS[layer](module, g)
    return g


@pytest.mark.parametrize(
    "order", ["grad-grad-grad-grad", "jit-vmap-grad-jit", "vmap-grad-jit-grad", "grad-vmap-grad-vmap"]
)
def test_eager_compositions(order):
    agree(lambda jax: compose(jax, order.split("-"))(np.float32(1.3)), 1e-4)


@pytest.mark.parametrize("inner", ["jacfwd", "jacrev"])
@pytest.mark.parametrize("outer", ["jacfwd", "jacrev"])
@pytest.mark.parametrize("wrap", ["vmap", "jit"])
def test_jacobians_of_jacobians(inner, outer, wrap):
    def program(jax):
        hess = getattr(jax, outer)(getattr(jax, inner)(lambda x: (jax.numpy.sin(x) * x.sum()).sum()))
        x = np.stack([X, X + 1]) if wrap == "vmap" else X
        return getattr(jax, wrap)(hess)(x)

    agree(program, 1e-4, 1e-5)


def test_closing_over_tracers_of_outer_transformations():
    def program(jax):
        def outer(x):
            inner = jax.grad(lambda y: jax.numpy.sin(x * y) * x)
            rows = jax.vmap(lambda a: a * x + inner(a))(X)
            return jax.jit(lambda z: z * x + rows.sum())(x) + jax.jvp(lambda w: w * x, (x,), (x,))[1]

        return (
            jax.grad(outer)(2.0),
            jax.vmap(jax.grad(outer))(X),
            jax.jit(jax.hessian(outer))(2.0),
            jax.jvp(jax.grad(outer), (2.0,), (1.0,)),
        )

    agree(program, 1e-4)


def test_perturbation_confusion():
    def program(jax):
        return (
            jax.grad(lambda x: x * jax.grad(lambda y: x + y)(1.0))(1.0),
            jax.jvp(lambda x: x * jax.jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1],
            jax.grad(lambda x: jax.vmap(lambda y: x * y)(X).sum())(2.0),
            jax.grad(lambda x: jax.grad(lambda y: x * y * y)(x))(3.0),
        )

    agree(program)


def test_numpy_and_python_results():
    agree(lambda jax: jax.grad(lambda x: x + np.float32(3))(1.0))
    agree(lambda jax: jax.jacrev(lambda x: (x, 2.0))(1.0))
    agree(lambda jax: jax.vjp(lambda x: 2.0, 1.0)[1](1.0))


def test_aux_keeps_what_is_no_array():
    for module in (cyxla, jax):
        (value, aux), _ = module.value_and_grad(lambda x: (x * 2, {"name": "text", "f": len, "x": x}), has_aux=True)(
            1.0
        )
        assert aux["name"] == "text"
        assert aux["f"] is len
        assert float(aux["x"]) == 1.0
        assert float(value) == 2.0


def test_functions_look_like_what_they_wrap():
    def fun(x, y=1):
        """Doc."""
        return x

    for transformed in (
        cyxla.grad(fun),
        cyxla.value_and_grad(fun),
        cyxla.jacfwd(fun),
        cyxla.vmap(fun),
        cyxla.checkpoint(fun),
    ):
        assert transformed.__name__ == "fun"
        assert transformed.__wrapped__ is not None


class Layer:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        return self.scale * x**2

    def method(self, x):
        return self.scale * x

    gradient = cyxla.grad(lambda self, x: self.scale * x**2, argnums=1)


def test_methods_and_callable_objects():
    layer = Layer(3.0)
    assert cyxla.grad(layer)(2.0) == 12
    assert cyxla.grad(layer.method)(2.0) == 3
    assert layer.gradient(2.0) == 12
    assert cyxla.vmap(layer.method)(X).shape == (3,)


# -- errors


@pytest.mark.parametrize(
    ("error", "program", "match"),
    [
        ("TypeError", lambda jax: jax.grad(lambda x: x)(X), "shape.*3"),
        ("TypeError", lambda jax: jax.grad(lambda x: (x, x))(1.0), "one scalar"),
        ("TypeError", lambda jax: jax.grad(lambda x: None)(1.0), None),
        ("TypeError", lambda jax: jax.grad(lambda x: "text")(1.0), "text"),
        ("TypeError", lambda jax: jax.grad(lambda x: x)(1), "int32"),
        ("TypeError", lambda jax: jax.grad(lambda x: x)(True), "bool"),
        ("TypeError", lambda jax: jax.grad(lambda x: x * 1.0)(np.arange(3)), "int32"),
        ("TypeError", lambda jax: jax.grad(lambda x: x)("text"), "text"),
        ("TypeError", lambda jax: jax.grad(lambda x: 1)(1.0), "int32"),
        ("TypeError", lambda jax: jax.grad(lambda z: z * z)(1j), "complex"),
        ("TypeError", lambda jax: jax.grad(lambda z: z, holomorphic=True)(1.0), "complex"),
        ("TypeError", lambda jax: jax.grad(lambda z: z.real, holomorphic=True)(1j), "complex"),
        ("TypeError", lambda jax: jax.grad(lambda x: x, argnums=1)(1.0), "argnums"),
        ("TypeError", lambda jax: jax.grad(lambda x: x, argnums=(0, 2))(1.0, 2.0), "argnums"),
        ("TypeError", lambda jax: jax.grad(lambda x: x)(x=1.0), "keyword"),
        ("TypeError", lambda jax: jax.grad(lambda x: x, argnums="0")(1.0), None),
        ("TypeError", lambda jax: jax.grad(lambda x: x, has_aux=True)(1.0), "has_aux"),
        ("TypeError", lambda jax: jax.grad(3), None),
        ("TypeError", lambda jax: jax.jvp(lambda x: x, (1.0,), (1,)), "float32.*int32"),
        ("TypeError", lambda jax: jax.jvp(lambda x: x, (X,), (X.astype(np.float16),)), "float16"),
        ("ValueError", lambda jax: jax.jvp(lambda x: x, (X,), (X[:2],)), r"\(3,\).*\(2,\)"),
        ("TypeError", lambda jax: jax.jvp(lambda x: x, (X,), (X, X)), "structure"),
        ("TypeError", lambda jax: jax.jvp(lambda x: x, X, X), "tuple"),
        ("TypeError", lambda jax: jax.jvp(lambda x: x, (1.0,), {"a": 1.0}), None),
        ("TypeError", lambda jax: jax.jvp(lambda x: x, (2,), (1,)), "float0"),
        ("TypeError", lambda jax: jax.jvp(3, (1.0,), (1.0,)), None),
        ("ValueError", lambda jax: jax.vjp(lambda x: x, X)[1](X[:2]), r"float32\[2\]"),
        ("ValueError", lambda jax: jax.vjp(lambda x: x, X)[1](X.astype(np.int32)), "int32"),
        ("ValueError", lambda jax: jax.vjp(lambda x: (x, x), X)[1](X), "structure|structured"),
        ("TypeError", lambda jax: jax.vjp(lambda x: x, "text"), "text"),
        ("TypeError", lambda jax: jax.vjp(lambda x: 3, X, has_aux=True), "has_aux"),
        ("TypeError", lambda jax: jax.vjp(lambda x: object(), X), None),
        ("TypeError", lambda jax: jax.jacfwd(lambda x: x)(1), "int32"),
        ("TypeError", lambda jax: jax.jacrev(lambda x: x)(1), "int32"),
        ("TypeError", lambda jax: jax.jacrev(lambda x: x)(1j), "complex"),
        ("TypeError", lambda jax: jax.jacfwd(lambda x: x)(1j), "complex"),
        ("TypeError", lambda jax: jax.jacrev(lambda x: 1)(1.0), "int32"),
        ("TypeError", lambda jax: jax.hessian(lambda x: x)(1), "int32"),
        ("TypeError", lambda jax: jax.linear_transpose(lambda x: x * 2.0, 1)(1.0), "int32"),
        ("TypeError", lambda jax: jax.linear_transpose(lambda x: x, X)(X[:2]), None),
        ("TypeError", lambda jax: jax.linear_transpose(lambda x: (x, x), X)(X), None),
        ("NotImplementedError", lambda jax: jax.linear_transpose(lambda x: jax.numpy.sin(x), X)(X), "sin"),
        ("TypeError", lambda jax: jax.grad(lambda k: 1.0)(jax.random.key(0)), None),
    ],
)
def test_errors(error, program, match):
    both_raise(error, program, match)


def test_error_names_the_argument():
    with pytest.raises(TypeError, match=r"\['w'\]"):
        cyxla.grad(lambda p: p["w"] * 1.0)({"w": 3})
    with pytest.raises(TypeError, match="loss"):

        def loss(x):
            return x

        cyxla.grad(loss)(X)


def test_linearized_function_checks_its_arguments():
    for module in (cyxla, jax):
        _, push = module.linearize(lambda x: x * 2, X)
        for bad in (X[:2], X.astype(np.int32)):
            with pytest.raises((TypeError, ValueError)):
                push(bad)
        with pytest.raises(TypeError):
            push(X, X)


def test_errors_inside_keep_only_user_frames():
    import traceback

    def loss(x):
        return (jnp.ones(3) + x).sum()

    try:
        cyxla.jit(cyxla.vmap(cyxla.grad(loss)))(jnp.ones((2, 4)))
    except TypeError as error:
        frames = traceback.extract_tb(error.__traceback__)
        assert [frame.name for frame in frames] == ["test_errors_inside_keep_only_user_frames", "loss"]
        assert error.__cause__ is None
    cyxla.config.update("jax_traceback_filtering", "off")
    try:
        cyxla.grad(loss)(jnp.ones(4))
    except TypeError as error:
        assert len(traceback.extract_tb(error.__traceback__)) > 3
    finally:
        cyxla.config.update("jax_traceback_filtering", "auto")


def _rule_returning(jax, cotangent):
    f = jax.custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: (x * 2, None), lambda _, ct: (cotangent,))
    return f


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.grad(lambda x: x * np.float32(3))(2.0),
        lambda jax: jax.grad(lambda x, y: x * y, (0, 1))(2.0, np.float32(3)),
        lambda jax: jax.grad(_rule_returning(jax, jax.numpy.float32(3)))(2.0),
        lambda jax: jax.vjp(lambda x: x * 2, 2.0)[1](np.float32(1)),
        lambda jax: jax.vjp(lambda x: x * np.float32(2), 2.0)[1](np.float32(1)),
        lambda jax: jax.jvp(lambda x: x * 2, (2.0,), (np.float32(1),)),
        lambda jax: jax.linearize(lambda x: x * 2, 2.0)[1](np.float32(1)),
    ],
)
def test_weak_types_of_derivatives(program):
    agree(program)


def test_transposes_of_what_does_not_matter():
    agree(lambda jax: jax.linear_transpose(lambda x, y: x * 2, 1.0, 2.0)(1.0))
    agree(lambda jax: jax.linear_transpose(lambda x: jax.numpy.zeros(3), 1.0)(np.ones(3, np.float32)))
    both_raise("TypeError", lambda jax: jax.linear_transpose(lambda x: x, True)(True), "bool")
    both_raise("NotImplementedError", lambda jax: jax.linear_transpose(lambda x: x, 1.0, reduce_axes=("i",)), "reduce")
