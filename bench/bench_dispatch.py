"""Calls of compiled functions that hit the cache."""

import numpy as np
import pytest

SCALAR = "jit(x + 1)(x), scalar"
MANY = "jit, 100 array arguments"


def add_one(x):
    return x + 1


def first_of_all(*args):
    return args[0] + 1


def test_scalar(measure, jax, jnp):
    measure(SCALAR, jax.jit(add_one), jnp.float32(1))


def test_100_arguments(measure, jax, jnp):
    # All are kept, so that all of them reach the executable.
    measure(MANY, jax.jit(first_of_all, keep_unused=True), *[jnp.full((2,), i, jnp.float32) for i in range(100)])


def test_nested_dict(measure, jax, jnp):
    tree = {"a": jnp.ones(3), "b": {"c": jnp.ones(3), "d": jnp.ones(3)}, "e": [jnp.ones(3), jnp.ones(3)]}
    measure("jit, dict of 5 leaves", jax.jit(lambda t: t["a"] + t["e"][0], keep_unused=True), tree)


def test_python_scalar(measure, jax):
    measure("jit(x + 1)(1.0), Python scalar", jax.jit(add_one), 1.0)


def test_numpy_array(measure, jax):
    measure("jit(x + 1)(x), NumPy array", jax.jit(add_one), np.ones(3, np.float32))


def test_numpy_in_and_out(measure, jax):
    function = jax.jit(add_one)
    measure("np.asarray(jit(x + 1)(x)), NumPy array", lambda x: np.asarray(function(x)), np.ones(3, np.float32))


def test_static_argument(measure, jax, jnp):
    measure("jit, static_argnums", jax.jit(lambda x, n: x + n, static_argnums=1), jnp.ones(3), 3)


@pytest.mark.parametrize("case, arity", [(SCALAR, 1), (MANY, 100)])
@pytest.mark.parametrize("impl", ["floor"])
def test_execute_sharded_alone(measure, case, arity, impl):
    """The call into XLA by itself, results left unread."""
    import jax

    function = add_one if arity == 1 else first_of_all
    args = [jax.numpy.float32(1)] if arity == 1 else [jax.numpy.ones(2) for _ in range(arity)]
    compiled = jax.jit(function, keep_unused=True).lower(*args).compile()
    executable = compiled.runtime_executable()
    measure(case, executable.execute_sharded, args)
