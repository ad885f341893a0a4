"""`jit` as users call it: which calls share a trace, what is static, donated, kept; stages; caches; threads."""

import functools
import gc
import threading
import traceback
import warnings
import weakref
from typing import NamedTuple

import jax
import ml_dtypes
import numpy as np
import pytest
from compare import agree, assert_same, both_raise

import cyxla
import cyxla.numpy as jnp
from cyxla import lax

X = np.array([1.0, 2.0, 3.0], np.float32)


class Counting:
    """A function that counts its traces."""

    def __init__(self, fun):
        self.fun = fun
        self.traces = 0
        functools.update_wrapper(self, fun)

    def __call__(self, *args, **kwargs):
        self.traces += 1
        return self.fun(*args, **kwargs)


# -- results and signatures


class Point(NamedTuple):
    x: object
    y: object


@pytest.mark.parametrize(
    "program",
    [
        lambda jax: jax.jit(lambda x: x + 1)(X),
        lambda jax: jax.jit(lambda x: x + 1)(2),
        lambda jax: jax.jit(lambda x: x * 2)(2.5),
        lambda jax: jax.jit(lambda x: x)(True),
        lambda jax: jax.jit(lambda x: x)(np.float32(3)),
        lambda jax: jax.jit(lambda x: x)(np.int64(3)),
        lambda jax: jax.jit(lambda x: x)(1j),
        lambda jax: jax.jit(lambda: (1, 2.0, True, None, 1j))(),
        lambda jax: jax.jit(lambda x: None)(X),
        lambda jax: jax.jit(lambda d: {"b": d["a"], "a": [d["b"], None, ()]})({"a": X, "b": 1}),
        lambda jax: jax.jit(lambda p: Point(p.y, p.x))(Point(X, 2.0)),
        lambda jax: jax.jit(lambda x, *, scale=2.0: x * scale)(X),
        lambda jax: jax.jit(lambda x, *, scale=2.0: x * scale)(X, scale=3),
        lambda jax: jax.jit(lambda x, y=2: x * y)(x=X),
        lambda jax: jax.jit(lambda *args, **kwargs: (args, kwargs))(1, X, b=2, a=X),
        lambda jax: jax.jit(lambda x: (x, x))(X),
        lambda jax: jax.jit(lambda x: np.arange(3))(X),
        lambda jax: jax.jit(lambda x: np.float32(7))(X),
        lambda jax: jax.jit(lambda x, y: y)(X, X + 1),
        lambda jax: jax.jit(jax.jit(lambda x: x + 1))(X),
        lambda jax: jax.jit(functools.partial(lambda a, x: a * x, 2))(X),
        lambda jax: jax.jit(jax.numpy.sin)(X),
        lambda jax: jax.jit(lambda x: jax.jit(lambda y: y * x)(x + 1))(X),
        lambda jax: jax.jit(lambda x: x + 1)(np.zeros((0, 3), np.float32)),
        lambda jax: jax.jit(lambda x: x.T)(np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3))),
        lambda jax: jax.jit(lambda x: x + 1)(np.arange(12, dtype=np.int16)[::-3]),
        lambda jax: jax.jit(lambda x: x + 1)(np.ones(2, ml_dtypes.bfloat16)),
    ],
)
def test_results(program):
    agree(program)


def test_second_call_does_not_trace():
    f = Counting(lambda x, y: x * y)
    jitted = cyxla.jit(f)
    for _ in range(3):
        jitted(X, 2.0)
    jitted(jnp.asarray(X), y=2.0)
    # Keywords are another structure of the arguments; arrays of one type share a trace however they are held.
    assert f.traces == 2


@pytest.mark.parametrize(
    ("calls", "traces"),
    [
        ([1.0, 2.0], 1),
        ([1.0, 1], 2),
        ([1.0, np.float32(1)], 2),
        ([np.float32(1), jnp.float32(1)], 1),
        ([True, 1], 2),
        ([X, X[:2]], 2),
        ([X, X.astype(np.float64)], 1),
        ([X, X.astype(np.int32)], 2),
        ([[X, X], (X, X)], 2),
        ([{"a": X}, {"b": X}], 2),
        ([None, X, None], 2),
        ([Point(X, X), (X, X)], 2),
    ],
)
def test_what_counts_as_a_new_signature(calls, traces):
    f = Counting(lambda x: x)
    g = Counting(lambda x: x)
    ours, theirs = cyxla.jit(f), jax.jit(g)
    for x in calls:
        assert_same(ours(x), theirs(jax.tree_util.tree_map(np.asarray, x) if isinstance(x, jnp.ndarray) else x))
    assert f.traces == traces
    assert g.traces == traces


def test_x64_has_its_own_entries():
    f = Counting(lambda x: x + 1)
    jitted = cyxla.jit(f)
    assert jitted(np.float64(1)).dtype == "float32"
    with cyxla.enable_x64(True):
        assert jitted(np.float64(1)).dtype == "float64"
        assert jitted(1).dtype == "int64"
    assert jitted(np.float64(1)).dtype == "float32"
    with cyxla.enable_x64(True):
        assert jitted(np.float64(1)).dtype == "float64"
    assert f.traces == 3


def test_configurations_can_be_forgotten():
    f = Counting(lambda x: x + 1)
    jitted = cyxla.jit(f)
    jitted(1.0)
    cyxla.clear_caches()
    for _ in range(2):
        jitted(1.0)
        with cyxla.enable_x64(True):
            jitted(1.0)
    assert f.traces == 3


def test_default_matmul_precision_has_its_own_entries():
    f = Counting(lambda x: x @ x)
    jitted = cyxla.jit(f)
    jitted(X)
    with cyxla.default_matmul_precision("highest"):
        jitted(X)
    jitted(X)
    assert f.traces == 2


# -- what can be jitted


class Model:
    def __init__(self, scale):
        self.scale = scale
        self.traces = 0

    @cyxla.jit
    def unbound(scale, x):
        return scale * x

    @functools.partial(cyxla.jit, static_argnums=0)
    def apply(self, x):
        self.traces += 1
        return self.scale * x

    def method(self, x):
        return self.scale * x

    def __call__(self, x):
        return self.scale * x

    @classmethod
    @cyxla.jit
    def none(cls_scale, x):
        return x


def test_methods():
    model = Model(3.0)
    for _ in range(2):
        np.testing.assert_array_equal(model.apply(X), 3 * X)
    assert model.traces == 1
    np.testing.assert_array_equal(Model(4.0).apply(X), 4 * X)
    np.testing.assert_array_equal(cyxla.jit(model.method)(X), 3 * X)
    np.testing.assert_array_equal(cyxla.jit(model)(X), 3 * X)
    model.scale = 5.0
    # A new jit of a bound method is a new function: it does not see the trace with the old attribute.
    np.testing.assert_array_equal(cyxla.jit(model.method)(X), 5 * X)


def test_looks_like_the_function():
    def fun(x, y=1):
        """Doc."""

    jitted = cyxla.jit(fun)
    assert jitted.__name__ == "fun"
    assert jitted.__doc__ == "Doc."
    assert jitted.__wrapped__ is fun
    assert jitted.__module__ == fun.__module__
    import inspect

    assert str(inspect.signature(jitted)) == "(x, y=1)"
    assert callable(jitted)
    assert "fun" in repr(jitted)


def test_decorator_with_options():
    @cyxla.jit(static_argnames="n")
    def f(x, n):
        return x * n

    assert f(2.0, n=3) == 6


@pytest.mark.parametrize("fun", [None, 3, "f", X])
def test_not_callable(fun):
    if fun is None:
        assert callable(cyxla.jit(fun, static_argnums=0))
        return
    both_raise("TypeError", lambda jax: jax.jit(fun))


def test_generator_function():
    def generator(x):
        yield x

    both_raise("TypeError", lambda jax: jax.jit(generator)(X), match="generator")


@pytest.mark.parametrize("bad", ["text", object(), [X, "text"], {"a": (1, b"bytes")}, len, {1, 2}, slice(0, 1)])
def test_arguments_that_are_not_arrays(bad):
    text = both_raise("TypeError", lambda jax: jax.jit(lambda x: x)(bad))
    assert "x" in text
    assert "static_argnums" in text


def test_path_of_an_argument_that_is_no_array():
    def f(x, params):
        return x

    with pytest.raises(TypeError, match=r"params\['w'\]\[1\]"):
        cyxla.jit(f)(1.0, {"w": [1.0, "text"]})
    with pytest.raises(TypeError, match=r"params\['w'\]"):
        cyxla.jit(f)(1.0, params={"w": "text"})
    with pytest.raises(TypeError, match=r"params\['w'\]"):
        cyxla.jit(f, static_argnums=0)(1.0, {"w": "text"})
    with pytest.raises(TypeError, match="params"):
        cyxla.jit(f)(1.0, "text")


def test_results_that_are_not_arrays():
    text = both_raise("TypeError", lambda jax: jax.jit(lambda x: {"a": x, "b": ["text"]})(X))
    assert "['b'][0]" in text
    both_raise("TypeError", lambda jax: jax.jit(lambda x: (x, len))(X))


def test_wrong_number_of_arguments():
    both_raise("TypeError", lambda jax: jax.jit(lambda x: x)(1, 2))
    both_raise("TypeError", lambda jax: jax.jit(lambda x: x)())
    both_raise("TypeError", lambda jax: jax.jit(lambda x: x)(y=1))


# -- static arguments


@pytest.mark.parametrize(
    ("options", "args", "kwargs"),
    [
        ({"static_argnums": 1}, (X, 2), {}),
        ({"static_argnums": (1,)}, (X, 2), {}),
        ({"static_argnums": -1}, (X, 2), {}),
        ({"static_argnums": [1]}, (X, 2), {}),
        ({"static_argnums": 1}, (X,), {"n": 2}),
        ({"static_argnames": "n"}, (X, 2), {}),
        ({"static_argnames": "n"}, (X,), {"n": 2}),
        ({"static_argnames": ("n",)}, (), {"x": X, "n": 2}),
        ({"static_argnums": 1, "static_argnames": "n"}, (X, 2), {}),
        ({"static_argnums": 1}, (X,), {}),
    ],
)
def test_static_arguments(options, args, kwargs):
    def program(module):
        def f(x, n=3):
            assert isinstance(n, int)
            return [x] * n

        return module.jit(f, **options)(*args, **kwargs)

    agree(program)


def test_static_values_make_entries():
    f = Counting(lambda x, n: x * n)
    jitted = cyxla.jit(f, static_argnums=1)
    assert [float(jitted(2.0, n)) for n in (1, 2, 1, 2)] == [2, 4, 2, 4]
    assert f.traces == 2
    # Equal values of different types are different programs.
    assert jitted(2, 1.0).dtype == "float32"
    assert jitted(2, 1).dtype == "int32"
    assert jitted(2, True).dtype == "int32"
    jitted(2.0, "ab" if False else 3)


def test_static_strings_functions_and_tuples():
    def f(x, how, functions):
        for function in functions:
            x = function(x)
        return -x if how == "minus" else x

    for options in (
        {"static_argnums": (1, 2)},
        {"static_argnames": ("how", "functions")},
        {"static_argnums": (-1, -2)},
    ):
        jitted = cyxla.jit(f, **options)
        np.testing.assert_allclose(jitted(X, "minus", (jnp.sin, jnp.cos)), -np.cos(np.sin(X)), rtol=1e-5)
        np.testing.assert_allclose(jitted(X, "plus", ()), X)


def test_static_argument_not_hashable():
    text = both_raise("ValueError", lambda jax: jax.jit(lambda x, n: x, static_argnums=1)(X, [1]))
    assert "hashable" in text
    assert "list" in text
    both_raise("ValueError", lambda jax: jax.jit(lambda x, n: x, static_argnames="n")(X, n={}))
    both_raise("ValueError", lambda jax: jax.jit(lambda x, n: x, static_argnums=1)(X, np.ones(2)))


def test_static_arguments_that_do_not_exist():
    both_raise("ValueError", lambda jax: jax.jit(lambda x: x, static_argnums=1))
    both_raise("ValueError", lambda jax: jax.jit(lambda x: x, static_argnums=-2))
    both_raise("ValueError", lambda jax: jax.jit(lambda x: x, static_argnames="y"))
    both_raise("TypeError", lambda jax: jax.jit(lambda x: x, static_argnums="0"))
    both_raise("ValueError", lambda jax: jax.jit(lambda x: x, donate_argnums=1))


def test_static_with_equality_and_without_identity():
    class Config:
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            return hash(self.n)

        def __eq__(self, other):
            return self.n == other.n

    f = Counting(lambda x, config: x * config.n)
    jitted = cyxla.jit(f, static_argnums=1)
    jitted(X, Config(1))
    jitted(X, Config(1))
    jitted(X, Config(2))
    assert f.traces == 2


# -- donation


def test_donated_arrays_are_deleted():
    f = cyxla.jit(lambda x, y: x + y, donate_argnums=0)
    x, y = jnp.ones(3), jnp.ones(3)
    np.testing.assert_array_equal(f(x, y), [2, 2, 2])
    assert x.is_deleted()
    assert not y.is_deleted()
    for use in (lambda: x + 1, lambda: np.asarray(x), lambda: f(x, y), lambda: x[0], x.block_until_ready):
        with pytest.raises(RuntimeError, match=r"float32\[3\].*deleted or donated"):
            use()
    assert "deleted" in repr(x)


@pytest.mark.parametrize(
    "options", [{"donate_argnums": 1}, {"donate_argnums": -1}, {"donate_argnames": "state"}, {"donate_argnums": (1,)}]
)
def test_donation_of_a_tree_by_number_and_name(options):
    def step(x, state):
        return {k: v + x for k, v in state.items()}

    f = cyxla.jit(step, **options)
    for call in (lambda s: f(1.0, s), lambda s: f(x=1.0, state=s)):
        state = {"a": jnp.ones(3), "b": jnp.zeros(4)}
        new = call(state)
        np.testing.assert_array_equal(new["a"], [2, 2, 2])
        assert all(v.is_deleted() for v in state.values())


def test_donation_never_writes_to_numpy_memory():
    f = cyxla.jit(lambda x: x * 2, donate_argnums=0)
    # Aligned, so that the runtime can take it without a copy.
    memory = np.zeros(1024 + 64, np.uint8)
    start = -memory.ctypes.data % 64
    host = memory[start : start + 1024].view(np.float32)
    host[:] = 1
    keep = host.copy()
    f(host)
    np.testing.assert_array_equal(host, keep)
    for array in (jnp.asarray(host), jnp.array(host), cyxla.device_put(host), jnp.from_dlpack(host)):
        view = np.asarray(array)
        f(array)
        np.testing.assert_array_equal(host, keep)
        np.testing.assert_array_equal(view, keep)


def test_donated_array_seen_by_numpy_keeps_its_value():
    f = cyxla.jit(lambda x: x * 2, donate_argnums=0)
    x = jnp.arange(256.0) + 1
    view = np.asarray(x)
    before = view.copy()
    out = f(x)
    np.testing.assert_array_equal(view, before)
    np.testing.assert_array_equal(out, 2 * before)


def test_donation_that_cannot_be_used_warns():
    f = cyxla.jit(lambda x: x.sum(), donate_argnums=0)
    with pytest.warns(UserWarning, match="donation of .* has no effect"):
        f(jnp.ones(7))


def test_donating_the_same_array_twice():
    f = cyxla.jit(lambda x, y: x + y, donate_argnums=(0, 1))
    x = jnp.ones(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            out = f(x, x)
        except (ValueError, RuntimeError):
            return
    np.testing.assert_array_equal(out, 2 * np.ones(5))


def test_static_and_donated_do_not_intersect():
    both_raise("ValueError", lambda jax: jax.jit(lambda x: x, static_argnums=0, donate_argnums=0))


def test_donation_inside_of_a_trace_is_ignored():
    inner = cyxla.jit(lambda x: x * 2, donate_argnums=0)
    x = jnp.ones(3)
    np.testing.assert_array_equal(cyxla.jit(lambda x: inner(x) + x)(x), [3, 3, 3])
    np.testing.assert_array_equal(cyxla.grad(lambda x: inner(x).sum())(x), [2, 2, 2])
    np.testing.assert_array_equal(cyxla.vmap(inner)(x), [2, 2, 2])
    assert not x.is_deleted()


# -- other options


def test_unused_arguments():
    f = cyxla.jit(lambda x, y: x + 1)
    assert f.lower(X, X).as_text().count("%arg") < cyxla.jit(lambda x, y: x + 1, keep_unused=True).lower(
        X, X
    ).as_text().count("%arg")
    deleted = jnp.ones(3)
    deleted.delete()
    with pytest.raises(RuntimeError):
        cyxla.jit(lambda x, y: x + 1, keep_unused=True)(X, deleted)


def test_inline():
    inner = cyxla.jit(lambda x: jnp.sin(x) * 2, inline=True)
    jaxpr = cyxla.make_jaxpr(lambda x: inner(x) + 1)(1.0)
    assert [e.primitive.name for e in jaxpr.eqns] == ["sin", "mul", "add"]
    agree(lambda jax: jax.jit(lambda x: jax.jit(lambda y: y * 2, inline=True)(x))(X))


def test_device():
    device = cyxla.devices()[0]
    f = cyxla.jit(lambda x: x + 1, device=device)
    assert f(X).devices() == {device}
    assert f(X).committed
    assert cyxla.jit(lambda x: x + 1)(cyxla.device_put(X, device)).committed
    assert not cyxla.jit(lambda x: x + 1)(X).committed
    assert cyxla.jit(lambda x: x + 1, backend="cpu")(X).devices() == {cyxla.devices("cpu")[0]}


def test_compiler_options():
    f = cyxla.jit(lambda x: x + 1, compiler_options={"xla_backend_optimization_level": 0})
    np.testing.assert_array_equal(f(X), X + 1)
    with pytest.raises((ValueError, RuntimeError, cyxla.errors.JaxRuntimeError), match="xla_no_such_option"):
        cyxla.jit(lambda x: x + 1, compiler_options={"xla_no_such_option": 1})(X)


# -- constants


def test_constants():
    small, large = np.arange(3, dtype=np.float32), np.arange(1000, dtype=np.float32)
    device_large = jnp.asarray(large)

    f = cyxla.jit(lambda x: (x + small, x[0] + large, x[0] - device_large))
    for _ in range(2):
        a, b, c = f(X)
        np.testing.assert_array_equal(a, X + small)
        np.testing.assert_array_equal(b, 1 + large)
        np.testing.assert_array_equal(c, 1 - large)
    text = f.lower(X).as_text()
    assert len(text) < 4000
    closed = cyxla.make_jaxpr(f)(X).eqns[0].params["jaxpr"]
    assert isinstance(closed.consts, list)


def test_constants_are_values_at_trace_time():
    host = np.ones(3, np.float32)
    f = cyxla.jit(lambda x: x + host)
    np.testing.assert_array_equal(f(X), X + 1)
    host[:] = 7
    np.testing.assert_array_equal(f(X), X + 1)


# -- nesting, recursion, re-entrance


def test_recursion():
    @functools.partial(cyxla.jit, static_argnums=1)
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    assert power(2.0, 5) == 32


def test_tracing_from_within_a_trace():
    inner = cyxla.jit(lambda x: x * 2)

    def f(x):
        shape = cyxla.eval_shape(inner, x)
        jaxpr = cyxla.make_jaxpr(inner)(X)
        concrete = inner.lower(X).compile()(X)
        return inner(x) + len(jaxpr.eqns) + concrete.sum() + len(shape.shape)

    np.testing.assert_array_equal(cyxla.jit(f)(X), 2 * X + 1 + 12 + 1)


def test_a_function_that_jits_itself_while_it_is_traced():
    calls = []

    def f(x):
        calls.append(1)
        if len(calls) < 3:
            return jitted(x) + 1
        return x

    jitted = cyxla.jit(f)
    assert jitted(1.0) == 3


def test_nested_jit_is_written_once():
    inner = cyxla.jit(lambda x: jnp.sin(x) * 2)
    text = cyxla.jit(lambda x: inner(inner(inner(x)))).lower(1.0).as_text()
    assert text.count("stablehlo.sine") == 1
    assert text.count("call @") == 3


# -- errors in the traced function


@pytest.mark.parametrize("transform", ["jit", "grad", "vmap", "hessian", "make_jaxpr"])
def test_errors_leave_no_state(transform):
    fail = True

    def f(x):
        if fail:
            jnp.ones(3) + jnp.ones(4)
        return x + 1

    transformed = getattr(cyxla, transform)(cyxla.jit(f))
    argument = jnp.ones(2) if transform == "vmap" else 1.0
    with pytest.raises((TypeError, ValueError)):
        transformed(argument)
    assert (jnp.ones(2) + 1).shape == (2,)
    fail = False
    transformed(argument)


class Boom(Exception):
    pass


def test_exceptions_pass_through():
    @cyxla.jit
    def f(x):
        raise Boom("mine")

    with pytest.raises(Boom, match="mine"):
        f(X)
    with pytest.raises(Boom, match="mine"):
        cyxla.vmap(cyxla.grad(f))(X)


TRACER_USES = {
    "bool": (lambda x: 1 if x > 0 else 2, "TracerBoolConversionError"),
    "and": (lambda x: (x > 0) and (x < 1), "TracerBoolConversionError"),
    "while": (lambda x: [x for _ in iter(lambda: bool(x), False)], "TracerBoolConversionError"),
    "float": (lambda x: float(x), "ConcretizationTypeError"),
    "int": (lambda x: int(x), "ConcretizationTypeError"),
    "complex": (lambda x: complex(x), "ConcretizationTypeError"),
    "item": (lambda x: x.item(), "ConcretizationTypeError"),
    "tolist": (lambda x: x.tolist(), "ConcretizationTypeError"),
    "numpy": (lambda x: np.sin(x), "TracerArrayConversionError"),
    "asarray": (lambda x: np.asarray(x), "TracerArrayConversionError"),
    "range": (lambda x: range(x.astype("int32")), "TracerIntegerConversionError"),
    "index": (lambda x: [1, 2][x.astype("int32")], "TracerIntegerConversionError"),
}


@pytest.mark.parametrize("name", TRACER_USES)
@pytest.mark.parametrize("transform", ["jit", "vmap", "grad_of_jit"])
def test_values_of_tracers(name, transform):
    use, error = TRACER_USES[name]

    def program(module):
        if transform == "jit":
            return module.jit(use)(1.0)
        if transform == "vmap":
            return module.vmap(use)(np.ones(2, np.float32))
        return module.grad(module.jit(use))(1.0)

    text = both_raise(error, program)
    assert __file__ in text
    assert "test_jit.py" in text
    assert "float32" in text or "int32" in text or "bool" in text


def test_shapes_must_be_known():
    both_raise("TypeError", lambda jax: jax.jit(lambda n: jax.numpy.zeros(n))(3))
    both_raise("TypeError", lambda jax: jax.jit(lambda n: jax.numpy.ones(3).reshape(n))(3))
    both_raise("NonConcreteBooleanIndexError", lambda jax: jax.jit(lambda x: x[x > 0])(X))


def test_error_names_the_argument():
    def f(x, params):
        return 1 if params["w"] > 0 else 2

    with pytest.raises(cyxla.errors.TracerBoolConversionError, match=r"f.*jit"):
        cyxla.jit(f)(1.0, {"w": 2.0})

    def g(x, params):
        return 1 if params["w"] else 2

    with pytest.raises(cyxla.errors.TracerBoolConversionError, match=r"params\['w'\]"):
        cyxla.jit(g)(1.0, {"w": 2.0})


# -- leaks


def test_leaked_tracers():
    leaks = []

    def leak(x):
        leaks.append(x * 2)
        return x

    cyxla.jit(leak)(1.0)
    cyxla.vmap(leak)(X)
    cyxla.grad(lambda x: leak(x))(1.0)
    cyxla.make_jaxpr(leak)(1.0)
    lax.scan(lambda c, x: (leak(c), x), 1.0, X)
    assert len(leaks) >= 5
    for leaked in leaks:
        for use in (
            lambda x: x + 1,
            lambda x: cyxla.jit(lambda y: y + x)(1.0),
            lambda x: cyxla.jit(lambda y: y + 1)(x),
            lambda x: cyxla.vmap(lambda y: y + x)(X),
            lambda x: cyxla.grad(lambda y: y * x)(1.0),
            lambda x: jnp.sin(x),
        ):
            with pytest.raises(cyxla.errors.UnexpectedTracerError, match="leaked"):
                use(leaked)
    both_raise("UnexpectedTracerError", lambda jax: _leak_of(jax) + 1)


def _leak_of(module):
    kept = []
    module.jit(lambda x: kept.append(x))(1.0)
    return kept[0]


def test_a_leak_does_not_keep_the_program():
    leaks = []
    big = [np.ones(10)]

    class Token:
        pass

    token = Token()
    reference = weakref.ref(token)

    def f(x, token=token):
        leaks.append(x)
        return x + big[0]

    cyxla.jit(lambda x: f(x))(1.0)  # noqa: F821
    del f, token
    gc.collect()
    assert reference() is None


def test_checking_leaks():
    kept = []
    with cyxla.checking_leaks():
        with pytest.raises(Exception, match=r"[Ll]eak"):
            cyxla.jit(lambda x: kept.append(x))(1.0)
        cyxla.jit(lambda x: x + 1)(1.0)


# -- caches


def test_clear_cache():
    f = Counting(lambda x: x + 1)
    jitted = cyxla.jit(f)
    jitted(X)
    assert jitted._cache_size() == 1
    jitted.clear_cache()
    assert jitted._cache_size() == 0
    jitted(X)
    assert f.traces == 2


def test_clear_caches():
    f = Counting(lambda x: x + 1)
    jitted = cyxla.jit(f)
    jitted(X)
    cyxla.clear_caches()
    jitted(X)
    assert f.traces == 2
    np.testing.assert_array_equal(jnp.ones(2) + 1, [2, 2])


def test_jits_of_one_function_share():
    f = Counting(lambda x: x + 1)
    for _ in range(3):
        cyxla.jit(f)(X)
    assert f.traces == 1
    cyxla.jit(f, keep_unused=True)(X)
    assert f.traces == 2


def test_functions_die_with_their_programs():
    def make():
        big = np.ones(1000)

        def f(x):
            return x + big.sum()

        cyxla.jit(f)(1.0)
        return weakref.ref(f)

    reference = make()
    gc.collect()
    assert reference() is None


def test_disable_jit():
    seen = []

    @cyxla.jit
    def f(x):
        seen.append(x)
        return x + 1 if x > 0 else x

    with cyxla.disable_jit():
        assert f(1.0) == 2
        assert f(jnp.float32(-1)) == -1
    assert not any(isinstance(x, cyxla.core.Tracer) for x in seen) if hasattr(cyxla, "core") else True
    with pytest.raises(cyxla.errors.TracerBoolConversionError):
        f(1.0)


# -- stages


def test_text_with_source_locations():
    from cyxla._runtime import compiler

    @cyxla.jit
    def inner(x):
        return jnp.cos(x)

    def program(x):
        with cyxla.named_scope("part"):
            y = cyxla.lax.while_loop(lambda v: v.sum() < 5, lambda v: v + 1, jnp.sin(x))
        return inner(y) + jnp.sort(x)

    lowered = cyxla.jit(program).lower(X)
    assert " loc(" not in lowered.as_text()
    text = lowered.as_text(debug_info=True)
    file = program.__code__.co_filename
    first = program.__code__.co_firstlineno
    assert f'stablehlo.sine %arg0 : tensor<3xf32> loc("jit(program)/part/sin"("{file}":{first + 2}:' in text
    assert f'loc("jit(program)/part/while/add"("{file}":{first + 2}:' in text
    assert f'loc("jit(program)/jit(inner)/cos"("{file}":{first - 2}:' in text
    assert "} loc(" in text  # behind the regions of an operation
    assert "cosine" in compiler.unoptimized_hlo_text(text)


def test_stages():
    def f(x, y):
        return {"sum": x + y, "dot": x @ y}

    jitted = cyxla.jit(f)
    traced = jitted.trace(X, X)
    assert traced.fun_name == "f"
    assert [e.primitive.name for e in traced.jaxpr.eqns] == ["add", "dot_general"]
    assert str(traced.out_info) == str(jax.jit(f).trace(X, X).out_info).replace(", vma=None", "")
    assert traced.args_info[0][0].shape == (3,)
    lowered = traced.lower()
    assert "stablehlo.add" in lowered.as_text()
    assert "HloModule" in lowered.as_text("hlo")
    assert lowered.out_info["dot"].shape == ()
    assert lowered.in_tree == traced.in_tree
    compiled = lowered.compile()
    agree(lambda module: module.jit(f).lower(X, X).compile()(X, X))
    assert "HloModule" in compiled.as_text()
    assert compiled.cost_analysis()["flops"] > 0
    assert lowered.cost_analysis()["flops"] > 0
    assert compiled.memory_analysis().argument_size_in_bytes == 24
    assert compiled.out_tree == lowered.out_tree
    assert compiled.args_info[0][1].dtype == np.float32
    assert compiled.input_shardings[0][0].device_set == {cyxla.devices()[0]}
    assert compiled.output_shardings["sum"].device_set == {cyxla.devices()[0]}


def test_stages_by_shape():
    struct = cyxla.ShapeDtypeStruct((3,), "float32")
    compiled = cyxla.jit(lambda x: x * 2).lower(struct).compile()
    np.testing.assert_array_equal(compiled(X), 2 * X)
    assert cyxla.jit(lambda x: x * 2).eval_shape(struct).shape == (3,)


def test_compiled_is_strict():
    compiled = [m.jit(lambda x, s: x * s, static_argnums=1).lower(X, 2).compile() for m in (cyxla, jax)]
    for c in compiled:
        np.testing.assert_array_equal(c(X), 2 * X)
        with pytest.raises(TypeError):
            c(X[:2])
        with pytest.raises(TypeError):
            c(X.astype(np.int32))
        with pytest.raises(TypeError):
            c([X])
        with pytest.raises(TypeError):
            c(X, X)
    with pytest.raises(TypeError, match=r"float32\[3\].*int32\[3\]"):
        compiled[0](X.astype(np.int32))


def test_compiled_cannot_be_transformed():
    compiled = cyxla.jit(lambda x: x * 2).lower(1.0).compile()
    with pytest.raises(TypeError):
        cyxla.grad(compiled)(1.0)
    with pytest.raises(TypeError):
        jax.grad(jax.jit(lambda x: x * 2).lower(1.0).compile())(1.0)


def test_lowered_kwargs_and_donation():
    def f(x, *, scale):
        return x * scale

    lowered = cyxla.jit(f, donate_argnames="scale").lower(X, scale=X)
    assert lowered.args_info[1]["scale"].donated
    assert not lowered.args_info[0][0].donated
    assert "aliasing_output" in lowered.as_text()
    assert lowered.donate_argnums == jax.jit(f, donate_argnames="scale").lower(X, scale=X).donate_argnums
    np.testing.assert_array_equal(lowered.compile()(X, scale=jnp.asarray(X)), X * X)


def test_eval_shape():
    agree(lambda jax: jax.eval_shape(lambda x, y: {"a": x @ y, "b": (x, None)}, np.ones((2, 3)), np.ones((3, 4))))
    agree(lambda jax: jax.eval_shape(lambda x: x, jax.ShapeDtypeStruct((2,), "int8")))
    agree(lambda jax: jax.eval_shape(lambda x: x * 2, 1.0))
    agree(lambda jax: jax.eval_shape(lambda *, k: k, k=X))
    both_raise("TypeError", lambda jax: jax.eval_shape(lambda x: x + 1, "text"))
    both_raise("TypeError", lambda jax: jax.eval_shape(lambda x: "text", X))


def test_shape_dtype_struct():
    struct = cyxla.ShapeDtypeStruct((2, 3), jnp.float32)
    other = jax.ShapeDtypeStruct((2, 3), np.float32)
    assert repr(struct) == repr(other)
    assert (struct.ndim, struct.size, len(struct), struct.shape, struct.dtype) == (2, 6, 2, (2, 3), np.dtype("float32"))
    assert struct == cyxla.ShapeDtypeStruct((2, 3), "float32")
    assert hash(struct) == hash(cyxla.ShapeDtypeStruct((2, 3), "float32"))
    assert struct != cyxla.ShapeDtypeStruct((2, 3), "int32")
    assert struct.update(shape=(1,)).shape == (1,)
    both_raise("ValueError", lambda jax: jax.ShapeDtypeStruct((2,), None))


# -- threads


def run_threads(work, n=8):
    errors = []
    start = threading.Barrier(n)

    def run(i):
        start.wait()
        try:
            work(i)
        except BaseException:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]


def test_threads_call_one_function():
    f = cyxla.jit(lambda x, y: x * 2 + y)

    def work(i):
        for k in range(300):
            assert f(float(i), k) == 2 * i + k

    run_threads(work)


def test_threads_trace_at_once():
    f = cyxla.jit(lambda x, n: sum([jnp.sin(x) * i for i in range(5)]) + n, static_argnums=1)
    expected = 10 * np.sin(X)

    def work(i):
        for k in range(3):
            np.testing.assert_allclose(f(X, 10 * i + k), expected + 10 * i + k, rtol=1e-4)
            g = cyxla.make_jaxpr(cyxla.grad(lambda x: (jnp.tanh(x) ** 2).sum()))(X)
            assert len(g.eqns) > 3

    run_threads(work)


def test_threads_share_a_first_call():
    f = Counting(lambda x: jnp.cos(x) + 1)
    jitted = cyxla.jit(f)
    results = [None] * 8

    def work(i):
        results[i] = jitted(X)

    run_threads(work)
    for r in results:
        np.testing.assert_allclose(r, np.cos(X) + 1, rtol=1e-5)


def test_call_in_a_thread_while_another_traces():
    f = cyxla.jit(lambda x: x + 1)
    f(1.0)
    results = []

    def traced(x):
        def other():
            results.append(float(f(1.0)))
            results.append(float(cyxla.grad(lambda y: y * y)(3.0)))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return f(x)

    assert cyxla.jit(traced)(2.0) == 3
    assert results == [2.0, 6.0]


def test_tracer_used_in_another_thread():
    errors = []

    def traced(x):
        def other():
            try:
                x + 1
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x

    cyxla.jit(traced)(1.0)
    assert isinstance(errors[0], cyxla.errors.UnexpectedTracerError)
