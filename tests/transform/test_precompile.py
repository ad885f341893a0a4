"""`precompile`: what it compiles is a hit later; equal programs once; errors at the end."""

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla._engine import dispatch

X = np.array([1.0, 2.0, 3.0], np.float32)
SHAPE = cyxla.ShapeDtypeStruct((3,), jnp.float32)


class Work:
    """traces and compilations since it was made."""

    def __init__(self):
        self.before = dispatch.stats()

    def __call__(self):
        now = dispatch.stats()
        return now["traces"] - self.before["traces"], now["compilations"] - self.before["compilations"]


def test_later_calls_are_hits():
    f = cyxla.jit(lambda x, y: x * 2 + y)
    g = cyxla.jit(lambda tree: tree["a"] + tree["b"][0])
    h = cyxla.jit(lambda x, n: x * n, static_argnums=1)
    work = Work()
    assert cyxla.precompile([(f, SHAPE, SHAPE), (f, X, 1.0), (g, {"a": SHAPE, "b": [X]}), (h, SHAPE, 3)]) is None
    assert work() == (4, 4)
    x = jnp.asarray(X)
    work = Work()
    np.testing.assert_array_equal(f(X, x), X * 3)
    np.testing.assert_array_equal(f(x, 2.0), X * 2 + 2)
    np.testing.assert_array_equal(g({"a": x, "b": [X]}), X * 2)
    np.testing.assert_array_equal(h(x, 3), X * 3)
    assert work() == (0, 0)
    h(x, 4)
    assert work() == (1, 1)


def test_keyword_arguments_by_trace_or_lower():
    f = cyxla.jit(lambda x, *, scale, n: x * scale + n, static_argnames="n")
    cyxla.precompile([f.trace(SHAPE, scale=2.0, n=1), f.lower(SHAPE, scale=SHAPE, n=1)])
    work = Work()
    np.testing.assert_array_equal(f(X, n=1, scale=3.0), X * 3 + 1)
    np.testing.assert_array_equal(f(X, n=1, scale=X), X * X + 1)
    assert work() == (0, 0)


def test_equal_programs_are_compiled_once():
    def double(x):
        return x + x

    f, g = cyxla.jit(double), cyxla.jit(lambda x: double(x), keep_unused=True)
    g.__wrapped__.__name__ = "double"
    work = Work()
    cyxla.precompile([(f, SHAPE), (f, X), (f, jnp.asarray(X)), [f, SHAPE]], threads=3)
    assert work() == (1, 1)
    cyxla.precompile([(f, SHAPE)])
    assert work() == (1, 1)

    # Functions that nobody can prove to be the same.
    class Factor:
        value = 7

    factors = [Factor() for _ in range(4)]
    makers = [cyxla.jit(lambda x, factor=factor: x * factor.value, static_argnames="factor") for factor in factors]
    work = Work()
    cyxla.precompile([(f, SHAPE) for f in makers])
    assert work() == (4, 1)
    for f in makers:
        np.testing.assert_array_equal(f(X), X * 7)
    assert work() == (4, 1)
    # The same text, results of other weak types.
    a, b = cyxla.jit(lambda x: x), cyxla.jit(lambda x: x)
    cyxla.precompile([(a, 1.0), (b, np.float32(1))])
    assert a(2.0).weak_type and not b(np.float32(2)).weak_type


def test_committed_arguments_devices_and_options():
    device = cyxla.devices()[0]
    x = cyxla.device_put(X, device)
    f = cyxla.jit(lambda x: x - 1)
    g = cyxla.jit(lambda x: x - 2, device=device, compiler_options={"xla_cpu_enable_fast_min_max": True})
    cyxla.precompile([(f, x), (g, SHAPE)])
    work = Work()
    assert f(x).committed and g(X).committed
    assert work() == (0, 0)


def test_donation_and_large_constants():
    constant = np.arange(3000, dtype=np.float32)
    f = cyxla.jit(lambda x: x + constant, donate_argnums=0)
    cyxla.precompile([(f, cyxla.ShapeDtypeStruct((3000,), jnp.float32))])
    x = jnp.zeros(3000) + 1
    work = Work()
    np.testing.assert_array_equal(f(x), constant + 1)
    assert x.is_deleted() and work() == (0, 0)


def test_options_of_the_calling_thread_hold():
    f = cyxla.jit(lambda x: x * 3)
    with cyxla.enable_x64(True):
        x = np.arange(3.0)
        cyxla.precompile([(f, x)])
        work = Work()
        assert f(x).dtype == np.float64
        assert work() == (0, 0)


def test_errors_come_last_and_name_the_function():
    def good(x):
        return x + 1

    def bad(x):
        return x @ jnp.ones((5, 5))

    def worse(x):
        raise KeyError("mine")

    def refused(x):
        return x * 2

    good, bad, worse = map(cyxla.jit, (good, bad, worse))
    refused = cyxla.jit(refused, compiler_options={"xla_no_such_option": 1})
    with pytest.raises(TypeError) as caught:
        cyxla.precompile([(bad, SHAPE), (good, SHAPE)])
    assert "jitted function bad" in caught.value.__notes__[0]
    work = Work()
    good(X)
    assert work() == (0, 0)
    with pytest.raises(RuntimeError, match="xla_no_such_option") as caught:
        cyxla.precompile([(refused, SHAPE)])
    assert "jitted function refused" in caught.value.__notes__[0]
    with pytest.raises(ExceptionGroup, match="2 of 3") as caught:
        cyxla.precompile([(worse, SHAPE), (good, 1), (refused, SHAPE)])
    assert {type(e) for e in caught.value.exceptions} >= {KeyError}


@pytest.mark.parametrize("item", [(), 3, (lambda x: x, X), lambda x: x])
def test_what_is_no_program(item):
    with pytest.raises(TypeError, match="precompile takes"):
        cyxla.precompile([item])


def test_no_threads():
    with pytest.raises(ValueError, match="threads=0"):
        cyxla.precompile([], threads=0)
    cyxla.precompile([])
