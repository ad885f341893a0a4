"""Calls of jitted functions like the last one, which take the short way: host values, static arguments."""

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla._engine import dispatch

X = np.array([1.0, 2.0, 3.0], np.float32)


@pytest.fixture
def no_traces():
    """traces() is the number of traces since the test began."""
    before = dispatch.stats()["traces"]
    return lambda: dispatch.stats()["traces"] - before


@pytest.mark.parametrize(
    "values",
    [
        (X, X + 1),
        (X, jnp.asarray(X), X),
        (np.arange(3), np.arange(3) + 5),
        (np.arange(3.0), np.arange(3.0, dtype=np.float32)),
        (X[::-1], X[::2], X[::-1]),
        (np.float32([[1, 2], [3, 4]]).T, np.float32([[1, 2], [3, 4]])),
        (X.astype("float16"), X.astype(jnp.bfloat16), X.astype("float16")),
        (1.0, 2.0, float("nan"), -0.0),
        (1, 2, True, 3),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)),
        (np.float32(1), 2.0, np.array(3, np.float32), np.float32(1)),
    ],
)
def test_each_call_has_its_own_values(values):
    f = cyxla.jit(lambda x: x * 2)
    for value in (*values, *values):
        expected = jnp.asarray(value) * 2
        result = f(value)
        assert result.aval is expected.aval
        np.testing.assert_array_equal(result, expected)


def test_arrays_may_be_written_to_after_the_call():
    f = cyxla.jit(lambda x: x + 0)
    x = np.zeros(100_000, np.float32)
    results = []
    for i in range(10):
        x[:] = i
        results.append(f(x))
    for i, result in enumerate(results):
        assert (np.asarray(result) == i).all()


def test_mixed_with_arrays_and_unused_arguments():
    f = cyxla.jit(lambda unused, x, y: x + y)
    for i in range(3):
        np.testing.assert_array_equal(f(X, X, jnp.float32(i)), X + i)
        np.testing.assert_array_equal(f(X, jnp.asarray(X), i), X + i)


def test_what_is_no_array_is_named_on_a_repeated_call():
    f = cyxla.jit(lambda x, y: x + y)
    f(X, X)
    with pytest.raises(TypeError, match="y"):
        f(X, np.array(["a", "b", "c"]))
    with pytest.raises(OverflowError):
        cyxla.jit(lambda x: x)(2**70)


def test_a_tracer_does_not_take_the_short_way():
    f = cyxla.jit(lambda x: x * x)
    f(X), f(2.0), f(2.0)
    assert cyxla.grad(f)(2.0) == 4
    np.testing.assert_array_equal(cyxla.vmap(f)(X), X * X)


@pytest.mark.parametrize(
    "options, calls",
    [
        ({"static_argnums": 1}, [((X, 2), {}), ((X, 3), {}), ((X, 2), {})]),
        ({"static_argnums": -1}, [((X, 2), {}), ((X, 3), {})]),
        ({"static_argnums": 0}, [((2, X), {}), ((3, X), {}), ((3,), {"y": X})]),
        ({"static_argnames": "y"}, [((X,), {"y": 2}), ((X, 2), {}), ((X,), {"y": 3})]),
        ({"static_argnames": ("x", "y")}, [((), {"y": 2, "x": 4}), ((), {"x": 4, "y": 2}), ((3, 4), {}), ((3,), {"y": 4})]),
        ({"static_argnames": ("y", "z")}, [((X,), {"y": 2, "z": 5}), ((X,), {"z": 5, "y": 2}), ((X, 2), {"z": 5}), ((X, 2), {})]),
        ({"static_argnames": "y"}, [((X,), {"z": X, "y": 2}), ((X,), {"y": 2, "z": 1.0}), ((X,), {"y": 2})]),
    ],
)  # fmt: skip
def test_static_arguments(options, calls, no_traces):
    f = cyxla.jit(lambda x, y, z=1: x * 10 + y * z, **options)
    for _ in range(2):
        for args, kwargs in calls:
            for _ in range(3):
                np.testing.assert_array_equal(f(*args, **kwargs), f.__wrapped__(*args, **kwargs))
        traces = no_traces()
    assert no_traces() == traces <= len(calls)


def test_static_values_of_equal_value_and_other_type(no_traces):
    f = cyxla.jit(lambda x, n: x + (10 if type(n) is bool else 20 if type(n) is float else 0), static_argnums=1)
    for _ in range(2):
        assert [float(f(1.0, n)) for n in (1, 1, True, 1, 1.0, True)] == [1, 1, 11, 1, 21, 11]
    assert no_traces() == 3


def test_a_static_value_that_was_changed():
    class Options:
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            return hash(self.n)

        def __eq__(self, other):
            return self.n == other.n

    options = Options(1)
    f = cyxla.jit(lambda x, o: x + o.n, static_argnums=1)
    assert f(1.0, options) == f(1.0, options) == f(1.0, Options(1)) == 2
    options.n = 5
    assert f(1.0, options) == 6


def test_a_static_value_without_hash_that_equals_the_last_one():
    f = cyxla.jit(lambda x, n: x, static_argnums=1)
    f(X, (frozenset({1}),))
    with pytest.raises(ValueError, match="not hashable"):
        f(X, ({1},))


def test_more_arguments_than_the_short_way_takes():
    f = cyxla.jit(lambda n, *args: sum(args) * n, static_argnums=0)
    for _ in range(3):
        assert f(2, *[1.0] * 40) == 80
        assert f(3, *[1.0] * 40) == 120
